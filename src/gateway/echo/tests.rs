use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use http_body_util::BodyExt;
use proptest::prelude::*;

use super::*;

const SECRET: &str = "abcabcabd0123456";
/// It ends as it begins.
const ROUND: &str = "abcab-0123456789-abcab";
/// An access token may have any letters.
const ODD: &str = "eyJ+/=~abc.def-ghi_jkl?mno&pqr";

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

fn answer(pieces: &[&str]) -> Response<Body> {
    let pieces = pieces.iter().map(|piece| Bytes::from((*piece).to_owned()));
    Response::new(boxed(Pieces(pieces.collect())))
}

fn lent(secret: &str) -> TokenSecret {
    TokenSecret::new(format!("Bearer {secret}"))
}

/// What is left of it.
fn passed_of(secret: &str, pieces: &[&str]) -> Vec<String> {
    let withheld = withhold(answer(pieces), Some(&lent(secret))).unwrap();
    let mut body = withheld.into_body();
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

fn passed(pieces: &[&str]) -> Vec<String> {
    passed_of(SECRET, pieces)
}

/// The same text in pieces that end at these places.
fn cut<'t>(text: &'t str, places: &[usize]) -> Vec<&'t str> {
    let mut places: Vec<usize> = places.iter().map(|at| at % (text.len() + 1)).collect();
    places.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for at in places.into_iter().chain([text.len()]) {
        pieces.push(text.get(from..at).unwrap());
        from = at;
    }
    pieces
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

/// A secret as others write it, between other letters.
fn spelled(secret: &str) -> Vec<String> {
    let percent = |set| percent_encoding::utf8_percent_encode(secret, set).to_string();
    let all = percent(percent_encoding::NON_ALPHANUMERIC);
    let mut spelled = vec![
        secret.to_owned(),
        HEXLOWER.encode(secret.as_bytes()),
        HEXUPPER.encode(secret.as_bytes()),
        secret.replace('/', "\\/"),
        all.clone(),
        all.replace("%2F", "%2f")
            .replace("%2B", "%2b")
            .replace("%3D", "%3d")
            .replace("%3F", "%3f")
            .replace("%7E", "%7e")
            .replace("%2E", "%2e")
            .replace("%2D", "%2d")
            .replace("%5F", "%5f"),
        secret
            .replace('+', "%2B")
            .replace('/', "%2F")
            .replace('=', "%3D")
            .replace('?', "%3F")
            .replace('&', "%26"),
    ];
    for before in ["", "u:", "user:", "Bearer "] {
        let bytes = format!("{before}{secret}");
        spelled.push(BASE64.encode(bytes.as_bytes()));
        spelled.push(BASE64URL_NOPAD.encode(bytes.as_bytes()));
    }
    spelled
}

#[test]
fn a_secret_is_covered_however_it_is_spelled() {
    for secret in [SECRET, ROUND, ODD] {
        for text in spelled(secret) {
            let around = format!("<{text}>");
            let left = passed_of(secret, &[&around]).concat();
            assert_eq!(left.len(), around.len());
            // Of base64 the digits at the ends are others' too.
            let open = text
                .bytes()
                .zip(left.bytes().skip(1))
                .filter(|(one, other)| one == other)
                .count();
            let others = if text.len() > secret.len() { 18 } else { 0 };
            assert!(open <= others, "{text}: {left}");
            assert!(left.contains(&"*".repeat(secret.len())), "{text}: {left}");
            let mut response = Response::new(crate::listener::empty());
            response
                .headers_mut()
                .insert("x-echo", text.parse().unwrap());
            let withheld = withhold(response, Some(&lent(secret))).unwrap();
            assert!(withheld.headers().is_empty(), "{text}");
        }
    }
}

proptest! {
    #[test]
    fn pieces_make_no_difference_and_nothing_else_changes(
        parts in prop::collection::vec((0_usize..9, 0_usize..20), 0..12),
        places in prop::collection::vec(any::<usize>(), 0..30),
    ) {
        for secret in [SECRET, ROUND, ODD] {
            let spelled = spelled(secret);
            // Whole ones, beginnings, ends, and letters that are none of it.
            let text: String = parts.iter().map(|(kind, at)| {
                let one = &spelled[at % spelled.len()];
                match kind {
                    0..=2 => one.as_str(),
                    3..=4 => one.split_at(at % one.len()).0,
                    5 => one.split_at(at % one.len()).1,
                    _ => "Z Z",
                }
            }).collect();
            let whole = passed_of(secret, &[&text]).concat();
            prop_assert_eq!(&passed_of(secret, &cut(&text, &places)).concat(), &whole);
            prop_assert_eq!(whole.len(), text.len());
            prop_assert!(!whole.contains(secret));
            let changed = whole.bytes().zip(text.bytes()).filter(|(now, before)| now != before);
            prop_assert!(changed.into_iter().all(|(now, _)| now == b'*'));
        }
    }
}

#[test]
fn nothing_else_waits_and_nothing_is_lost() {
    assert_eq!(passed(&["one", "two"]), ["one", "two"]);
    // What could be the beginning waits for what comes.
    assert_eq!(passed(&["one abc", "x"]), ["one ", "abcx"]);
    assert_eq!(passed(&["one abcabc"]).concat(), "one abcabc");
    assert_eq!(passed(&["", ""]).concat(), "");
}

#[test]
fn fields_that_hold_it_go_and_so_do_sessions_and_words() {
    let lent = TokenSecret::new(format!("Api-Token dt0c01.PUBLIC.{SECRET}"));
    let mut response = Response::new(crate::listener::empty());
    let headers = response.headers_mut();
    headers.insert("x-echo", format!("a {SECRET}").parse().unwrap());
    headers.insert("x-public", "dt0c01.PUBLIC".parse().unwrap());
    headers.insert("set-cookie", "s=1".parse().unwrap());
    let words = ReasonPhrase::from_static(b"No abcabcabd0123456");
    response.extensions_mut().insert(words);
    let withheld = withhold(response, Some(&lent)).unwrap();
    let names: Vec<_> = withheld.headers().keys().collect();
    assert_eq!(names, ["x-public"]);
    assert!(withheld.extensions().get::<ReasonPhrase>().is_none());
    let mut response = Response::new(crate::listener::empty());
    response
        .headers_mut()
        .insert("set-cookie", "s=1".parse().unwrap());
    let own = withhold(response, None).unwrap();
    assert!(own.headers().contains_key("set-cookie"));
}

#[test]
fn what_cannot_be_searched_is_not_passed_on() {
    for (status, coding, passes) in [
        (200, "gzip", false),
        (200, "identity, br", false),
        (200, "Identity", true),
        (200, "", true),
        (206, "", false),
        (226, "", false),
        (404, "zstd", false),
    ] {
        let veiled = || {
            let mut response = answer(&["text"]);
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response
                .headers_mut()
                .insert(CONTENT_ENCODING, coding.parse().unwrap());
            response
        };
        assert_eq!(
            withhold(veiled(), Some(&lent(SECRET))).is_ok(),
            passes,
            "{status} {coding}"
        );
        assert!(withhold(veiled(), None).is_ok());
        // Without a body there is nothing to be found.
        let (parts, _) = veiled().into_parts();
        let empty = Response::from_parts(parts, crate::listener::empty());
        assert!(withhold(empty, Some(&lent(SECRET))).is_ok());
    }
}
