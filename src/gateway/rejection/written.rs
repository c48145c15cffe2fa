//! The answer that an entrypoint wrote for a denial, as far as it may be sent.
//!
//! It guarantees that nothing of it changes how the answer is framed or read: a status from 400 to 599, header fields that
//! are about nothing but the answer, no control characters, and not too much of any. Where something of it is not so,
//! there is none.

use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, WARNING,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::dynatrace::redact::Redactor;
use crate::policy::{Answer, Decision, Effect};

/// What is sent in the place of the usual answer.
pub(super) struct Written {
    pub(super) headers: HeaderMap,
    /// `None`: the usual one.
    pub(super) body: Option<String>,
}

/// The status that an entrypoint wrote, where its answer is sent.
pub(super) fn status(decision: &Decision) -> Option<StatusCode> {
    let answer = only(decision)?;
    parts(answer, &Redactor::default())?;
    status_of(answer)
}

/// The answer that an entrypoint wrote, where nobody else denies.
pub(super) fn written(decision: &Decision, redactor: &Redactor) -> Option<Written> {
    let answer = only(decision)?;
    status_of(answer)?;
    // What would be refused as it was written is not sent without its secrets either: the status says the same.
    parts(answer, &Redactor::default())?;
    parts(answer, redactor)
}

/// That of the one who denies: where several do, the caller has to hear of all.
fn only(decision: &Decision) -> Option<&Answer> {
    let mut denials = decision.with_effect(Effect::Deny);
    let only = denials.next().filter(|_| denials.next().is_none())?;
    only.answer.as_deref()
}

fn status_of(answer: &Answer) -> Option<StatusCode> {
    let status = StatusCode::from_u16(answer.status).ok()?;
    let is_refusal = status.is_client_error() || status.is_server_error();
    is_refusal.then_some(status)
}

fn parts(answer: &Answer, redactor: &Redactor) -> Option<Written> {
    status_of(answer)?;
    let lengths = answer.headers.iter();
    let length: usize = lengths.map(|(name, value)| name.len() + value.len()).sum();
    if answer.headers.len() > MOST_HEADERS || length > MOST_HEADER_BYTES {
        return None;
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let is_ours = name.as_str().starts_with("dtgate-");
        let text = redactor.text(value);
        let is_shown = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if is_ours || NOT_FOR_THEM.contains(&name) || !is_shown || redactor.hides(name.as_str()) {
            return None;
        }
        // The usual body is what it is.
        if name == CONTENT_TYPE && answer.body.is_none() {
            continue;
        }
        headers.append(name, HeaderValue::from_str(&text).ok()?);
    }
    let body = match &answer.body {
        None => None,
        Some(body) => {
            let is_plain = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
            if body.len() > MOST_BODY || !body.chars().all(is_plain) {
                return None;
            }
            Some(redactor.text(body).to_string())
        }
    };
    if body.is_some() && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    }
    Some(Written { headers, body })
}

/// As Envoy answers.
const TEXT: &str = "text/plain; charset=utf-8";

const MOST_HEADERS: usize = 32;
/// Names and values together.
const MOST_HEADER_BYTES: usize = 8 << 10;
const MOST_BODY: usize = 64 << 10;

/// What is about the connection, about how the answer is framed, or said by the gate itself.
const NOT_FOR_THEM: [HeaderName; 15] = [
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    DATE,
    HOST,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    WARNING,
    HeaderName::from_static("set-cookie"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Answer {
            status,
            headers: headers.collect(),
            body: body.map(str::to_owned),
        }
    }

    #[test]
    fn an_answer_is_sent_as_it_was_written() {
        let sound = answer(
            418,
            &[
                ("X-Why", "because"),
                ("x-why", "and so on"),
                ("content-type", "text/x"),
            ],
            Some("No.\n\tNever."),
        );
        let written = parts(&sound, &Redactor::default()).unwrap();
        assert_eq!(written.body.as_deref(), Some("No.\n\tNever."));
        assert_eq!(written.headers.get_all("x-why").iter().count(), 2);
        assert_eq!(written.headers[CONTENT_TYPE], "text/x");
        let untyped = parts(&answer(403, &[], Some("No")), &Redactor::default()).unwrap();
        assert_eq!(untyped.headers[CONTENT_TYPE], TEXT);
        let no_body = answer(401, &[("content-type", "text/x")], None);
        let no_body = parts(&no_body, &Redactor::default()).unwrap();
        assert!(no_body.headers.is_empty() && no_body.body.is_none());
    }

    #[test]
    fn what_could_be_misread_is_not_sent() {
        for status in [0, 99, 100, 101, 200, 204, 301, 304, 399, 600, 999, 1000] {
            assert_eq!(status_of(&answer(status, &[], None)), None, "{status}");
        }
        let header = |name: &str, value: &str| {
            parts(&answer(403, &[(name, value)], None), &Redactor::default())
        };
        for name in NOT_FOR_THEM {
            assert!(header(name.as_str(), "1").is_none(), "{name}");
            assert!(
                header(&name.as_str().to_uppercase(), "1").is_none(),
                "{name}"
            );
        }
        for name in [
            "",
            " ",
            "a b",
            "a:",
            "a\r\nb",
            ":status",
            "dtgate-decision-id",
            "DTGATE-x",
            "ä",
        ] {
            assert!(header(name, "1").is_none(), "{name:?}");
        }
        for value in [
            "a\r\nSet-Cookie: b",
            "a\nb",
            "a\rb",
            "a\0",
            "\u{7f}",
            "\t",
            "ä",
            "\u{2028}",
        ] {
            assert!(header("x-a", value).is_none(), "{value:?}");
        }
        for body in [
            "\0",
            "a\u{1b}[31m",
            "\u{7f}",
            "\u{85}",
            &"a".repeat(MOST_BODY + 1),
        ] {
            assert!(parts(&answer(403, &[], Some(body)), &Redactor::default()).is_none());
        }
        let many = vec![("x-a", "1"); MOST_HEADERS + 1];
        assert!(parts(&answer(403, &many, None), &Redactor::default()).is_none());
        let long = "a".repeat(MOST_HEADER_BYTES);
        assert!(header("x-a", &long).is_none());
    }

    #[test]
    fn what_a_request_shows_as_a_secret_is_in_no_answer() {
        let secret = "dt0c01.ST2EY72KQINMH574WMNVI7YN.G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM";
        let redactor = Redactor::default();
        let told = answer(
            403,
            &[("x-why", secret)],
            Some(&format!("not with {secret}")),
        );
        let written = parts(&told, &redactor).unwrap();
        let shown = format!("{:?} {:?}", written.headers, written.body);
        assert!(!shown.contains("G3DFPBEJYMODIDAEX454"), "{shown}");
    }
}
