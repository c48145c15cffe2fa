//! A pool before an upstream that counts connections and does with them what a test says.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;

use http_body_util::BodyExt;
use hyper_rustls::HttpsConnectorBuilder;

use super::*;

/// What the upstream does with each request; the number is that of the connection, then of the request on it.
type Deed = fn(&mut TcpStream, usize, usize) -> bool;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Reads requests without bodies and says in the channel which connection each came on. A deed that gives back
/// false closes the connection.
fn upstream(deed: Deed) -> (SocketAddr, mpsc::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for (connection, stream) in listener.incoming().enumerate() {
            let (mut stream, seen) = (stream.unwrap(), seen.clone());
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                for number in 0.. {
                    match stream.read(&mut buffer) {
                        Ok(read) if read > 0 => seen.send(connection).unwrap(),
                        _ => return,
                    }
                    if !deed(&mut stream, connection, number) {
                        return;
                    }
                }
            });
        }
    });
    (address, requests)
}

fn pool(address: SocketAddr, idle_timeout: Duration) -> Pool {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp);
    let authority = address.to_string().parse().unwrap();
    Pool::new(connector, &Scheme::HTTP, &authority, idle_timeout).unwrap()
}

fn request() -> Request<Body> {
    let request = Request::put("/api/x?y");
    request.body(empty()).unwrap()
}

async fn exchange(pool: &Pool) -> Result<Bytes, SendError> {
    let response = pool.send(request()).await?;
    Ok(response.into_body().collect().await.unwrap().to_bytes())
}

const LONG: Duration = Duration::from_mins(1);

fn answer(stream: &mut TcpStream, _: usize, _: usize) -> bool {
    stream.write_all(OK).is_ok()
}

#[tokio::test]
async fn one_connection_carries_one_request_after_the_other() {
    let (address, requests) = upstream(answer);
    let pool = pool(address, LONG);
    for _ in 0..5 {
        assert_eq!(exchange(&pool).await.unwrap(), "ok");
        assert_eq!(requests.recv().unwrap(), 0);
    }
    assert_eq!(pool.0.kept().http1.len(), 1);
    // Another thread's pool shares nothing.
    assert_eq!(exchange(&pool.twin()).await.unwrap(), "ok");
    assert_eq!(requests.recv().unwrap(), 1);
}

#[tokio::test]
async fn a_connection_is_not_kept_before_its_answer_was_read() {
    let (address, requests) = upstream(answer);
    let pool = pool(address, LONG);
    let first = pool.send(request()).await.unwrap();
    assert_eq!(exchange(&pool).await.unwrap(), "ok");
    assert_eq!(pool.0.kept().http1.len(), 1);
    // Given up half-way: never used again.
    drop(first);
    assert_eq!(pool.0.kept().http1.len(), 1);
    assert_eq!(exchange(&pool).await.unwrap(), "ok");
    assert_eq!(requests.iter().take(3).collect::<Vec<_>>(), [0, 1, 1]);
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced_and_the_request_sent_once() {
    // Closes every connection after its answer, without a word about it.
    let (address, requests) = upstream(|stream, connection, number| {
        answer(stream, connection, number);
        false
    });
    let pool = pool(address, LONG);
    for _ in 0..20 {
        assert_eq!(exchange(&pool).await.unwrap(), "ok");
    }
    drop(pool);
    let seen: Vec<usize> = requests.try_iter().collect();
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_request_that_was_read_and_not_answered_is_not_sent_again() {
    // Answers the first request of a connection, and closes it over the second.
    let (address, requests) =
        upstream(|stream, connection, number| number == 0 && answer(stream, connection, number));
    let pool = pool(address, LONG);
    assert_eq!(exchange(&pool).await.unwrap(), "ok");
    let error = exchange(&pool).await.unwrap_err();
    assert!(matches!(error, SendError::Send(_)), "{error:?}");
    assert_eq!(requests.try_iter().collect::<Vec<_>>(), [0, 0]);
}

#[tokio::test]
async fn nobody_there_is_another_error_than_no_answer() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let error = exchange(&pool(closed.unwrap(), LONG)).await.unwrap_err();
    assert!(matches!(error, SendError::Connect(_)), "{error:?}");
}

#[tokio::test]
async fn what_nobody_uses_is_closed_and_the_search_for_it_ends() {
    let (address, requests) = upstream(answer);
    let pool = pool(address, Duration::from_millis(30));
    exchange(&pool).await.unwrap();
    while pool.0.kept().swept {
        tokio::task::yield_now().await;
    }
    assert!(pool.0.kept().http1.is_empty());
    exchange(&pool).await.unwrap();
    assert!(pool.0.kept().swept);
    assert_eq!(requests.try_iter().collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn the_host_is_written_without_the_port_of_its_scheme() {
    for (scheme, authority, host) in [
        ("https", "a.example:443", "a.example"),
        ("https", "a.example", "a.example"),
        ("https", "a.example:80", "a.example:80"),
        ("http", "a.example:80", "a.example"),
        ("http", "[::1]:9100", "[::1]:9100"),
    ] {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let connector = pool(address, LONG).0.connector.clone();
        let (scheme, authority) = (scheme.parse().unwrap(), authority.parse().unwrap());
        let pool = Pool::new(connector, &scheme, &authority, LONG).unwrap();
        assert_eq!(pool.0.host, host);
    }
}
