//! Whether the head of an answer can be read in one way only, and where the answer ends.
//!
//! hyper reads some answers in one way that a client, or a cache in between, could read in another: with two
//! lengths, with codings of transfer that nobody asked for. They are no answers. Knows no body.

use http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, Response, StatusCode, Version};

use super::SendError;

/// How long the head of an answer may be.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct Heads {
    pub(in crate::gateway) size: usize,
    pub(in crate::gateway) fields: usize,
}

impl Heads {
    /// What an HTTP/2 connection reads before it is looked at here.
    pub(super) fn list_size(self) -> u32 {
        u32::try_from(self.size.saturating_mul(4)).unwrap_or(u32::MAX)
    }
}

/// Whether the connection, if it is one of HTTP/1, can carry the next request after this answer.
pub(super) fn judge<B>(response: &mut Response<B>, heads: Heads) -> Result<bool, SendError> {
    let (status, version) = (response.status(), response.version());
    if status.is_informational() {
        return Err(refused(
            "it changes the protocol, and nobody asked for that",
        ));
    }
    if status.as_u16() > 599 {
        return Err(refused("its status is none of HTTP"));
    }
    let headers = response.headers_mut();
    // hyper has measured what comes by HTTP/1.
    if version == Version::HTTP_2 && is_too_long(headers, heads) {
        return Err(SendError::Head);
    }
    let chunked = is_chunked(headers)?;
    let length = length(headers)?;
    if chunked && length.is_some() {
        return Err(refused("it has both Content-Length and Transfer-Encoding"));
    }
    // Where there is no body, whatever claims one may be followed by it.
    let empty = status == StatusCode::NO_CONTENT;
    let claims = empty && (chunked || length.is_some_and(|length| length > 0));
    if empty {
        headers.remove(CONTENT_LENGTH);
    }
    // On a connection of HTTP/1.0 hyper would speak it, too, and send a body of unknown length as none.
    Ok(version == Version::HTTP_11 && !claims)
}

/// The only coding that may be there is the one that hyper takes off.
fn is_chunked(headers: &HeaderMap) -> Result<bool, SendError> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(false),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(true),
        _ => Err(refused("its Transfer-Encoding is not just chunked")),
    }
}

/// The length that is said, in one field and in one spelling from now on.
fn length(headers: &mut HeaderMap) -> Result<Option<u64>, SendError> {
    let mut found: Option<u64> = None;
    let mut plain = true;
    for (number, field) in headers.get_all(CONTENT_LENGTH).iter().enumerate() {
        let text = field.to_str().unwrap_or_default();
        plain &= number == 0 && (text == "0" || !text.starts_with('0')) && !text.contains(',');
        for one in text.split(',') {
            let one = one.trim_matches([' ', '\t']);
            let digits = !one.is_empty() && one.bytes().all(|byte| byte.is_ascii_digit());
            let length = one.parse().ok().filter(|_| digits);
            let length = length.ok_or_else(|| refused("its Content-Length is no number"))?;
            if found.is_some_and(|found| found != length) {
                return Err(refused("it has two lengths"));
            }
            found = Some(length);
        }
    }
    if let Some(length) = found.filter(|_| !plain) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(found)
}

/// As HTTP/2 measures it (RFC 9113, section 6.5.2).
fn is_too_long(headers: &HeaderMap, heads: Heads) -> bool {
    let fields = headers.iter();
    let size: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len() + 32)
        .sum();
    headers.len() > heads.fields || size > heads.size
}

fn refused(why: &'static str) -> SendError {
    SendError::Answer(why.to_owned())
}
