//! A request as people write it into a file: request line, headers, an empty line, the body.

use anyhow::{Context, bail};
use bytes::Bytes;
use http::Request;
use http::header::HOST;

/// Reads a request as it stands in a file. Line ends may be CRLF or LF.
pub fn request(bytes: &[u8]) -> anyhow::Result<Request<Bytes>> {
    let (head, body) = split(bytes);
    let head = std::str::from_utf8(head).context("the head is not UTF-8")?;
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        bail!("the first line must be METHOD PATH, as in: PUT /api/v1/tokens/ID");
    };
    let mut request = Request::builder().method(method).uri(target);
    for (number, line) in lines.enumerate() {
        let Some((name, value)) = line.split_once(':') else {
            bail!("line {}: a header is written NAME: VALUE", number + 2);
        };
        request = request.header(name.trim(), value.trim());
    }
    // Every client sends one; people leave it out of a file.
    if request
        .headers_ref()
        .is_some_and(|headers| !headers.contains_key(HOST))
    {
        request = request.header(HOST, "localhost");
    }
    Ok(request.body(Bytes::copy_from_slice(body))?)
}

fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let find = |mark: &[u8]| {
        bytes
            .windows(mark.len())
            .position(|window| window == mark)
            .map(|at| (at, mark.len()))
    };
    let ends = [find(b"\r\n\r\n"), find(b"\n\n")];
    let Some((at, length)) = ends.into_iter().flatten().min() else {
        return (bytes, &[]);
    };
    let body = bytes.get(at + length..).unwrap_or_default();
    // Editors end a file with a newline that is not part of the body.
    (bytes.get(..at).unwrap_or_default(), body.trim_ascii_end())
}
