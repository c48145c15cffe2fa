//! What a server's answer says of records.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

use super::keep::Refusal;
use crate::outbound::AskError;

/// Whether they have arrived.
pub(super) fn taken<T>(
    answered: Result<(StatusCode, HeaderMap, T), AskError>,
) -> Result<T, Refusal> {
    let (status, headers, body) =
        answered.map_err(|error| Refusal::Now(error.to_string(), None))?;
    if status.is_success() {
        return Ok(body);
    }
    let reason = format!("the answer is {status}");
    match status {
        // What is said of the message, and not of who sends it, or when.
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => Err(Refusal::Records(reason)),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let reason = format!(
                "{reason}: it wants another secret (headers_file, url_file, routing_key_file)"
            );
            Err(Refusal::Now(reason, patience(&headers)))
        }
        _ => Err(Refusal::Now(reason, patience(&headers))),
    }
}

/// How long the server wants to be left alone. It may also name a moment: nobody's clock is trusted so far.
fn patience(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}
