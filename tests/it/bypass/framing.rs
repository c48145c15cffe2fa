//! How a body is put on the wire: the honest ways, and those by which two readers see two requests.

use super::cases::Case;

/// The fields that frame the bytes, and the bytes.
pub(crate) type Framing = fn(&Case, &[u8]) -> Vec<u8>;

pub(crate) const HONEST: &[Framing] = &[by_length, in_one_chunk, in_small_chunks, expecting];

pub(crate) const ALL: &[Framing] = &[
    by_length,
    in_one_chunk,
    in_small_chunks,
    with_extensions,
    with_trailers,
    length_and_chunks,
    chunks_and_length,
    two_lengths,
    two_other_lengths,
    coded_chunks,
    unknown_coding,
    spaced_field,
    version_1_0,
    expecting,
    behind_another,
    inside_another,
    folded,
    bare_line_feeds,
];

fn framed(head: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    [head.as_bytes(), fields.as_bytes(), b"\r\n", body].concat()
}

fn chunks(body: &[u8], size: usize, extension: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for chunk in body.chunks(size.max(1)) {
        wire.extend(format!("{:x}{extension}\r\n", chunk.len()).bytes());
        wire.extend(chunk);
        wire.extend(b"\r\n");
    }
    wire
}

pub(crate) fn by_length(case: &Case, body: &[u8]) -> Vec<u8> {
    let fields = format!("Content-Length: {}\r\n", body.len());
    framed(&case.head("HTTP/1.1"), &fields, body)
}

fn in_one_chunk(case: &Case, body: &[u8]) -> Vec<u8> {
    let wire = [chunks(body, body.len(), ""), b"0\r\n\r\n".to_vec()].concat();
    framed(
        &case.head("HTTP/1.1"),
        "Transfer-Encoding: chunked\r\n",
        &wire,
    )
}

fn in_small_chunks(case: &Case, body: &[u8]) -> Vec<u8> {
    let wire = [chunks(body, 3, ""), b"0\r\n\r\n".to_vec()].concat();
    framed(
        &case.head("HTTP/1.1"),
        "Transfer-Encoding: Chunked\r\n",
        &wire,
    )
}

fn with_extensions(case: &Case, body: &[u8]) -> Vec<u8> {
    let wire = [chunks(body, 7, ";a=\"b\""), b"0;x\r\n\r\n".to_vec()].concat();
    framed(
        &case.head("HTTP/1.1"),
        "Transfer-Encoding: chunked\r\n",
        &wire,
    )
}

fn with_trailers(case: &Case, body: &[u8]) -> Vec<u8> {
    let end = b"0\r\nContent-Type: application/json\r\nX-HTTP-Method-Override: PUT\r\n\r\n";
    let wire = [chunks(body, 7, ""), end.to_vec()].concat();
    framed(
        &case.head("HTTP/1.1"),
        "Transfer-Encoding: chunked\r\nTrailer: Content-Type\r\n",
        &wire,
    )
}

fn length_and_chunks(case: &Case, body: &[u8]) -> Vec<u8> {
    let wire = [chunks(body, body.len(), ""), b"0\r\n\r\n".to_vec()].concat();
    let fields = format!(
        "Content-Length: {}\r\nTransfer-Encoding: chunked\r\n",
        wire.len()
    );
    framed(&case.head("HTTP/1.1"), &fields, &wire)
}

fn chunks_and_length(case: &Case, body: &[u8]) -> Vec<u8> {
    let fields = format!(
        "Transfer-Encoding: chunked\r\nContent-Length: {}\r\n",
        body.len()
    );
    framed(&case.head("HTTP/1.1"), &fields, body)
}

fn two_lengths(case: &Case, body: &[u8]) -> Vec<u8> {
    let fields = format!("Content-Length: {0}\r\nContent-Length: {0}\r\n", body.len());
    framed(&case.head("HTTP/1.1"), &fields, body)
}

fn two_other_lengths(case: &Case, body: &[u8]) -> Vec<u8> {
    let fields = format!("Content-Length: 0\r\nContent-Length: {}\r\n", body.len());
    framed(&case.head("HTTP/1.1"), &fields, body)
}

fn coded_chunks(case: &Case, body: &[u8]) -> Vec<u8> {
    let wire = [chunks(body, 9, ""), b"0\r\n\r\n".to_vec()].concat();
    framed(
        &case.head("HTTP/1.1"),
        "Transfer-Encoding: gzip, chunked\r\n",
        &wire,
    )
}

fn unknown_coding(case: &Case, body: &[u8]) -> Vec<u8> {
    let wire = [chunks(body, 9, ""), b"0\r\n\r\n".to_vec()].concat();
    let fields = format!(
        "Transfer-Encoding: xchunked\r\nContent-Length: {}\r\n",
        wire.len()
    );
    framed(&case.head("HTTP/1.1"), &fields, &wire)
}

fn spaced_field(case: &Case, body: &[u8]) -> Vec<u8> {
    let wire = [chunks(body, 9, ""), b"0\r\n\r\n".to_vec()].concat();
    let fields = format!(
        "Transfer-Encoding : chunked\r\nContent-Length: {}\r\n",
        wire.len()
    );
    framed(&case.head("HTTP/1.1"), &fields, &wire)
}

fn version_1_0(case: &Case, body: &[u8]) -> Vec<u8> {
    let fields = format!("Content-Length: {}\r\n", body.len());
    framed(&case.head("HTTP/1.0"), &fields, body)
}

fn expecting(case: &Case, body: &[u8]) -> Vec<u8> {
    let fields = format!("Expect: 100-continue\r\nContent-Length: {}\r\n", body.len());
    framed(&case.head("HTTP/1.1"), &fields, body)
}

/// A harmless request, and this one right behind it.
fn behind_another(case: &Case, body: &[u8]) -> Vec<u8> {
    let first = format!(
        "GET /x HTTP/1.1\r\nHost: gate\r\nX-Case: {}\r\n\r\n",
        case.number
    );
    [first.into_bytes(), by_length(case, body)].concat()
}

/// This one as what a careless reader finds in the body of a harmless one.
fn inside_another(case: &Case, body: &[u8]) -> Vec<u8> {
    let inner = by_length(case, body);
    let wire = [b"0\r\n\r\n".to_vec(), inner].concat();
    let head = format!(
        "POST /api/v2/metrics/ingest HTTP/1.1\r\nHost: gate\r\nX-Case: {}\r\nContent-Length: {}\r\nTransfer-Encoding : chunked\r\n\r\n",
        case.number,
        wire.len()
    );
    [head.into_bytes(), wire].concat()
}

fn folded(case: &Case, body: &[u8]) -> Vec<u8> {
    let fields = format!(
        "X-Folded: a\r\n Content-Length: 0\r\nContent-Length: {}\r\n",
        body.len()
    );
    framed(&case.head("HTTP/1.1"), &fields, body)
}

fn bare_line_feeds(case: &Case, body: &[u8]) -> Vec<u8> {
    let head = case.head("HTTP/1.1").replace("\r\n", "\n");
    [
        head.as_bytes(),
        format!("Content-Length: {}\n\n", body.len()).as_bytes(),
        body,
    ]
    .concat()
}
