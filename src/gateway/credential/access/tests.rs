use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;

use serde_json::json;

use super::*;
use crate::gateway::credential::{self, Credential};

/// Answers one question after the other with what it is told to.
struct Server {
    url: String,
    answers: mpsc::Sender<String>,
    asked: mpsc::Receiver<()>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let (answers, told) = mpsc::channel::<String>();
        let (asking, asked) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream);
                let mut length = 0;
                let mut line = String::new();
                while reader.read_line(&mut line).unwrap() > 2 {
                    if let Some(said) = line.to_lowercase().strip_prefix("content-length:") {
                        length = said.trim().parse().unwrap();
                    }
                    line.clear();
                }
                reader.read_exact(&mut vec![0; length]).unwrap();
                asking.send(()).unwrap();
                let Ok(answer) = told.recv() else { return };
                drop(reader.into_inner().write_all(answer.as_bytes()));
            }
        });
        Self {
            url,
            answers,
            asked,
        }
    }

    fn says(&self, status: &str, body: &str) {
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.answers.send(answer).unwrap();
    }

    fn grants(&self, token: &str, seconds: u64) {
        let body = json!({"access_token": token, "token_type": "bearer", "expires_in": seconds});
        self.says("200 OK", &body.to_string());
    }

    /// Blocks until it was asked.
    fn was_asked(&self) {
        self.asked.recv_timeout(Duration::from_mins(1)).unwrap();
    }

    fn access(&self) -> Access {
        let files = tempfile::tempdir().unwrap();
        let secret = files.path().join("secret");
        std::fs::write(&secret, "secret-of-the-client\n").unwrap();
        let text = format!(
            "[oauth]\ntoken_url = '{}'\nclient_id = 'a'\nclient_secret_file = {secret:?}\n",
            self.url
        );
        let config: credential::Config = toml::from_str(&text).unwrap();
        let made = Credential::new(&config, None, &Metrics::new("1")).unwrap();
        let credential::Source::Access(access) = made.source else {
            panic!("it was configured otherwise");
        };
        access
    }
}

async fn shown(access: &Access) -> String {
    access.token().await.unwrap().expose().to_owned()
}

/// A token that is so far from being renewed, and from its end.
fn holds(access: &Access, renew: Duration, ends: Duration) {
    access.state().token = Some(Token {
        authorization: TokenSecret::new("Bearer old".to_owned()),
        renew: Instant::now() + renew,
        ends: Instant::now() + ends,
    });
}

const HOUR: Duration = Duration::from_hours(1);

/// Waits until another token is there than the old one.
async fn renewed(access: &Access) -> String {
    loop {
        let token = shown(access).await;
        if token != "Bearer old" {
            return token;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_and_nobody_waits_for_it() {
    let server = Server::start();
    let access = server.access();
    holds(&access, Duration::ZERO, HOUR);
    // The server does not answer yet.
    for _ in 0..50 {
        assert_eq!(shown(&access).await, "Bearer old");
    }
    server.grants("new", 300);
    assert_eq!(renewed(&access).await, "Bearer new");
    server.was_asked();
    assert!(server.asked.try_recv().is_err(), "once");
    for _ in 0..50 {
        assert_eq!(shown(&access).await, "Bearer new");
    }
    assert!(server.asked.try_recv().is_err());
}

#[tokio::test]
async fn a_good_token_is_used_to_its_end_while_the_server_is_down_and_no_longer() {
    let server = Server::start();
    let access = server.access();
    holds(&access, Duration::ZERO, HOUR);
    server.says("503 Service Unavailable", "");
    while access.failed(Instant::now()).is_none() {
        assert_eq!(shown(&access).await, "Bearer old");
        tokio::task::yield_now().await;
    }
    server.was_asked();
    for _ in 0..50 {
        assert_eq!(shown(&access).await, "Bearer old");
    }
    holds(&access, Duration::ZERO, Duration::ZERO);
    let error = access.token().await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("the answer is 503 Service Unavailable"),
        "{error}"
    );
    assert!(server.asked.try_recv().is_err(), "not so soon");
}

#[tokio::test]
async fn a_token_that_has_ended_is_asked_for_anew() {
    let server = Server::start();
    let access = server.access();
    holds(&access, Duration::ZERO, Duration::ZERO);
    server.grants("new", 300);
    assert_eq!(shown(&access).await, "Bearer new");
}

#[tokio::test]
async fn an_answer_that_is_no_token_is_none_and_is_not_repeated() {
    let long = "x".repeat(LONGEST + 1);
    let of = |token: &str, kind: &str, more: &str| {
        format!("{{\"access_token\":\"{token}\",\"token_type\":\"{kind}\"{more}}}")
    };
    for (status, body, why) in [
        ("200 OK", String::new(), "no JSON object"),
        (
            "200 OK",
            "<html>sign in</html>".to_owned(),
            "no JSON object",
        ),
        (
            "200 OK",
            "{\"access_token\":\"sesame\"}".to_owned(),
            "no JSON object",
        ),
        (
            "200 OK",
            "{\"token_type\":\"bearer\",\"access_token\":7}".to_owned(),
            "no JSON object",
        ),
        ("200 OK", of("sesame", "mac", ""), "not Bearer"),
        ("200 OK", of("", "Bearer", ""), "not written like one"),
        (
            "200 OK",
            of("open sesame", "Bearer", ""),
            "not written like one",
        ),
        (
            "200 OK",
            of("sesame\\r\\nX: y", "Bearer", ""),
            "not written like one",
        ),
        ("200 OK", of(&long, "Bearer", ""), "not written like one"),
        (
            "200 OK",
            of("sesame", "Bearer", ",\"expires_in\":20"),
            "ends before",
        ),
        (
            "200 OK",
            of("sesame", "Bearer", ",\"expires_in\":-1"),
            "no JSON object",
        ),
        (
            "200 OK",
            of("sesame", "Bearer", ",\"expires_in\":\"soon\""),
            "no JSON object",
        ),
        (
            "201 Created",
            of("sesame", "Bearer", ""),
            "the answer is 201 Created",
        ),
        (
            "302 Found\r\nLocation: http://127.0.0.1/",
            of("sesame", "Bearer", ""),
            "a redirect",
        ),
        (
            "400 Bad Request",
            of("sesame", "Bearer", ""),
            "the answer is 400 Bad Request",
        ),
        ("200 OK", " ".repeat(600 << 10), "more than 524288 bytes"),
        ("200 what\r\nContent-Length: 1", String::new(), "/token: "),
    ] {
        let server = Server::start();
        let access = server.access();
        server.says(status, &body);
        let error = access.token().await.unwrap_err().to_string();
        assert!(error.contains(why), "{body}: {error}");
        assert!(
            !error.contains("sesame") && !error.contains("secret"),
            "{error}"
        );
        // And all others hear the same, for a while.
        assert_eq!(access.token().await.unwrap_err().to_string(), error);
        server.was_asked();
        assert!(server.asked.try_recv().is_err());
    }
}

#[test]
fn a_token_lives_as_long_as_it_says_a_day_at_most() {
    let asked = Instant::now();
    let read = |seconds: Option<u64>| {
        let mut answer = json!({"access_token": "a", "token_type": "BEARER"});
        if let Some(seconds) = seconds {
            answer["expires_in"] = json!(seconds);
        }
        let token = Token::read(answer.to_string().as_bytes(), asked).unwrap();
        (token.renew - asked, token.ends - asked)
    };
    let seconds = Duration::from_secs;
    assert_eq!(read(Some(300)), (seconds(150), seconds(290)));
    assert_eq!(read(None), (seconds(150), seconds(290)));
    assert_eq!(read(Some(21)), (Duration::from_millis(10500), seconds(11)));
    assert_eq!(read(Some(u64::MAX)), (seconds(DAY / 2), seconds(DAY - 10)));
}
