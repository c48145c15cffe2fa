use std::collections::VecDeque;
use std::net::IpAddr;

use super::*;
use crate::listener::{empty, full};
use crate::telemetry::Limit;

const TIMEOUT: Duration = Duration::from_secs(10);
const NONE: Shed = Shed {
    limit: Limit::Bodies,
    text: "none",
};
const NONE_FOR_ADDRESS: Shed = Shed {
    limit: Limit::BodiesPerAddress,
    text: "none for this address",
};

fn bodies(all: usize, least: usize) -> Bodies {
    let exceeded = [NONE, NONE_FOR_ADDRESS];
    Bodies {
        memory: Quota::new(all, all / 2, least, exceeded),
        timeout: TIMEOUT,
    }
}

fn address(last: u8) -> Address {
    Address::from(IpAddr::from([10, 0, 0, last]))
}

/// These frames, and then the end, or nothing more, ever.
struct Frames {
    frames: VecDeque<&'static str>,
    ends: bool,
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.frames.pop_front() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data.into())))),
            None if self.ends => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

fn frames(frames: &[&'static str], ends: bool) -> Body {
    let frames = frames.iter().copied().collect();
    Body::new(Frames { frames, ends })
}

fn unfinished(begun: &[&'static str]) -> Body {
    frames(begun, false)
}

#[tokio::test]
async fn bytes_are_counted_until_the_last_holder_is_gone() {
    let bodies = bodies(100, 1);
    let body = bodies.read(address(1), full("0123456789"), 50).await;
    let body = body.unwrap();
    assert_eq!((&body[..], bodies.memory.held()), (&b"0123456789"[..], 10));
    let part = body.slice(3..4);
    drop(body);
    assert_eq!(bodies.memory.held(), 10);
    drop(part);
    assert_eq!(bodies.memory.held(), 0);
    let nothing = bodies.read(address(1), empty(), 50).await.unwrap();
    assert!(nothing.is_empty());
}

#[tokio::test]
async fn a_body_past_the_limit_is_refused_and_not_cut() {
    let bodies = bodies(100, 1);
    let refused = bodies.read(address(1), full("0123456789"), 9).await;
    assert!(matches!(refused, Err(Reason::Read(ReadError::TooLarge(9)))));
    assert_eq!(bodies.memory.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_end_is_refused_and_holds_nothing_more() {
    let bodies = bodies(100, 1);
    let refused = bodies.read(address(1), unfinished(&["a", "b"]), 50).await;
    assert!(matches!(refused, Err(Reason::Read(ReadError::Timeout(_)))));
    assert_eq!(bodies.memory.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_has_arrived_counts_and_what_is_awaited_does_not() {
    let bodies = bodies(100, 1);
    let mut begun: Vec<_> = (1..=2)
        .map(|from| {
            let body = unfinished(&["0123456789", "0123456789"]);
            Box::pin(bodies.read(address(from), body, 50))
        })
        .collect();
    for reading in &mut begun {
        let waits = tokio::time::timeout(Duration::from_secs(1), reading).await;
        assert!(waits.is_err());
    }
    assert_eq!(bodies.memory.held(), 40);
    let too_much = bodies.read(address(1), full("0".repeat(31)), 50).await;
    assert!(matches!(too_much, Err(Reason::Shed(NONE_FOR_ADDRESS))));
    let others = bodies.read(address(3), full("0".repeat(50)), 50).await;
    let none = bodies.read(address(2), full("0".repeat(11)), 50).await;
    assert!(matches!(none, Err(Reason::Shed(NONE))));
    drop((begun, others));
    assert_eq!(bodies.memory.held(), 0);
}

#[tokio::test]
async fn the_longest_body_fits_however_small_the_share() {
    let bodies = bodies(10, 30);
    let parts = ["0123456789", "0", "1", "2", "3", "01234567890123", "4", "5"];
    let body = frames(&parts, true);
    let body = bodies.read(address(1), body, 30).await.unwrap();
    assert_eq!((body.len(), bodies.memory.held()), (30, 30));
}

#[tokio::test]
async fn what_was_read_of_an_upload_is_read_again() {
    let mut body = begun(unfinished(&["one", "two"])).await.unwrap();
    for expected in ["one", "two"] {
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), expected);
    }
    let body = begun(full("whole")).await.unwrap();
    assert_eq!(body.size_hint().exact(), Some(5));
    assert!(!body.is_end_stream());
    assert_eq!(body.collect().await.unwrap().to_bytes(), "whole");
    assert!(begun(empty()).await.unwrap().is_end_stream());
}

#[test]
fn what_is_made_of_a_body_counts_by_what_it_is_made_of() {
    let bodies = bodies(1 << 20, 1);
    let held = |body: &str| {
        let value = serde_json::from_str(body).unwrap();
        let held = bodies.hold(address(1), &value);
        held.map(|held| (bodies.memory.held(), drop(held)).0)
    };
    let text = held(&format!("\"{}\"", "x".repeat(1000))).unwrap();
    assert!((3000..4000).contains(&text), "{text}");
    let numbers = held(&format!("[{}0]", "0,".repeat(999))).unwrap();
    assert!((100_000..300_000).contains(&numbers), "{numbers}");
    let members: Vec<_> = (0..999).map(|number| format!("\"{number}\":0")).collect();
    let members = held(&format!("{{{}}}", members.join(","))).unwrap();
    assert!((300_000..500_000).contains(&members), "{members}");
    let refused = held(&format!("[{}0]", "0,".repeat(3000)));
    assert_eq!(refused, Err(NONE_FOR_ADDRESS));
    let longest = "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]";
    assert!(held(longest).unwrap() <= at_most(longest.len()));
    assert_eq!(bodies.memory.held(), 0);
}
