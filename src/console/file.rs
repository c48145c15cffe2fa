//! A file to download.

use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response};

use super::page::guard;
use crate::listener::{Body, full};

/// What is downloaded. Its name has to be one of letters, digits, dots and hyphens.
pub(super) struct File {
    pub(super) name: String,
    pub(super) content_type: &'static str,
    pub(super) text: String,
}

impl File {
    pub(super) fn respond(self) -> Response<Body> {
        let length = HeaderValue::from(self.text.len());
        let named = format!("attachment; filename=\"{}\"", self.name);
        let mut response = Response::new(full(self.text));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CONTENT_LENGTH, length);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(named) = HeaderValue::from_str(&named) {
            headers.insert(CONTENT_DISPOSITION, named);
        }
        guard(headers);
        response
    }
}
