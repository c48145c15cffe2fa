//! Keys of an issuer from a server: fetched once for all who need them, rotated, and no longer than they are good.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use dtgate::identity::{Config, Flaw, Origin, Tokens};
use dtgate::telemetry::Metrics;
use dtgate::value::Share;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::harness::{Seen, Upstream, eventually, policies, program, read_message};
use crate::signer::Signer;

const NOW: i64 = 1_800_000_000;

fn now() -> jiff::Timestamp {
    jiff::Timestamp::from_second(NOW).unwrap()
}

fn answer(status: &str, more: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{more}\r\n{body}").into_bytes()
}

/// A server of which each path has an answer that can be changed.
struct Issuer {
    server: Upstream,
    answers: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Issuer {
    fn start() -> Self {
        let answers: Arc<Mutex<BTreeMap<String, Vec<u8>>>> = Arc::default();
        let known = answers.clone();
        let server = Upstream::answering_all(move |seen| {
            let known = known.lock().unwrap();
            let found = known.get(path(seen)).cloned();
            found.unwrap_or_else(|| answer("404 Not Found", "", ""))
        });
        Self { server, answers }
    }

    fn with(signers: &[&Signer]) -> Self {
        let issuer = Self::start();
        issuer.publishes(signers);
        issuer
    }

    fn answers(&self, path: &str, answer: Vec<u8>) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    fn publishes(&self, signers: &[&Signer]) {
        let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
        let keys = json!({ "keys": keys }).to_string();
        self.answers("/keys", answer("200 OK", "", &keys));
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// How often a path was asked for.
    fn asked(&self, wanted: &str) -> usize {
        let seen = self.server.seen();
        seen.iter().filter(|seen| path(seen) == wanted).count()
    }

    fn gate(&self, lines: &str) -> Gate {
        let lines = format!("jwks_url = '{}/keys'\n{lines}", self.url());
        Gate::new(&self.url(), &lines)
    }

    fn discovering(&self) -> Gate {
        Gate::new(&self.url(), "discovery = true")
    }

    fn claims(&self) -> Value {
        json!({"iss": self.url(), "aud": "dtgate", "sub": "ci", "exp": NOW + 300})
    }

    fn token(&self, signer: &Signer) -> String {
        signer.token(&self.claims())
    }
}

fn path(seen: &Seen) -> &str {
    seen.line.split(' ').nth(1).unwrap_or_default()
}

/// One address that may have all there is.
const ORIGIN: Origin = Origin {
    address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    share: Share::percent(100),
    signatures: 64,
};

/// What the gate has to check tokens with.
struct Gate {
    tokens: Tokens,
    config: Config,
    metrics: Metrics,
    runtime: Runtime,
}

impl Gate {
    fn new(issuer: &str, lines: &str) -> Self {
        let text = format!("[jwt.ci]\nissuer = '{issuer}'\naudience = 'dtgate'\n{lines}\n");
        let config: Config = toml::from_str(&text).unwrap();
        let metrics = Metrics::new("1.2.3");
        Self {
            tokens: Tokens::new(&config, &metrics, now).unwrap(),
            config,
            metrics,
            runtime: Runtime::new().unwrap(),
        }
    }

    /// What is wrong with a token; nothing with a good one.
    fn flaw(&self, token: &str) -> Option<Flaw> {
        self.runtime
            .block_on(flaw(self.tokens.clone(), token.to_owned()))
    }

    /// Why the last fetch did not go well.
    fn failure(&self) -> String {
        let health = self.tokens.health();
        health[0].failure.clone().unwrap_or_default()
    }

    fn reached(&self, limit: &str) -> u64 {
        let name = format!("dtgate_limit_reached_total{{limit=\"{limit}\"}}");
        let text = self.metrics.encode();
        let line = text.lines().find_map(|line| line.strip_prefix(&*name));
        line.unwrap().trim().parse().unwrap()
    }
}

async fn flaw(tokens: Tokens, token: String) -> Option<Flaw> {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    match tokens.verify(&headers, ORIGIN, now).await {
        Ok(jwt) => {
            assert_eq!(jwt.expect("it is the gate's").subject, "ci");
            None
        }
        Err(error) => Some(error.flaw),
    }
}

#[test]
fn keys_are_fetched_once_for_all_who_need_them() {
    let signer = Signer::es256("k");
    let issuer = Issuer::with(&[&signer]);
    let gate = issuer.gate("");
    let token = issuer.token(&signer);
    // Of several threads with a runtime each, as workers have.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (tokens, token) = (gate.tokens.clone(), token.clone());
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = { runtime }.enable_all().build().unwrap();
                runtime.block_on(async {
                    let mut asked = JoinSet::new();
                    for _ in 0..20 {
                        asked.spawn(flaw(tokens.clone(), token.clone()));
                    }
                    // Its own waiters have a runtime that may end before the fetch, which it may have begun.
                    while let Some(said) = asked.join_next().await {
                        assert_eq!(said.unwrap(), None);
                    }
                });
            });
        }
    });
    assert_eq!(issuer.asked("/keys"), 1);
    let text = gate.metrics.encode();
    let fetched = format!("dtgate_jwks_fetched_timestamp_seconds{{issuer=\"ci\"}} {NOW}");
    assert!(text.contains(&fetched), "{text}");
}

#[test]
fn an_issuer_is_found_by_its_own_description() {
    let signer = Signer::es256("k");
    let issuer = Issuer::with(&[&signer]);
    let (place, url) = ("/.well-known/openid-configuration", issuer.url());
    let describe = |said: &Value| issuer.answers(place, answer("200 OK", "", &said.to_string()));
    let token = issuer.token(&signer);
    describe(
        &json!({"issuer": url, "jwks_uri": format!("{url}/keys"), "scopes_supported": ["openid"]}),
    );
    assert_eq!(issuer.discovering().flaw(&token), None);
    assert_eq!((issuer.asked(place), issuer.asked("/keys")), (1, 1));
    // Each of these is somebody else's, or nobody's.
    for (said, why) in [
        (
            json!({"issuer": format!("{url}/"), "jwks_uri": format!("{url}/keys")}),
            "says that it is issuer",
        ),
        (
            json!({"issuer": "https://other.example", "jwks_uri": format!("{url}/keys")}),
            "says that it is issuer",
        ),
        (
            json!({"issuer": url, "jwks_uri": "http://other.example/keys"}),
            "https is needed",
        ),
        (
            json!({"issuer": url, "jwks_uri": "file:///etc/passwd"}),
            "no URL",
        ),
        (json!({"issuer": url}), "\"jwks_uri\" is missing"),
        (
            json!({"jwks_uri": format!("{url}/keys")}),
            "\"issuer\" is missing",
        ),
        (json!([]), "\"issuer\" is missing"),
    ] {
        describe(&said);
        let gate = issuer.discovering();
        assert_eq!(gate.flaw(&token), Some(Flaw::Unavailable), "{said}");
        assert!(gate.failure().contains(why), "{said}: {}", gate.failure());
    }
    assert_eq!(issuer.asked("/keys"), 1);
}

#[test]
fn a_token_that_is_bad_anyway_fetches_nothing() {
    let signer = Signer::es256("k");
    let issuer = Issuer::with(&[&signer]);
    let gate = issuer.gate("");
    let with = |name: &str, value: Value| {
        let mut claims = issuer.claims();
        claims[name] = value;
        gate.flaw(&signer.token(&claims))
    };
    assert_eq!(with("exp", json!(NOW - 100)), Some(Flaw::Expired));
    assert_eq!(with("nbf", json!(NOW + 100)), Some(Flaw::NotYet));
    assert_eq!(with("aud", json!("other")), Some(Flaw::Audience));
    let claims = issuer.claims().to_string();
    for head in [
        r#"{"alg":"none","kid":"k"}"#,
        r#"{"alg":"HS256","kid":"k"}"#,
    ] {
        assert_eq!(
            gate.flaw(&signer.signed(head, &claims)),
            Some(Flaw::Algorithm)
        );
    }
    assert_eq!(issuer.asked("/keys"), 0);
    assert_eq!(gate.flaw(&issuer.token(&signer)), None);
    assert_eq!(
        gate.flaw(&issuer.token(&Signer::es256("k"))),
        Some(Flaw::Signature)
    );
    assert_eq!(issuer.asked("/keys"), 1);
}

#[test]
fn a_flood_of_unknown_keys_fetches_no_more() {
    let signer = Signer::es256("k");
    let issuer = Issuer::with(&[&signer]);
    // Longer than this test: the first fetch is the last.
    let gate = issuer.gate("pause = '1h'");
    assert_eq!(gate.flaw(&issuer.token(&signer)), None);
    let claims = issuer.claims().to_string();
    gate.runtime.block_on(async {
        let mut asked = JoinSet::new();
        for number in 0..2000 {
            let head = format!(r#"{{"alg":"ES256","kid":"k{number}"}}"#);
            asked.spawn(flaw(gate.tokens.clone(), signer.signed(&head, &claims)));
        }
        while let Some(said) = asked.join_next().await {
            assert_eq!(said.unwrap(), Some(Flaw::Key));
        }
    });
    assert_eq!(issuer.asked("/keys"), 1);
    assert_eq!(gate.reached("jwks_pause"), 2000);
    // And nobody else is hurt.
    assert_eq!(gate.flaw(&issuer.token(&signer)), None);
}

#[test]
fn rotated_keys_are_found_and_old_ones_forgotten() {
    let [old, new] = [Signer::es256("old"), Signer::rsa("new")];
    let issuer = Issuer::with(&[&old]);
    let gate = issuer.gate("pause = '1ms'");
    assert_eq!(gate.flaw(&issuer.token(&old)), None);
    issuer.publishes(&[&old, &new]);
    assert_eq!(
        eventually("found", || gate
            .flaw(&issuer.token(&new))
            .is_none()
            .then_some(())),
        ()
    );
    assert_eq!(gate.flaw(&issuer.token(&old)), None);
    issuer.publishes(&[&new]);
    let known = issuer.asked("/keys");
    // Nobody asks while the names are known: an old key is good until the next fetch.
    assert_eq!(gate.flaw(&issuer.token(&old)), None);
    assert_eq!(issuer.asked("/keys"), known);
    let third = Signer::es256("third");
    eventually("asked", || {
        let flaw = gate.flaw(&issuer.token(&third));
        (flaw == Some(Flaw::Key) && issuer.asked("/keys") > known).then_some(())
    });
    assert_eq!(gate.flaw(&issuer.token(&old)), Some(Flaw::Key));
    assert_eq!(gate.flaw(&issuer.token(&new)), None);
    // Asked for in vain, it is not asked for again.
    let known = issuer.asked("/keys");
    for _ in 0..100 {
        assert_eq!(gate.flaw(&issuer.token(&third)), Some(Flaw::Key));
    }
    assert_eq!(issuer.asked("/keys"), known);
}

#[test]
fn while_no_keys_come_the_old_ones_are_used_and_then_nobody_is_let_in() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start();
    issuer.answers("/keys", answer("503 Service Unavailable", "", ""));
    let gate = issuer.gate("pause = '1ms'\nmax_age = '2s'");
    let token = issuer.token(&signer);
    assert_eq!(gate.flaw(&token), Some(Flaw::Unavailable));
    assert!(
        gate.failure()
            .ends_with("/keys: the answer is 503 Service Unavailable"),
        "{}",
        gate.failure()
    );
    issuer.publishes(&[&signer]);
    eventually("good", || gate.flaw(&token).is_none().then_some(()));
    issuer.answers("/keys", answer("500 Internal Server Error", "", ""));
    let asked = issuer.asked("/keys");
    eventually("too old", || {
        (gate.flaw(&token) == Some(Flaw::Unavailable)).then_some(())
    });
    assert!(issuer.asked("/keys") > asked);
    assert!(gate.reached("jwks_age") > 0 || !gate.failure().is_empty());
    issuer.publishes(&[&signer]);
    eventually("good again", || gate.flaw(&token).is_none().then_some(()));
    // Nobody there at all.
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let gate = Gate::new(&issuer.url(), &format!("jwks_url = 'http://{nobody}/keys'"));
    assert_eq!(gate.flaw(&token), Some(Flaw::Unavailable));
    assert!(Flaw::Unavailable.is_passing());
}

#[test]
fn who_waits_for_a_slow_server_waits_for_a_while_and_not_with_everybody() {
    let (over, until) = mpsc::channel::<()>();
    let until = Mutex::new(until);
    let server = Upstream::answering_all(move |_| {
        // Until the test is over.
        assert!(until.lock().unwrap().recv().is_err());
        Vec::new()
    });
    let url = format!("http://{}", server.address);
    let gate = Gate::new(
        &url,
        &format!("jwks_url = '{url}/keys'\ntimeout = '1s'\npause = '1h'"),
    );
    let claims = json!({"iss": url, "aud": "dtgate", "sub": "ci", "exp": NOW + 300});
    let token = Signer::es256("k").token(&claims);
    let (mut waited, mut crowded) = (0, 0);
    gate.runtime.block_on(async {
        let mut asked = JoinSet::new();
        for _ in 0..400 {
            asked.spawn(flaw(gate.tokens.clone(), token.clone()));
        }
        while let Some(said) = asked.join_next().await {
            match said.unwrap() {
                Some(Flaw::Unavailable) => waited += 1,
                Some(Flaw::Waiting) => crowded += 1,
                other => panic!("{other:?}"),
            }
        }
    });
    assert!(
        waited <= 256 && crowded >= 144,
        "{waited} waited, {crowded} did not"
    );
    assert_eq!(server.seen().len(), 1);
    assert_eq!(gate.reached("jwks_waiting"), crowded);
    assert_eq!(gate.reached("jwks_timeout"), 1);
    assert!(
        gate.failure().contains("no answer within 1s"),
        "{}",
        gate.failure()
    );
    drop(over);
}

#[test]
fn an_answer_that_is_none_is_not_taken() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start();
    let token = issuer.token(&signer);
    let keys = json!({"keys": [signer.jwk()]}).to_string();
    issuer.answers("/elsewhere", answer("200 OK", "", &keys));
    let elsewhere = format!("Location: {}/elsewhere\r\n", issuer.url());
    let huge = format!("{}{keys}", " ".repeat(600 << 10));
    let many: Vec<Value> = (0..101).map(|_| signer.jwk()).collect();
    let many = json!({ "keys": many }).to_string();
    let mut chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..20 {
        chunks.extend(format!("10000\r\n{}\r\n", " ".repeat(0x10000)).bytes());
    }
    for (said, why, long) in [
        (
            answer("302 Found", &elsewhere, ""),
            "the answer is 302 Found, a redirect",
            0,
        ),
        (
            answer("307 Temporary Redirect", &elsewhere, ""),
            "a redirect",
            0,
        ),
        (
            answer("201 Created", "", &keys),
            "the answer is 201 Created",
            0,
        ),
        (answer("200 OK", "", &huge), "more than 524288 bytes", 1),
        (chunks, "more than 524288 bytes", 1),
        (answer("200 OK", "", &many), "more than 100 keys", 1),
        (
            answer("200 OK", "", "<html>sign in</html>"),
            "no set of keys",
            0,
        ),
        (
            answer(
                "200 OK",
                "",
                &keys.replace("\"keys\"", "\"keys\":[],\"keys\""),
            ),
            "no set of keys",
            0,
        ),
        (b"not HTTP\r\n\r\n".to_vec(), "/keys: ", 0),
        (
            answer("200 OK", &format!("X: {}\r\n", "x".repeat(1 << 20)), &keys),
            "/keys: ",
            0,
        ),
    ] {
        issuer.answers("/keys", said);
        let gate = issuer.gate("");
        assert_eq!(gate.flaw(&token), Some(Flaw::Unavailable), "{why}");
        assert!(gate.failure().contains(why), "{why}: {}", gate.failure());
        assert_eq!(gate.reached("jwks_answer"), long, "{why}");
    }
    assert_eq!(issuer.asked("/elsewhere"), 0);
}

#[test]
fn a_set_without_a_key_that_can_be_used_takes_no_good_ones_away() {
    let signer = Signer::es256("k");
    let issuer = Issuer::with(&[&signer]);
    let token = issuer.token(&signer);
    let gate = issuer.gate("pause = '1ms'");
    assert_eq!(gate.flaw(&token), None);
    let mut other = signer.jwk();
    other["use"] = json!("enc");
    let other = json!({"keys": [other]}).to_string();
    for (set, why) in [
        ("{\"keys\":[]}", "the list \"keys\" is empty"),
        (
            &*other,
            "no key in it can be used: keys[0]: it is not for signatures (use)",
        ),
    ] {
        issuer.answers("/keys", answer("200 OK", "", set));
        // An unknown name makes the gate ask.
        let unknown = issuer.token(&Signer::es256(why));
        assert_eq!(gate.flaw(&unknown), Some(Flaw::Unavailable));
        assert!(gate.failure().contains(why), "{}", gate.failure());
        assert_eq!(gate.flaw(&token), None, "{why}");
        let health = &gate.tokens.health()[0];
        assert!(health.usable && health.keys == 1, "{health:?}");
        // Where there were none before, tokens may be good, and nobody can say.
        let fresh = issuer.gate("");
        assert_eq!(fresh.flaw(&token), Some(Flaw::Unavailable));
        assert!(!fresh.tokens.health()[0].usable);
        let text = fresh.metrics.encode();
        let failed = "dtgate_jwks_fetches_total{issuer=\"ci\",result=\"failed\"} 1";
        assert!(text.contains(failed), "{text}");
    }
}

/// A server with a certificate of its own, which gives the keys to everybody.
fn encrypted(certified: &CertifiedKey<KeyPair>, keys: &str) -> SocketAddr {
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth();
    let config = config.with_single_cert(vec![certified.cert.der().clone()], key);
    let config = Arc::new(config.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let keys = answer("200 OK", "", keys);
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, socket);
            // A client that does not trust it goes away.
            if read_message(&mut BufReader::new(&mut stream)).is_some() {
                drop(stream.write_all(&keys));
            }
        }
    });
    address
}

#[test]
fn keys_come_from_whom_the_authorities_vouch_for() {
    let signer = Signer::es256("k");
    let keys = json!({"keys": [signer.jwk()]}).to_string();
    let certified = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let address = encrypted(&certified, &keys);
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, certified: &CertifiedKey<KeyPair>| {
        let path = directory.path().join(name);
        std::fs::write(&path, certified.cert.pem()).unwrap();
        path
    };
    let (right, wrong) = (file("right.pem", &certified), file("wrong.pem", &other));
    let issuer = "https://ci.example";
    let claims = json!({"iss": issuer, "aud": "dtgate", "sub": "ci", "exp": NOW + 300});
    let token = signer.token(&claims);
    let gate = |host: &str, ca: &str| {
        let port = address.port();
        Gate::new(
            issuer,
            &format!("jwks_url = 'https://{host}:{port}/'\n{ca}"),
        )
    };
    assert_eq!(
        gate("localhost", &format!("ca = {right:?}")).flaw(&token),
        None
    );
    for (host, ca) in [
        ("localhost", format!("ca = {wrong:?}")),
        ("localhost", String::new()),
        ("127.0.0.1", format!("ca = {right:?}")),
    ] {
        let gate = gate(host, &ca);
        assert_eq!(gate.flaw(&token), Some(Flaw::Unavailable), "{host} {ca}");
        assert!(
            gate.failure().contains("invalid peer certificate"),
            "{}",
            gate.failure()
        );
    }
}

#[test]
fn check_reads_the_files_and_asks_nobody() {
    let signer = Signer::es256("k");
    let issuer = Issuer::with(&[&signer]);
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys.json");
    std::fs::write(&keys, json!({"keys": [signer.jwk()]}).to_string()).unwrap();
    let text = format!(
        "[identity.jwt.file]\nissuer = 'a'\naudience = 'b'\njwks_file = {keys:?}\n\
         [identity.jwt.url]\nissuer = 'c'\naudience = 'b'\njwks_url = '{}/keys'\n\
         [identity.forwarded]\nfrom = ['10.0.0.0/8']\nheader = 'forwarded'\n\
         [upstream]\nurl = 'http://127.0.0.1:1'\n",
        issuer.url()
    );
    let config = directory.path().join("dtgate.toml");
    std::fs::write(&config, text).unwrap();
    let output = program()
        .args(["check", "--compare", "0", "--policies"])
        .arg(policies())
        .arg("--config")
        .arg(&config)
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(issuer.asked("/keys"), 0);
}

#[test]
fn keys_outlive_a_change_of_the_configuration() {
    let signer = Signer::es256("k");
    let issuer = Issuer::with(&[&signer]);
    let gate = issuer.gate("");
    let token = issuer.token(&signer);
    assert_eq!(gate.flaw(&token), None);
    issuer.answers("/keys", answer("500 Internal Server Error", "", ""));
    let mut config = gate.config.clone();
    for changed in config.jwt.values_mut() {
        changed.audience.push("more".to_owned());
    }
    let renewed = gate.tokens.renew(&config).unwrap();
    assert_eq!(gate.runtime.block_on(flaw(renewed, token)), None);
    assert_eq!(issuer.asked("/keys"), 1);
}

#[test]
fn keys_are_fetched_before_anybody_needs_them() {
    let signer = Signer::es256("k");
    let issuer = Issuer::with(&[&signer]);
    let gate = issuer.gate("");
    let tokens = gate.tokens.clone();
    let keeping = gate.runtime.spawn(async move { tokens.keep().await });
    eventually("fetched", || gate.tokens.health()[0].usable.then_some(()));
    assert_eq!(gate.flaw(&issuer.token(&signer)), None);
    assert_eq!(issuer.asked("/keys"), 1);
    let health = gate.tokens.health();
    assert!(
        health[0].keys == 1 && health[0].age < Some(Duration::from_mins(2)),
        "{health:?}"
    );
    keeping.abort();
}
