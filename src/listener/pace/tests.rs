use std::task::{Context, Poll};

use super::*;
use crate::listener::places::Places;

const TIMES: Times = Times {
    head: Duration::from_secs(10),
    idle: Duration::from_mins(2),
    half_closed: Duration::from_secs(20),
    patience: Patience {
        silence: Duration::from_secs(30),
        least: 30 << 10,
    },
};

/// One whose connection has the only place of its listener.
pub(in crate::listener) fn pace() -> Arc<Pace> {
    let metrics = Metrics::new("test");
    let places = Places::new(1, 1, metrics.clone());
    let taken = places.take([127, 0, 0, 1].into());
    let place = ready_now(taken).unwrap().place();
    Pace::new(TIMES, place, metrics)
}

/// The value of a future that waits for nothing.
fn ready_now<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

/// What the pace would say so many seconds from now.
pub(in crate::listener) fn after(pace: &Pace, secs: u64) -> Option<Expiry> {
    pace.state()
        .judge(Instant::now() + Duration::from_secs(secs), &pace.times)
        .err()
}

#[tokio::test]
async fn a_silent_connection_is_idle_and_a_begun_head_is_cut_much_sooner() {
    let pace = pace();
    assert_eq!(after(&pace, 119), None);
    assert_eq!(after(&pace, 121), Some(Expiry::Idle));
    pace.heard();
    assert_eq!(after(&pace, 9), None);
    assert_eq!(after(&pace, 11), Some(Expiry::Head));
}

#[tokio::test]
async fn a_request_in_flight_may_take_as_long_as_it_wants() {
    let pace = pace();
    pace.heard();
    let (first, second) = (pace.begin().unwrap(), pace.begin().unwrap());
    assert!(pace.is_busy());
    drop(first);
    pace.heard();
    assert_eq!(after(&pace, 100_000), None);
    drop(second);
    assert!(!pace.is_busy());
    assert_eq!(after(&pace, 119), None);
    assert_eq!(after(&pace, 121), Some(Expiry::Idle));
}

#[tokio::test]
async fn bytes_between_requests_start_no_head_on_http_2() {
    let pace = pace();
    pace.heard();
    pace.multiplexed(128);
    pace.heard();
    assert_eq!(after(&pace, 119), None);
    assert_eq!(after(&pace, 121), Some(Expiry::Idle));
}

#[tokio::test]
async fn an_answer_that_is_not_taken_is_overdue_with_or_without_its_request() {
    let pace = pace();
    let request = pace.begin().unwrap();
    pace.wrote(1000, true);
    assert_eq!(after(&pace, 29), None);
    let stalled = Some(Expiry::Answer(Overdue::Stalled));
    assert_eq!(after(&pace, 31), stalled);
    drop(request);
    assert!(pace.is_busy());
    assert_eq!(after(&pace, 31), stalled);
    pace.wrote(1000, false);
    assert!(!pace.is_busy());
    assert_eq!(after(&pace, 31), None);
}

#[tokio::test]
async fn a_client_that_has_closed_its_side_is_waited_for_a_while() {
    let pace = pace();
    let request = pace.begin().unwrap();
    pace.half_closed();
    assert_eq!(after(&pace, 19), None);
    assert_eq!(after(&pace, 21), Some(Expiry::Gone));
    drop(request);
    assert_eq!(after(&pace, 21), None);
}

#[tokio::test]
async fn a_connection_of_which_a_stream_was_given_up_is_closed_politely_once() {
    let pace = pace();
    let _request = pace.begin().unwrap();
    pace.answer_overdue(Overdue::Slow);
    assert_eq!(after(&pace, 0), Some(Expiry::Unreliable));
    pace.closing();
    pace.body_overdue(Overdue::Stalled);
    assert_eq!(after(&pace, 100_000), None);
}

#[tokio::test]
async fn a_closing_connection_gets_only_the_time_of_a_head() {
    let pace = pace();
    pace.closing();
    assert_eq!(after(&pace, 9), None);
    assert_eq!(after(&pace, 11), Some(Expiry::Idle));
}

#[tokio::test]
async fn what_is_left_of_a_body_counts_until_it_is_read() {
    let pace = pace();
    assert!(!pace.is_mid_body());
    pace.body_begins(true);
    assert!(pace.is_mid_body() && !pace.leaves_rest());
    pace.body_ends();
    pace.body_begins(false);
    assert!(pace.leaves_rest());
    pace.body_ends();
    assert!(!pace.leaves_rest());
}
