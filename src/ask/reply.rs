//! The text of an answer, on its way to whoever asked: so long at most, and held for as long as it takes.

use std::io;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use super::Refusal;
use crate::listener::{Body, full};

/// Takes no more bytes than an answer may have.
struct Text(Vec<u8>);

/// A text, and the place of the question that it answers.
struct Held {
    text: Vec<u8>,
    _place: OwnedSemaphorePermit,
}

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

/// That nobody is answered there, and what answers would take.
pub(super) fn off(key: &str) -> Response<Body> {
    let text = format!("{{\"error\":\"{key} is off: nothing is answered here\"}}\n");
    response(StatusCode::NOT_FOUND, Bytes::from(text))
}

/// The text of a value, for programs or for people.
pub(super) fn written(value: &Value, is_pretty: bool) -> Result<Vec<u8>, Refusal> {
    let mut text = Text(Vec::new());
    let written = if is_pretty {
        serde_json::to_writer_pretty(&mut text, value)
    } else {
        serde_json::to_writer(&mut text, value)
    };
    // A value can always be written, where there is room.
    written.map_err(|_no_room| Refusal::Long)?;
    text.0.push(b'\n');
    Ok(text.0)
}

/// The place is let go with the last byte of the text, wherever that is by then: sent, or dropped with its connection.
pub(super) fn held(text: Vec<u8>, place: OwnedSemaphorePermit) -> Bytes {
    Bytes::from_owner(Held {
        text,
        _place: place,
    })
}

pub(super) fn response(status: StatusCode, text: Bytes) -> Response<Body> {
    let length = HeaderValue::from(text.len());
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Bytes of an answer: a document, and what stands around it.
pub(super) const MOST: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn an_answer_has_a_length_however_it_is_written() {
        let deep = (0..30).fold(json!(vec![1; 150_000]), |inner, _| json!([inner]));
        let short = written(&deep, false).unwrap();
        assert!(short.len() < MOST && short.ends_with(b"]\n"));
        // The same with its indentation.
        assert!(matches!(written(&deep, true), Err(Refusal::Long)));
        let long = json!("\u{1}".repeat(MOST / 6 + 1));
        assert!(matches!(written(&long, false), Err(Refusal::Long)));
    }

    #[test]
    fn a_place_is_held_until_the_last_part_of_an_answer_is_gone() {
        let places = Arc::new(Semaphore::new(1));
        let place = places.clone().try_acquire_owned().unwrap();
        let mut text = held(vec![b'x'; 100], place);
        let part = text.split_to(10);
        drop(text);
        assert_eq!(places.available_permits(), 0);
        drop(part);
        assert_eq!(places.available_permits(), 1);
    }
}
