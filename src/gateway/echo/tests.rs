use http_body_util::BodyExt;

use super::*;

const SECRET: &str = "abcabcabd0123456";

/// A body that comes in pieces, of which each is a frame.
struct Pieces(VecDeque<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let piece = self.0.pop_front();
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// What is left of it.
fn passed(pieces: &[&str]) -> Vec<String> {
    let pieces = pieces.iter().map(|piece| Bytes::from((*piece).to_owned()));
    let body = boxed(Pieces(pieces.collect()));
    let lent = TokenSecret::new(format!("Bearer {SECRET}"));
    let mut body = withhold(Response::new(body), Some(&lent)).into_body();
    let mut passed = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async {
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            passed.push(String::from_utf8(data.to_vec()).unwrap());
        }
    });
    passed
}

#[test]
fn a_secret_is_covered_wherever_it_is_cut() {
    let text = format!("x{SECRET}{SECRET}abcabc{SECRET}y");
    let covered = text.replace(SECRET, &"*".repeat(SECRET.len()));
    for first in 0..text.len() {
        for second in first..text.len() {
            let (left, right) = text.split_at(second);
            let (left, middle) = left.split_at(first);
            assert_eq!(passed(&[left, middle, right]).concat(), covered);
        }
    }
    let single: Vec<String> = text.chars().map(String::from).collect();
    let single: Vec<&str> = single.iter().map(String::as_str).collect();
    assert_eq!(passed(&single).concat(), covered);
}

#[test]
fn nothing_else_waits_and_nothing_is_lost() {
    assert_eq!(passed(&["one", "two"]), ["one", "two"]);
    // What could be the beginning waits for what comes.
    assert_eq!(passed(&["one abc", "d"]), ["one ", "abcd"]);
    assert_eq!(passed(&["one abcabc"]).concat(), "one abcabc");
    assert_eq!(passed(&["", ""]).concat(), "");
}

#[test]
fn fields_that_hold_it_go_and_so_do_sessions() {
    let lent = TokenSecret::new(format!("Api-Token dt0c01.PUBLIC.{SECRET}"));
    let mut response = Response::new(crate::listener::empty());
    let headers = response.headers_mut();
    headers.insert("x-echo", format!("a {SECRET}").parse().unwrap());
    headers.insert("x-public", "dt0c01.PUBLIC".parse().unwrap());
    headers.insert("set-cookie", "s=1".parse().unwrap());
    let withheld = withhold(response, Some(&lent));
    let names: Vec<_> = withheld.headers().keys().collect();
    assert_eq!(names, ["x-public"]);
    let mut response = Response::new(crate::listener::empty());
    response
        .headers_mut()
        .insert("set-cookie", "s=1".parse().unwrap());
    let own = withhold(response, None);
    assert!(own.headers().contains_key("set-cookie"));
}
