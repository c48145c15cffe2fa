//! Style and scripts. They are in the program: nothing is fetched from elsewhere.

use std::fmt::Write;
use std::io::Write as _;
use std::sync::LazyLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY,
};
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
        name: "editor.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("assets/editor.js"),
    },
    Asset {
        name: "third-party.txt",
        content_type: "text/plain; charset=utf-8",
        bytes: include_bytes!("assets/THIRD-PARTY.txt"),
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

/// The same, compressed: once, when somebody asks for the first of them.
static PACKED: LazyLock<Vec<Option<Bytes>>> =
    LazyLock::new(|| ASSETS.iter().map(|asset| packed(asset.bytes)).collect());

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

/// The file of a path below `/console/assets/`, compressed for whoever takes that.
pub(super) fn answer(path: &str, headers: &HeaderMap) -> Response<Body> {
    let (version, name) = path.split_once('/').unwrap_or(("", path));
    let mut numbered = ASSETS.iter().zip(PACKED.iter());
    let Some((asset, packed)) = numbered.find(|(asset, _)| asset.name == name) else {
        return html_response(StatusCode::NOT_FOUND, "There is no such file.\n".to_owned());
    };
    let packed = packed.as_ref().filter(|_| takes_gzip(headers));
    let bytes = packed.cloned();
    let is_packed = bytes.is_some();
    let bytes = bytes.unwrap_or_else(|| Bytes::from_static(asset.bytes));
    let length = HeaderValue::from(bytes.len());
    let mut response = Response::new(full(bytes));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(CONTENT_LENGTH, length);
    if is_packed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static(if version == *VERSION {
            "public, max-age=31536000, immutable"
        } else {
            // A page of another version asks, while one is put in place of the other: this file is not the one of that URL.
            "no-store"
        }),
    );
    guard(headers);
    response
}

/// `None`: it would not be shorter.
fn packed(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() < bytes.len()).then(|| packed.into())
}

/// Whether gzip is among what is taken, and not refused.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(ACCEPT_ENCODING).iter();
    let fields = fields.filter_map(|field| field.to_str().ok());
    let mut codings = fields.flat_map(|field| field.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
        let is_taken = weight.parse::<f32>().is_ok_and(|weight| weight > 0.0);
        name.trim().eq_ignore_ascii_case("gzip") && is_taken
    })
}
