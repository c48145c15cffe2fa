//! The simulator on real sockets, asked with the recorded bytes of real clients.

use std::net::SocketAddr;

use hyper_util::client::legacy::{Client, connect::HttpConnector};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::oneshot,
    task::JoinHandle,
};

use super::*;
use crate::simulate::{fixture, seeds, tests::recordings};

async fn started(simulator: Simulator) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let server = tokio::spawn(async move {
        let shutdown = async { drop(stopped.await) };
        serve(listener, simulator, shutdown).await.unwrap();
    });
    (address, stop, server)
}

/// Status and body of one exchange, byte for byte on a connection of its own.
async fn raw(address: SocketAddr, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut received = Vec::new();
    loop {
        let text = String::from_utf8(received.clone()).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                let status = head.split(' ').nth(1).unwrap();
                return (status.parse().unwrap(), body.to_owned());
            }
        }
        assert_ne!(stream.read_buf(&mut received).await.unwrap(), 0, "{text}");
    }
}

/// A recording may be of a token that an earlier one deleted, so each has an environment of its own.
#[tokio::test]
async fn each_recorded_request_gets_an_answer_that_its_client_can_work_with() {
    let expected = [
        ("dt create", 201, &["id", "token"][..]),
        ("dt create below /e", 201, &["id", "token"]),
        ("dt put", 204, &[]),
        ("dt delete", 204, &[]),
        ("dt get", 200, &["id", "creationDate"]),
        ("dt list", 200, &["totalCount", "apiTokens"]),
        ("dt lookup", 200, &["id", "scopes"]),
        ("dt rotation start", 200, &["active", "old"]),
        ("dt put scopes", 204, &[]),
        ("terraform create-enabled", 201, &["id", "token"]),
        ("terraform create-disabled", 201, &["id", "token"]),
        ("terraform disable", 204, &[]),
        ("terraform update below /e", 204, &[]),
        ("terraform read", 200, &["id", "name", "enabled", "scopes"]),
        ("terraform list", 200, &["totalCount", "apiTokens"]),
        ("terraform delete", 204, &[]),
        ("terraform update", 204, &[]),
        (
            "monaco",
            200,
            &[
                "id",
                "name",
                "enabled",
                "personalAccessToken",
                "owner",
                "creationDate",
                "scopes",
            ],
        ),
    ];
    let recordings = recordings();
    assert_eq!(recordings.len(), expected.len());
    for ((name, request), (expected_name, status, members)) in recordings.iter().zip(expected) {
        assert_eq!(*name, expected_name);
        let (address, _stop, _server) = started(fixture::simulator()).await;
        let (got, body) = raw(address, request.as_bytes()).await;
        assert_eq!(got, status, "{name}: {body}");
        if status == 204 {
            assert_eq!(body, "", "{name}");
            continue;
        }
        let json: Value = serde_json::from_str(&body).expect(name);
        for member in members {
            assert!(!json[member].is_null(), "{name}: {member} in {body}");
        }
        for date in dates(&json) {
            assert!(
                date.len() == 24 && date.ends_with('Z') && date.as_bytes()[19] == b'.',
                "{date}"
            );
        }
    }
}

/// Every member whose name says it is a date, at any depth.
fn dates(json: &Value) -> Vec<&str> {
    match json {
        Value::Array(elements) => elements.iter().flat_map(dates).collect(),
        Value::Object(members) => {
            let dated = members.iter().filter(|(name, _)| name.ends_with("Date"));
            let own = dated.filter_map(|(_, value)| value.as_str());
            own.chain(members.values().flat_map(dates)).collect()
        }
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn it_speaks_http_2_without_tls_and_ends_when_told() {
    let (address, stop, server) = started(fixture::simulator()).await;
    let mut client = Client::builder(TokioExecutor::new());
    let client = client
        .http2_only(true)
        .build::<_, Full<Bytes>>(HttpConnector::new());
    let uri = format!("http://{address}/api/v2/apiTokens/{}", seeds::MANAGED.id);
    let request = Request::get(uri)
        .header(
            "authorization",
            format!("Api-Token {}", seeds::API_TOKENS.secret),
        )
        .body(Full::default())
        .unwrap();
    let response = client.request(request).await.unwrap();
    assert_eq!(
        (response.version(), response.status()),
        (http::Version::HTTP_2, StatusCode::OK)
    );
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let token: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(token["creationDate"], "2020-11-05T08:15:30.144Z");

    // The client still holds its connection: that keeps nobody from ending.
    stop.send(()).unwrap();
    server.await.unwrap();
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_announced_or_not() {
    let (address, _stop, _server) = started(fixture::simulator()).await;
    let head = "PUT /api/v2/apiTokens/dt0c01.A HTTP/1.1\r\nhost: x\r\n";
    let size = BODY_LIMIT + 1;
    let announced = format!("{head}content-length: {size}\r\n\r\n");
    let body = " ".repeat(size);
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n");
    for request in [announced, chunked] {
        let (status, body) = raw(address, request.as_bytes()).await;
        assert_eq!(status, 413);
        assert!(body.starts_with(r#"{"error":{"code":413,"#), "{body}");
    }
}

/// Whoever asked does not learn it, and it is done all the same. Of other tokens, and of the same by reading, all is told.
#[tokio::test]
async fn about_one_token_nobody_is_told_what_was_done() {
    let options = crate::simulate::Options {
        hangs_up_about: Some(seeds::MANAGED.name),
        ..crate::simulate::Options::default()
    };
    let simulator = Simulator::seeded(options, fixture::now);
    let (address, stop, server) = started(simulator.clone()).await;
    let request = |method: &str, id: &str| {
        let body = "{\"scopes\":[\"metrics.read\"]}";
        format!(
            "{method} /api/v2/apiTokens/{id} HTTP/1.1\r\nHost: a\r\nAuthorization: Api-Token {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            seeds::API_TOKENS.secret,
            body.len()
        )
    };
    let mut stream = TcpStream::connect(address).await.unwrap();
    let put = request("PUT", seeds::MANAGED.id);
    stream.write_all(put.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"");
    let changed = simulator.token(seeds::MANAGED.id).unwrap();
    assert_eq!(changed.scopes, ["metrics.read"]);
    let other = request("PUT", seeds::LEGACY.id);
    assert_eq!(raw(address, other.as_bytes()).await.0, 204);
    let read = request("GET", seeds::MANAGED.id);
    assert_eq!(raw(address, read.as_bytes()).await.0, 200);
    drop(stop);
    server.await.unwrap();
}

/// Environments have no id in common but those of the seeds.
#[test]
fn two_simulators_that_are_told_apart_mint_different_ids() {
    let minted = |minted: u64| {
        let options = crate::simulate::Options {
            minted,
            ..crate::simulate::Options::default()
        };
        let simulator = Simulator::seeded(options, fixture::now);
        let mut state = simulator.state();
        state.mint_gate_token().0
    };
    assert_eq!(minted(0), minted(0));
    assert_ne!(minted(0), minted(1 << 32));
}
