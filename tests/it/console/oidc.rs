//! Logins at an issuer that is made up: who is let in, and every way in which nobody is.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{FROM_HERE, PATIENT, gate, text};
use crate::harness::{Answered, Gate, Seen, Upstream, eventually, from, read_answer};
use crate::signer::{Signer, digits};
use crate::tls::clients::now;

const CLIENT_SECRET: &str = "NPVZ3XWKT7QH2LBR5MJC4YGDS6FEAU2O";

/// What it answers where codes are exchanged, as raw bytes; then it goes on or not.
type Say = Arc<Mutex<Vec<u8>>>;

struct Issuer {
    server: Upstream,
    signer: Arc<Signer>,
    say: Say,
    description: Say,
}

/// A login that has begun.
struct Begun {
    to: String,
    state: String,
    nonce: String,
    cookie: String,
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

impl Issuer {
    fn new() -> Self {
        let signer = Arc::new(Signer::es256("k"));
        let (say, description) = (Say::default(), Say::default());
        let (keys, said, described) = (signer.jwk(), say.clone(), description.clone());
        let server = Upstream::answering_all(move |seen: &Seen| {
            let url = format!("http://{}", seen.header("host").unwrap());
            match seen.line.split(' ').nth(1).unwrap() {
                "/.well-known/openid-configuration" => {
                    let described = described.lock().unwrap().clone();
                    if !described.is_empty() {
                        return described;
                    }
                    let text = json!({
                        "issuer": url, "authorization_endpoint": format!("{url}/authorize?tenant=1"),
                        "token_endpoint": format!("{url}/token"), "jwks_uri": format!("{url}/keys"),
                    });
                    answer("200 OK", &text.to_string())
                }
                "/keys" => answer("200 OK", &json!({ "keys": [keys] }).to_string()),
                "/token" => said.lock().unwrap().clone(),
                other => answer("404 Not Found", other),
            }
        });
        Self {
            server,
            signer,
            say,
            description,
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    fn gate(&self, upstream: &Upstream) -> (tempfile::TempDir, Gate) {
        let directory = tempfile::tempdir().unwrap();
        let secret = directory.path().join("secret");
        std::fs::write(&secret, format!("{CLIENT_SECRET}\n")).unwrap();
        let config = format!(
            "[console]\nlogin = 'oidc'\n{PATIENT}public_url = 'http://localhost:8081'\n\
             [console.oidc]\nissuer = '{}'\nclient_id = 'console'\nclient_secret_file = '{}'\n\
             roles_claim = 'groups'\nname_claim = 'email'\nscopes = ['groups']\ntimeout = '1s'\n\
             [console.oidc.roles]\ngate-auditors = 'auditor'\nstaff = []\n",
            self.url(),
            secret.display()
        );
        let gate = gate(upstream, &config);
        (directory, gate)
    }

    /// What a good token says of a login.
    fn claims(&self, begun: &Begun) -> Value {
        json!({
            "iss": self.url(), "aud": "console", "sub": "0815", "email": "alice@example.org", "iat": now(),
            "exp": now() + 60, "nonce": begun.nonce, "groups": ["gate-auditors", "others"],
        })
    }

    fn says(&self, bytes: Vec<u8>) {
        *self.say.lock().unwrap() = bytes;
    }

    fn hands_over(&self, token: &str) {
        let body = json!({"access_token": "x", "token_type": "Bearer", "id_token": token});
        self.says(answer("200 OK", &body.to_string()));
    }

    fn hands_over_claims(&self, claims: &Value) {
        self.hands_over(&self.signer.token(claims));
    }
}

/// Each from an address of its own: one may try ten times.
fn ask(gate: &Gate, target: &str, fields: &str) -> Answered {
    static LAST: AtomicU8 = AtomicU8::new(1);
    let host = LAST.fetch_add(1, Ordering::Relaxed) / 4 + 1;
    let mut stream = from(Ipv4Addr::new(127, 0, 7, host), gate.admin).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: localhost:8081\r\n{fields}\r\n"
    )
    .unwrap();
    read_answer(&mut std::io::BufReader::new(stream)).unwrap()
}

/// A value of the URL.
fn value(url: &str, name: &str) -> String {
    let (_, query) = url.split_once('?').unwrap();
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(known, _)| *known == name).unwrap();
    percent_encoding::percent_decode_str(value)
        .decode_utf8()
        .unwrap()
        .into_owned()
}

fn begin(gate: &Gate, next: &str) -> Begun {
    begun(&ask(gate, &format!("/console/login/oidc?next={next}"), ""))
}

/// In a browser that shows this cookie.
fn again(gate: &Gate, cookie: &str) -> Begun {
    begun(&ask(gate, "/console/login/oidc?next=", cookie))
}

fn begun(answer: &Answered) -> Begun {
    assert_eq!(answer.status, 303, "{answer:?}");
    let to = answer.header("location").unwrap().to_owned();
    let cookie = answer.header("set-cookie").unwrap();
    assert!(
        cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=600"),
        "{cookie}"
    );
    Begun {
        state: value(&to, "state"),
        nonce: value(&to, "nonce"),
        cookie: format!("Cookie: {}\r\n", cookie.split(';').next().unwrap()),
        to,
    }
}

fn back(gate: &Gate, query: &str, cookie: &str) -> Answered {
    ask(gate, &format!("/console/login/callback?{query}"), cookie)
}

/// What comes of a login with this token.
fn with_token(issuer: &Issuer, gate: &Gate, token: impl FnOnce(&Begun) -> String) -> Answered {
    let begun = begin(gate, "");
    issuer.hands_over(&token(&begun));
    back(
        gate,
        &format!("code=c&state={}", begun.state),
        &begun.cookie,
    )
}

fn session(answer: &Answered) -> Option<String> {
    let mut cookies = answer.headers.iter();
    let set = cookies
        .find(|(name, value)| name == "set-cookie" && value.starts_with("dtgate-console-8081="));
    set.map(|(_, value)| format!("Cookie: {}\r\n", value.split(';').next().unwrap()))
}

#[track_caller]
fn refused(answer: &Answered, status: u16, reason: &str) {
    assert_eq!(answer.status, status, "{reason}: {answer:?}");
    assert!(text(answer).contains(reason), "{reason}: {}", text(answer));
    assert_eq!(session(answer), None, "{reason}");
}

/// The same, where the log alone may say why.
#[track_caller]
fn refused_for(gate: &Gate, answer: &Answered, status: u16, reason: &str) {
    if text(answer).contains(reason) {
        return refused(answer, status, reason);
    }
    refused(answer, status, "the log of dtgate says why");
    eventually(reason, || gate.log().contains(reason).then_some(()));
}

#[test]
fn who_has_logged_in_at_the_issuer_is_let_in_with_the_roles_of_the_token() {
    let (issuer, upstream) = (Issuer::new(), Upstream::lenient());
    let (_directory, gate) = issuer.gate(&upstream);
    let page = text(&ask(&gate, "/console/login?next=%2Fconsole%2Fcallers", ""));
    assert!(
        page.contains("href=\"/console/login/oidc?next=%2Fconsole%2Fcallers\""),
        "{page}"
    );
    assert!(!page.contains("type=\"password\""), "{page}");
    let begun = begin(&gate, "%2Fconsole%2Fcallers");
    let authorize = format!("{}/authorize?tenant=1&response_type=code&", issuer.url());
    assert!(begun.to.starts_with(&authorize), "{}", begun.to);
    for (name, wanted) in [
        ("client_id", "console"),
        (
            "redirect_uri",
            "http://localhost:8081/console/login/callback",
        ),
        ("scope", "openid groups"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(value(&begun.to, name), wanted);
    }
    issuer.hands_over_claims(&issuer.claims(&begun));
    let entered = back(
        &gate,
        &format!("code=c%2B1&state={}", begun.state),
        &begun.cookie,
    );
    assert_eq!(entered.status, 200, "{entered:?}");
    let refresh = "<meta http-equiv=\"refresh\" content=\"0;url=/console/callers\">";
    assert!(text(&entered).contains(refresh), "{entered:?}");
    let asked = issuer.server.seen();
    let asked = asked
        .iter()
        .find(|seen| seen.line.contains("/token"))
        .unwrap();
    let question = format!("/x?{}", String::from_utf8_lossy(&asked.body));
    let proof = Sha256::digest(value(&question, "code_verifier").as_bytes());
    assert_eq!(
        BASE64URL_NOPAD.encode(&proof),
        value(&begun.to, "code_challenge")
    );
    assert_eq!(value(&question, "code"), "c+1");
    assert_eq!(
        value(&question, "redirect_uri"),
        value(&begun.to, "redirect_uri")
    );
    let shown = format!(
        "Basic {}",
        BASE64.encode(format!("console:{CLIENT_SECRET}").as_bytes())
    );
    assert_eq!(asked.header("authorization"), Some(&*shown));
    let session = session(&entered).unwrap();
    let page = eventually("there is an index", || {
        let page = ask(&gate, "/console/decisions", &session);
        (page.status == 200).then_some(page)
    });
    assert!(text(&page).contains("alice@example.org"));
    // An auditor may search by names.
    assert_eq!(
        ask(&gate, "/console/decisions?token=x", &session).status,
        200
    );
    // There is no password.
    let form = super::log_in(gate.admin, "alice", "x", FROM_HERE);
    assert_eq!(form.status, 404);
    let log = gate.log();
    assert!(log.contains("\"way\":\"oidc\""), "{log}");
    for secret in [CLIENT_SECRET, &begun.state, &begun.nonce, "code=c", "eyJ"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

#[test]
fn who_has_fewer_roles_at_the_issuer_sees_less() {
    let (issuer, upstream) = (Issuer::new(), Upstream::lenient());
    let (directory, gate) = issuer.gate(&upstream);
    let begun = begin(&gate, "");
    let mut claims = issuer.claims(&begun);
    claims["groups"] = "staff".into();
    // A name that is empty is none.
    claims["email"] = " ".into();
    issuer.hands_over_claims(&claims);
    let query = format!("code=c&state={}", begun.state);
    let viewer = session(&back(&gate, &query, &begun.cookie)).unwrap();
    let page = eventually("there is an index", || {
        let page = ask(&gate, "/console/policies", &viewer);
        (page.status == 200).then_some(page)
    });
    assert!(text(&page).contains("0815"), "{page:?}");
    let private = ask(&gate, "/console/decisions.csv", &viewer);
    assert_eq!(private.status, 403);
    // Another login in this browser ends the session, though the issuer leads back without its cookie.
    let begun = again(&gate, &viewer);
    issuer.hands_over_claims(&issuer.claims(&begun));
    let query = format!("code=c&state={}", begun.state);
    let later = session(&back(&gate, &query, &begun.cookie)).unwrap();
    assert_eq!(ask(&gate, "/console/policies", &viewer).status, 303);
    assert_eq!(ask(&gate, "/console/policies", &later).status, 200);
    // Where files are is nothing for whoever has not logged in.
    std::fs::remove_file(directory.path().join("secret")).unwrap();
    let begun = again(&gate, "");
    let query = format!("code=c&state={}", begun.state);
    let failed = back(&gate, &query, &begun.cookie);
    refused(&failed, 502, "the log of dtgate says why");
    let place = directory.path().display().to_string();
    assert!(!text(&failed).contains(&place), "{failed:?}");
    eventually("the log says where", || {
        gate.log().contains(&place).then_some(())
    });
}

#[test]
fn a_login_counts_once_and_only_in_the_browser_in_which_it_began() {
    let (issuer, upstream) = (Issuer::new(), Upstream::lenient());
    let (_directory, gate) = issuer.gate(&upstream);
    let unknown = "did not begin in this browser";
    let (mine, others) = (begin(&gate, ""), begin(&gate, ""));
    let query = format!("code=c&state={}", mine.state);
    issuer.hands_over_claims(&issuer.claims(&mine));
    // Who sends somebody else to where a login of their own ends does not log them in.
    refused(&back(&gate, &query, ""), 403, unknown);
    refused(&back(&gate, &query, &others.cookie), 403, unknown);
    for wrong in [
        String::new(),
        "code=c&state=".to_owned(),
        "code=c&state=guessed".to_owned(),
        format!("{query}&state={}", mine.state),
        format!("code=c&state={}", others.state),
    ] {
        refused(&back(&gate, &wrong, &mine.cookie), 403, unknown);
    }
    assert!(session(&back(&gate, &query, &mine.cookie)).is_some());
    refused(&back(&gate, &query, &mine.cookie), 403, unknown);
    // Nobody was asked about any but the one.
    let asked = issuer.server.seen();
    let asked = asked.iter().filter(|seen| seen.line.contains("/token"));
    assert_eq!(asked.count(), 1);
}

#[test]
fn a_token_that_is_not_good_or_not_about_this_login_lets_nobody_in() {
    let (issuer, upstream) = (Issuer::new(), Upstream::lenient());
    let (_directory, gate) = issuer.gate(&upstream);
    let cases: [(&str, Value, &str); 12] = [
        ("nonce", json!("another"), "about another login"),
        ("nonce", Value::Null, "about another login"),
        ("aud", json!("another"), "it is for somebody else"),
        ("aud", json!(["console", "another"]), "for another client"),
        ("azp", json!("another"), "for another client"),
        ("exp", json!(now() - 3600), "it has expired"),
        ("iat", json!(now() + 3600), "issued in the future"),
        (
            "iss",
            json!("https://another.example"),
            "none that the gate knows",
        ),
        ("sub", Value::Null, "does not say whose it is"),
        (
            "groups",
            json!(["others"]),
            "none of your roles there is one here",
        ),
        (
            "groups",
            json!({"gate-auditors": 1}),
            "none of your roles there is one here",
        ),
        (
            "groups",
            Value::Null,
            "none of your roles there is one here",
        ),
    ];
    for (name, value, reason) in cases {
        let answer = with_token(&issuer, &gate, |begun| {
            let mut claims = issuer.claims(begun);
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value,
            }
            issuer.signer.token(&claims)
        });
        refused(&answer, 403, reason);
    }
    let unsigned = with_token(&issuer, &gate, |begun| {
        let head = digits(br#"{"alg":"none","kid":"k"}"#);
        format!(
            "{head}.{}.",
            digits(issuer.claims(begun).to_string().as_bytes())
        )
    });
    refused(&unsigned, 403, "its algorithm is none of those");
    let shared = with_token(&issuer, &gate, |begun| {
        let head = digits(br#"{"alg":"HS256","kid":"k"}"#);
        let message = format!(
            "{head}.{}",
            digits(issuer.claims(begun).to_string().as_bytes())
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(&issuer.signer.public_bytes()).unwrap();
        mac.update(message.as_bytes());
        format!("{message}.{}", digits(&mac.finalize().into_bytes()))
    });
    refused(&shared, 403, "its algorithm is none of those");
    let forged = with_token(&issuer, &gate, |begun| {
        Signer::es256("k").token(&issuer.claims(begun))
    });
    refused(&forged, 403, "its signature is wrong");
    let twice = with_token(&issuer, &gate, |begun| {
        let claims = issuer.claims(begun).to_string();
        let claims = claims.replace("{\"iss\"", "{\"nonce\":\"a\",\"iss\"");
        let head = json!({"alg": "ES256", "kid": "k"});
        issuer.signer.signed(&head.to_string(), &claims)
    });
    refused(&twice, 403, "the token of the issuer is refused");
    assert!(
        with_token(&issuer, &gate, |begun| issuer
            .signer
            .token(&issuer.claims(begun)))
        .status
            == 200
    );
}

#[test]
fn an_issuer_that_errs_is_slow_or_does_not_end_lets_nobody_in_and_is_not_waited_for() {
    let (issuer, upstream) = (Issuer::new(), Upstream::lenient());
    let (_directory, gate) = issuer.gate(&upstream);
    let asked = |more: &str| {
        let begun = begin(&gate, "");
        let clock = Instant::now();
        let answer = back(
            &gate,
            &format!("{more}&state={}", begun.state),
            &begun.cookie,
        );
        assert!(clock.elapsed() < Duration::from_secs(10), "{more}");
        answer
    };
    refused(
        &asked("error=access_denied&error_description=%3Cb%3E"),
        403,
        "did not log you in: access_denied",
    );
    refused(&asked("error=%3Cscript%3E"), 403, "it does not say why");
    refused(
        &asked("code=c&iss=https%3A%2F%2Fevil.example"),
        403,
        "not from the issuer",
    );
    refused(&asked("code="), 403, "has no code");
    refused(&asked("code=a&code=b"), 403, "has no code");
    let large = format!("{{\"id_token\":\"{}\"}}", "a".repeat(300 << 10));
    let endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n".to_vec();
    for (said, status, reason) in [
        (
            answer("400 Bad Request", r#"{"error":"invalid_grant"}"#),
            403,
            "does not take the code: invalid_grant",
        ),
        (
            answer("400 Bad Request", r#"{"error":"<b>"}"#),
            403,
            "does not say why",
        ),
        (answer("200 OK", "{}"), 502, "it has no id_token"),
        (answer("200 OK", "<html>"), 502, "it is no JSON object"),
        (
            answer("200 OK", r#"{"id_token":"x"}"#),
            403,
            "the token of the issuer is refused",
        ),
        (answer("302 Found", ""), 502, "a redirect"),
        (answer("200 OK", &large), 502, "more than 131072 bytes"),
        (endless, 502, "no answer within 1s"),
        (b"HTTP/1.1 200 OK\r\n".to_vec(), 502, "no answer within 1s"),
    ] {
        issuer.says(said);
        let answer = asked("code=c");
        refused_for(&gate, &answer, status, reason);
        assert!(!text(&answer).contains("<b>"), "{answer:?}");
    }
    let log = gate.log();
    assert!(
        log.contains("a login to the console by its issuer was refused"),
        "{log}"
    );
}

#[test]
fn an_issuer_that_describes_itself_wrongly_is_not_believed() {
    let upstream = Upstream::lenient();
    for (description, reason) in [
        (
            json!({"issuer": "https://evil.example"}),
            "it describes another issuer",
        ),
        (
            json!({"token_endpoint": "http://evil.example/token"}),
            "its token_endpoint is no URL",
        ),
        (
            json!({"authorization_endpoint": "javascript:alert(1)"}),
            "its authorization_endpoint is no URL",
        ),
    ] {
        let issuer = Issuer::new();
        let url = issuer.url();
        let mut said = json!({
            "issuer": url, "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"), "jwks_uri": format!("{url}/keys"),
        });
        said.as_object_mut()
            .unwrap()
            .extend(description.as_object().unwrap().clone());
        *issuer.description.lock().unwrap() = answer("200 OK", &said.to_string());
        let (_directory, gate) = issuer.gate(&upstream);
        let answer = ask(&gate, "/console/login/oidc", "");
        refused_for(&gate, &answer, 502, reason);
        assert!(!text(&answer).contains(&url), "{answer:?}");
    }
    // One that says that it names itself in each answer has to.
    let issuer = Issuer::new();
    let url = issuer.url();
    let said = json!({
        "issuer": url, "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"), "jwks_uri": format!("{url}/keys"),
        "authorization_response_iss_parameter_supported": true,
    });
    *issuer.description.lock().unwrap() = answer("200 OK", &said.to_string());
    let (_directory, gate) = issuer.gate(&upstream);
    let begun = begin(&gate, "");
    issuer.hands_over_claims(&issuer.claims(&begun));
    let query = format!("code=c&state={}", begun.state);
    refused(
        &back(&gate, &query, &begun.cookie),
        403,
        "not from the issuer",
    );
    let begun = begin(&gate, "");
    issuer.hands_over_claims(&issuer.claims(&begun));
    let iss = url.replace(':', "%3A").replace('/', "%2F");
    let query = format!("code=c&state={}&iss={iss}", begun.state);
    assert_eq!(back(&gate, &query, &begun.cookie).status, 200);
}

#[test]
fn nobody_is_led_to_another_site() {
    let (issuer, upstream) = (Issuer::new(), Upstream::lenient());
    let (_directory, gate) = issuer.gate(&upstream);
    for next in [
        "https%3A%2F%2Fevil.example",
        "%2F%2Fevil.example",
        "%2Fconsole%5C%40evil.example",
        "javascript%3Aalert(1)",
        "%2Fconsole%0D%0ASet-Cookie%3A%20a",
    ] {
        let begun = begin(&gate, next);
        issuer.hands_over_claims(&issuer.claims(&begun));
        let entered = back(
            &gate,
            &format!("code=c&state={}", begun.state),
            &begun.cookie,
        );
        let page = text(&entered);
        assert!(
            page.contains("content=\"0;url=/console\""),
            "{next}: {page}"
        );
        assert!(!page.contains("evil"), "{next}: {page}");
    }
    // By another name of the gate: first to the one of the configuration, whatever the request says.
    let request = "GET /console/login/oidc HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    let answer = crate::harness::exchange(gate.admin, request.as_bytes());
    assert_eq!(
        answer.header("location"),
        Some("http://localhost:8081/console/login/oidc?there=1&next=%2Fconsole")
    );
}
