//! Whoever wants the gate for himself: each holds, sends or asks for what the gate limits, over and over.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::Ground;
use crate::frames::{self, Frames};
use crate::harness::{SECRET, from};

/// What an attacker is called, where it comes from (the last byte of a loopback address), and one turn of it.
pub(super) struct Attacker {
    pub(super) name: &'static str,
    pub(super) address: u8,
    pub(super) turn: fn(&Ground, Ipv4Addr),
}

pub(super) const ALL: &[Attacker] = &[
    attacker("heads that can be read in many ways", 10, heads),
    attacker("names that take long to fold", 11, names),
    attacker("creations with 200 unknown scopes", 12, denials),
    attacker("invented credentials", 13, invented),
    attacker("HTTP/2 bodies that never come", 14, unsent_streams),
    attacker("HTTP/1 bodies that never end", 15, unsent_bodies),
    attacker("settings that never end", 16, unsent_settings),
    attacker("HTTP/2 answers that nobody takes", 17, untaken_streams),
    attacker("HTTP/1 answers that nobody takes", 18, untaken_answers),
    attacker("idle connections", 19, idle),
    attacker("heads that come byte by byte", 20, slow_heads),
    attacker("refused paths of 60 KB", 21, long_paths),
    attacker("clients that hang up", 22, gone),
    attacker("uploads to a refused path", 23, refused_uploads),
    attacker("the admin port", 24, admin),
];

const fn attacker(name: &'static str, address: u8, turn: fn(&Ground, Ipv4Addr)) -> Attacker {
    Attacker {
        name,
        address,
        turn,
    }
}

/// Sends what may be sent and gives what comes back within a moment, if anything: no attacker waits for long.
fn try_exchange(ground: &Ground, from: Ipv4Addr, bytes: &[u8]) {
    let Some(mut stream) = connect(ground.gate, from) else {
        return;
    };
    if stream.write_all(bytes).is_ok() {
        drop(stream.read(&mut [0; 512]));
    }
}

fn connect(to: SocketAddr, address: Ipv4Addr) -> Option<TcpStream> {
    let stream = from(address, to).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    Some(stream)
}

fn credential(name: &str) -> String {
    format!("Authorization: Api-Token dt0c01.{name}.{SECRET}\r\n")
}

/// A request with a body; `length` is what it says of it.
fn request(method: &str, target: &str, credential: &str, length: usize, body: &str) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: gate\r\n{credential}Content-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

fn heads(ground: &Ground, from: Ipv4Addr) {
    let path = format!("/{}/../%25252525252541", "\u{bd}".repeat(2_700));
    try_exchange(
        ground,
        from,
        format!("POST {path} HTTP/1.1\r\nHost: gate\r\nContent-Length: 0\r\n\r\n").as_bytes(),
    );
    let mut fields = String::new();
    for name in [
        "x-forwarded-path",
        "x-forwarded-prefix",
        "x-forwarded-uri",
        "x-forwarded-url",
        "x-original-path",
        "x-original-uri",
        "x-envoy-original-path",
    ] {
        fields.extend([name, ": ", &path, "\r\n"]);
    }
    let head = format!("GET /x HTTP/1.1\r\nHost: gate\r\n{fields}\r\n");
    try_exchange(ground, from, head.as_bytes());
    let query = "%2525252525252541".repeat(3_500);
    let head = format!("GET /x?{query} HTTP/1.1\r\nHost: gate\r\n\r\n");
    try_exchange(ground, from, head.as_bytes());
}

fn names(ground: &Ground, from: Ipv4Addr) {
    let body = format!("{{\"{}\":1}}", "\u{fdfa}".repeat(20_000));
    let put = request("PUT", TOKEN, &credential("NAMES"), body.len(), &body);
    try_exchange(ground, from, put.as_bytes());
    let settings = request(
        "POST",
        "/api/v2/settings/objects",
        &credential("NAMES"),
        body.len(),
        &body,
    );
    try_exchange(ground, from, settings.as_bytes());
}

fn denials(ground: &Ground, from: Ipv4Addr) {
    let scopes: Vec<String> = (0..200)
        .map(|number| format!("\"none.{number}\""))
        .collect();
    let body = format!("{{\"name\":\"x\",\"scopes\":[{}]}}", scopes.join(","));
    let create = request(
        "POST",
        "/api/v2/apiTokens",
        &credential("DENIED"),
        body.len(),
        &body,
    );
    // At once, so that they stand in line; nobody waits for the answers.
    let streams: Vec<TcpStream> = (0..16)
        .filter_map(|_| {
            let mut stream = connect(ground.gate, from)?;
            stream.write_all(create.as_bytes()).ok()?;
            Some(stream)
        })
        .collect();
    for mut stream in streams {
        drop(stream.read(&mut [0; 512]));
    }
}

fn invented(ground: &Ground, from: Ipv4Addr) {
    let who = ground.invented();
    let body = r#"{"scopes":["WriteConfig"]}"#;
    let put = request(
        "PUT",
        TOKEN,
        &credential(&format!("INVENTED{who}")),
        body.len(),
        body,
    );
    try_exchange(ground, from, put.as_bytes());
}

fn unsent_streams(ground: &Ground, from: Ipv4Addr) {
    hold_streams(ground, from, 65_535, ("POST", "/api/v2/logs/ingest", 0));
}

/// As many streams as a connection may have; the client reads nothing.
fn hold_streams(ground: &Ground, from: Ipv4Addr, window: u32, request: (&str, &str, u8)) {
    let (method, path, ends) = request;
    let client = connect(ground.gate, from);
    let Some(mut client) = client.and_then(|stream| Frames::over(stream, window).ok()) else {
        return;
    };
    for stream in (1..240).step_by(2) {
        let (flags, head) = (frames::END_HEADERS | ends, frames::head(method, path));
        if client.send(frames::HEADERS, flags, stream, &head).is_err() {
            return;
        }
    }
    ground.hold(client);
}

fn unsent_bodies(ground: &Ground, from: Ipv4Addr) {
    for target in ["/api/v2/logs/ingest", TOKEN] {
        let method = if target == TOKEN { "PUT" } else { "POST" };
        let bytes = request(method, target, &credential("UNSENT"), 100, "{\"n");
        hold_after(ground, from, bytes.as_bytes());
    }
}

fn unsent_settings(ground: &Ground, from: Ipv4Addr) {
    let half = " ".repeat(512 * 1024);
    let target = "/api/v2/settings/objects";
    let bytes = request("POST", target, &credential("SETTINGS"), 1_000_000, &half);
    hold_after(ground, from, bytes.as_bytes());
}

fn hold_after(ground: &Ground, from: Ipv4Addr, bytes: &[u8]) {
    if let Some(mut stream) = connect(ground.gate, from)
        && stream.write_all(bytes).is_ok()
    {
        ground.hold(stream);
    }
}

fn untaken_streams(ground: &Ground, from: Ipv4Addr) {
    hold_streams(ground, from, 0, ("GET", "/large", frames::END_STREAM));
}

fn untaken_answers(ground: &Ground, from: Ipv4Addr) {
    hold_after(
        ground,
        from,
        b"GET /large HTTP/1.1\r\nHost: gate\r\n\r\n"
            .repeat(50)
            .as_slice(),
    );
}

fn idle(ground: &Ground, from: Ipv4Addr) {
    for _ in 0..20 {
        if let Some(stream) = connect(ground.gate, from) {
            ground.hold(stream);
        }
    }
}

fn slow_heads(ground: &Ground, from: Ipv4Addr) {
    hold_after(ground, from, b"GET /x HTTP/1.1\r\nHost: g");
}

fn long_paths(ground: &Ground, from: Ipv4Addr) {
    let path = format!("/api/v1/tokens/{}", "a".repeat(60_000));
    let put = request("PUT", &path, &credential("LONG"), 2, "{}");
    try_exchange(ground, from, put.as_bytes());
}

fn gone(ground: &Ground, from: Ipv4Addr) {
    let body = r#"{"scopes":["metrics.read"]}"#;
    let put = request("PUT", TOKEN, &credential("GONE"), body.len(), body);
    for cut in [put.len() / 2, put.len() - 5, put.len()] {
        if let Some(mut stream) = connect(ground.gate, from) {
            drop(stream.write_all(put.as_bytes().get(..cut).unwrap_or_default()));
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

fn refused_uploads(ground: &Ground, from: Ipv4Addr) {
    let body = "a".repeat(2_000_000);
    let bytes = request(
        "POST",
        "/rest/tokens",
        &credential("UPLOAD"),
        body.len(),
        &body,
    );
    try_exchange(ground, from, bytes.as_bytes());
}

fn admin(ground: &Ground, from: Ipv4Addr) {
    for _ in 0..10 {
        if let Some(stream) = connect(ground.admin, from) {
            ground.hold(stream);
        }
    }
}

/// A token that only attackers change.
const TOKEN: &str = "/api/v1/tokens/aaaaaaaa-5790-4e80-afcf-09971954c3ea";

/// No attacker waits longer for anything: the gate's limits are tested by what honest clients see.
const PATIENCE: Duration = Duration::from_millis(500);
