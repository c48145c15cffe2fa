//! As much of HTTP/2 as an attacker needs: frames by hand, so that nothing keeps to the protocol by accident.

use std::io::{self, Write};
use std::net::TcpStream;

/// A client's side of a connection that never reads.
pub(super) struct Client {
    stream: TcpStream,
    next: u32,
}

impl Client {
    /// Says hello; `window` is how much of an answer the server may send before it is asked to.
    pub(super) fn new(mut stream: TcpStream, window: Option<u32>) -> Option<Self> {
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let mut settings = Vec::new();
        if let Some(window) = window {
            settings.extend(INITIAL_WINDOW_SIZE.to_be_bytes());
            settings.extend(window.to_be_bytes());
        }
        hello.extend(frame(SETTINGS, 0, 0, &settings));
        // The server's settings are acknowledged before they come: nobody here reads.
        hello.extend(frame(SETTINGS, ACK, 0, &[]));
        stream.write_all(&hello).ok()?;
        Some(Self { stream, next: 1 })
    }

    /// A request on a stream of its own; unless `ends`, with a body to come.
    pub(super) fn head(&mut self, method: &str, path: &str, ends: bool) -> io::Result<()> {
        let mut block = Vec::new();
        for (name, value) in [
            (":method", method),
            (":scheme", "http"),
            (":path", path),
            (":authority", "gate"),
        ] {
            literal(&mut block, name, value);
        }
        let flags = END_HEADERS | if ends { END_STREAM } else { 0 };
        let bytes = frame(HEADERS, flags, self.next, &block);
        self.next += 2;
        self.stream.write_all(&bytes)
    }
}

/// A field that stands for itself and is not remembered.
fn literal(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        block.push(u8::try_from(text.len()).unwrap());
        block.extend(text.bytes());
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const INITIAL_WINDOW_SIZE: u16 = 4;
