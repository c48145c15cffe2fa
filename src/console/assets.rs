//! Style and scripts. They are in the program: nothing is fetched from elsewhere.

use std::fmt::Write;
use std::sync::LazyLock;

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use sha2::{Digest, Sha256};

use super::page::{guard, html_response};
use crate::listener::{Body, full};

/// A file that pages name.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

const ASSETS: &[Asset] = &[
    Asset {
        name: "console.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("assets/console.css"),
    },
    Asset {
        name: "console.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("assets/console.js"),
    },
    Asset {
        name: "playground.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("assets/playground.js"),
    },
    Asset {
        name: "icon.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("assets/icon.svg"),
    },
];

/// Of all of them: another version has other URLs, so that a browser may keep each for ever.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for asset in ASSETS {
        hash.update(asset.bytes);
    }
    let mut version = String::new();
    for byte in hash.finalize().iter().take(8) {
        write!(version, "{byte:02x}").expect("writing to a string cannot fail");
    }
    version
});

/// Where a file is.
pub(super) fn url(name: &str) -> String {
    format!("/console/assets/{}/{name}", *VERSION)
}

/// The file of a path below `/console/assets/`.
pub(super) fn answer(path: &str, _headers: &HeaderMap) -> Response<Body> {
    let name = path.split_once('/').map_or(path, |(_version, name)| name);
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return html_response(StatusCode::NOT_FOUND, "There is no such file.\n".to_owned());
    };
    let mut response = Response::new(full(asset.bytes));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(asset.bytes.len()));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=31536000, immutable"),
    );
    guard(headers);
    response
}
