//! A request as people write it into a file: request line, headers, an empty line, the body.

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::HOST;
use http::{Request, Uri};

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
        let host = request.uri_ref().and_then(Uri::authority);
        let host = host.map_or_else(|| "localhost".to_owned(), ToString::to_string);
        request = request.header(HOST, host);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_a_host_is_for_that_of_its_target() {
        for (text, host) in [
            ("GET /a HTTP/1.1\n\n", "localhost"),
            (
                "GET https://live.example:8443/a HTTP/1.1\n\n",
                "live.example:8443",
            ),
            (
                "GET https://live.example/a HTTP/1.1\nHost: other.example\n\n",
                "other.example",
            ),
        ] {
            let request = request(text.as_bytes()).unwrap();
            assert_eq!(request.headers().get(HOST).unwrap(), host, "{text}");
        }
    }
}
