//! The answer that an entrypoint wrote for a denial, as far as it may be sent.
//!
//! It guarantees that nothing of it changes how the answer is framed or read: a status from 400 to 599, header fields that
//! are about nothing but the answer, no control characters, and not too much of any. Where something of it is not so,
//! there is none, and it says why.

use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, WARNING,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::dynatrace::redact::Redactor;
use crate::policy::{Answer, Decision, Effect, Violation};

/// What is sent in the place of the usual answer.
pub(super) struct Written {
    pub(super) headers: HeaderMap,
    /// `None`: the usual one.
    pub(super) body: Option<String>,
}

/// The status that an entrypoint wrote, where its answer is sent.
pub(super) fn status(decision: &Decision) -> Option<StatusCode> {
    let answer = only(decision)?.answer.as_deref()?;
    parts(answer, &Redactor::default()).ok()?;
    status_of(answer)
}

/// By which entrypoint an answer was written that is not sent, and why.
pub(super) fn unsent(decision: &Decision) -> Option<(&str, &'static str)> {
    of_one(only(decision)?)
}

/// The same of one denial, whoever else denies.
pub(in crate::gateway) fn of_one(denial: &Violation) -> Option<(&str, &'static str)> {
    let reason = match denial.answer.as_deref() {
        Some(answer) => parts(answer, &Redactor::default()).err()?,
        None if denial.code.as_deref() == Some("not-allowed") && !denial.details.is_empty() => KIND,
        None => return None,
    };
    Some((&denial.policy, reason))
}

/// The answer that an entrypoint wrote, where nobody else denies.
pub(super) fn written(decision: &Decision, redactor: &Redactor) -> Option<Written> {
    let answer = only(decision)?.answer.as_deref()?;
    // What would be refused as it was written is not sent without its secrets either: the status says the same.
    parts(answer, &Redactor::default()).ok()?;
    parts(answer, redactor).ok()
}

/// The one that denies: where several do, the caller has to hear of all.
fn only(decision: &Decision) -> Option<&Violation> {
    let mut denials = decision.with_effect(Effect::Deny);
    denials.next().filter(|_| denials.next().is_none())
}

fn status_of(answer: &Answer) -> Option<StatusCode> {
    let status = StatusCode::from_u16(answer.status).ok()?;
    let is_refusal = status.is_client_error() || status.is_server_error();
    is_refusal.then_some(status)
}

fn parts(answer: &Answer, redactor: &Redactor) -> Result<Written, &'static str> {
    status_of(answer).ok_or(STATUS)?;
    let lengths = answer.headers.iter();
    let length: usize = lengths.map(|(name, value)| name.len() + value.len()).sum();
    if answer.headers.len() > MOST_HEADERS || length > MOST_HEADER_BYTES {
        return Err(MANY);
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_invalid| NAME)?;
        let is_ours = name.as_str().starts_with("dtgate-");
        let text = redactor.text(value);
        let is_shown = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if is_ours || NOT_FOR_THEM.contains(&name) || !is_shown || redactor.hides(name.as_str()) {
            return Err(NAME);
        }
        // The usual body is what it is.
        if name == CONTENT_TYPE && answer.body.is_none() {
            continue;
        }
        headers.append(name, HeaderValue::from_str(&text).map_err(|_invalid| NAME)?);
    }
    let body = match &answer.body {
        None => None,
        Some(body) => {
            let is_plain = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
            if body.len() > MOST_BODY || !body.chars().all(is_plain) {
                return Err(BODY);
            }
            Some(redactor.text(body).to_string())
        }
    };
    if body.is_some() && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    }
    Ok(Written { headers, body })
}

/// Why an answer is not sent.
const BODY: &str = "its body is longer than 64 KiB, or has control characters";
const KIND: &str =
    "http_status is no number, headers are no texts by their names, or body is no text";
const MANY: &str = "it has more than 32 header fields, or more than 8 KiB of them";
const NAME: &str = "a header field is not for an entrypoint to say, or has what no field may have";
const STATUS: &str = "http_status is not from 400 to 599";

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
            assert!(header(name.as_str(), "1").is_err(), "{name}");
            assert!(
                header(&name.as_str().to_uppercase(), "1").is_err(),
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
            assert!(header(name, "1").is_err(), "{name:?}");
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
            assert!(header("x-a", value).is_err(), "{value:?}");
        }
        for body in [
            "\0",
            "a\u{1b}[31m",
            "\u{7f}",
            "\u{85}",
            &"a".repeat(MOST_BODY + 1),
        ] {
            assert!(parts(&answer(403, &[], Some(body)), &Redactor::default()).is_err());
        }
        let many = vec![("x-a", "1"); MOST_HEADERS + 1];
        assert!(parts(&answer(403, &many, None), &Redactor::default()).is_err());
        let long = "a".repeat(MOST_HEADER_BYTES);
        assert!(header("x-a", &long).is_err());
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
