//! JSON Web Tokens at the gate: a bad one gets nobody anywhere, and those that are for Dynatrace pass.

use std::net::TcpListener;

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::{BROKERED, FIELD, ISSUER, JWT, Making, Stand, claims, parts, request, shown, telling};
use crate::harness::TOKEN;
use crate::signer::{Signer, digits};
use crate::tls::clients::{metric, now};

const REMOTE: &str = "https://remote.example";

#[test]
fn a_bad_token_is_refused_and_recorded_on_guarded_and_on_open_traffic() {
    let remote = remote();
    let stand = Making::before(telling()).start(&[JWT, BROKERED, "traffic = 'all'\n", &remote]);
    let cases = [bad(&stand), forged(&stand)].concat();
    for (name, token, words) in &cases {
        let bearer = format!("Bearer {token}");
        let status = if *name == DOWN { 503 } else { 401 };
        refuses(&stand, name, &[("Authorization", &bearer)], (words, status));
    }
    let (ci, field) = (stand.token(json!({})), stand.token(json!({"iss": FIELD})));
    let bearer = format!("Bearer {ci}");
    let foreign = stand.token(json!({"iss": "https://sso.example"}));
    let one = "it is not the only one";
    let authorization = ("Authorization", &*bearer);
    for (name, fields, words) in [
        (
            "wrong issuer",
            &[("x-dtgate-token", &*foreign)][..],
            "none that the gate knows",
        ),
        (
            "not here",
            &[("x-dtgate-token", &ci)],
            "another header field",
        ),
        (
            "no token",
            &[("x-dtgate-token", "dt0s16.ABCDEFGH")],
            "is no token",
        ),
        ("nothing", &[("x-dtgate-token", "")], "is no token"),
        ("two", &[authorization, ("x-dtgate-token", &field)], one),
        ("the same twice", &[authorization, authorization], one),
        (
            "two fields",
            &[("x-dtgate-token", &field), ("X-Dtgate-Token", &field)],
            one,
        ),
        (
            "and dynatrace's",
            &[authorization, ("Authorization", "Bearer dt0s16.ABCDEFGH.X")],
            one,
        ),
        (
            "no scheme",
            &[("Authorization", &ci)],
            "write `Authorization: Bearer TOKEN`",
        ),
        (
            "other scheme",
            &[("Authorization", &format!("Api-Token {ci}"))],
            "write `Authorization: Bearer TOKEN`",
        ),
        (
            "list",
            &[("Authorization", &format!("{bearer}, Api-Token a"))],
            "write `Authorization: Bearer TOKEN`",
        ),
    ] {
        refuses(&stand, name, fields, (words, 401));
    }
    assert_eq!(stand.upstream.seen().len(), 0);
    for (name, token, ..) in &cases {
        // The head says nothing, and is that of all.
        let parts = parts(token);
        let secret: Vec<&str> = parts[1..]
            .iter()
            .copied()
            .filter(|part| !part.is_empty())
            .collect();
        assert!(!secret.is_empty(), "{name}");
        stand.hides(&secret);
    }
    // And a good one is good.
    assert_eq!(stand.name("payments", &[authorization]).status, 204);
    let counted = |result: &str| {
        let series = format!("dtgate_jwt_total{{issuer=\"ci\",result=\"{result}\"}}");
        metric(&stand.gate, &series)
    };
    assert_eq!((counted("good"), counted("expired")), (1, 3));
}

/// An issuer whose server is down.
fn remote() -> String {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let down = nobody.local_addr().unwrap();
    format!(
        "[identity.jwt.remote]\nissuer = '{REMOTE}'\naudience = 'dtgate'\njwks_url = 'http://{down}/keys'\n\
         [limits]\nrefusals = 1000\n"
    )
}

/// A name, a token, and what is said about it.
type Bad = (&'static str, String, &'static str);

/// Signed as it has to be, and not good.
fn bad(stand: &Stand) -> Vec<Bad> {
    let with = |more: Value| stand.token(more);
    vec![
        ("expired", with(json!({"exp": now() - 120})), "has expired"),
        ("endless", with(json!({ "exp": null })), "claim exp"),
        ("early", with(json!({"nbf": now() + 120})), "not valid yet"),
        (
            "audience",
            with(json!({"aud": "dtgate.e"})),
            "somebody else",
        ),
        ("others", with(json!({"aud": ["a", "b"]})), "somebody else"),
        (
            "place",
            with(json!({ "iss": FIELD })),
            "another header field",
        ),
        (DOWN, with(json!({ "iss": REMOTE })), "could not be fetched"),
    ]
}

/// The one that nobody can check now.
const DOWN: &str = "down";

/// Signed by somebody else, by nobody, or otherwise than the issuer does.
fn forged(stand: &Stand) -> Vec<Bad> {
    let good = claims(json!({}));
    let unsigned = |algorithm: &str| {
        let head = json!({"alg": algorithm, "kid": "k"}).to_string();
        let parts = [head, good.to_string()].map(|part| digits(part.as_bytes()));
        parts.join(".")
    };
    let shared = |key: &[u8]| {
        let message = unsigned("HS256");
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let tag = hmac::sign(&key, message.as_bytes());
        format!("{message}.{}", digits(tag.as_ref()))
    };
    let published = stand.signer.jwk().to_string();
    let altered = {
        let (token, more) = (stand.token(json!({})), claims(json!({"sub": "other"})));
        let parts = parts(&token);
        format!(
            "{}.{}.{}",
            parts[0],
            digits(more.to_string().as_bytes()),
            parts[2]
        )
    };
    let public = shared(&stand.signer.public_bytes());
    let [unknown, another] = ["other", "k"].map(|kid| Signer::es256(kid).token(&good));
    vec![
        ("none", format!("{}.", unsigned("none")), "algorithm"),
        ("None", format!("{}.", unsigned("nOnE")), "algorithm"),
        (
            "no signature",
            format!("{}.", unsigned("ES256")),
            "signature",
        ),
        ("public key", public, "algorithm"),
        ("published key", shared(published.as_bytes()), "algorithm"),
        ("unknown key", unknown, "no key of the name that it gives"),
        ("another's key", another, "signature"),
        (
            "other kind",
            Signer::rsa("k").token(&good),
            "not that of the key",
        ),
        ("altered", altered, "signature"),
    ]
}

/// All traffic with these fields is refused, with these words.
fn refuses(stand: &Stand, name: &str, fields: &[(&str, &str)], (words, status): (&str, u16)) {
    for (method, target, body) in [
        ("PUT", TOKEN, r#"{"name":"payments"}"#),
        ("GET", "/api/v2/metrics", ""),
        ("POST", "/api/v2/metrics/ingest", "{}"),
    ] {
        let before = stand.decisions().len();
        let answer = stand.gate.raw(request(method, target, fields, body));
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert!(answer.message().contains(words), "{name}: {answer:?}");
        match status {
            401 => assert!(answer.header("www-authenticate").is_some(), "{answer:?}"),
            _ => assert!(answer.header("retry-after").is_some(), "{answer:?}"),
        }
        let decisions = stand.decisions();
        assert_eq!(decisions.len(), before + 1, "{name}: it is recorded");
        let record = decisions.last().unwrap();
        let judged = (&record["verdict"], &record["input"]);
        assert_eq!(judged, (&json!("deny"), &Value::Null));
        let error = record["error"].as_str().unwrap();
        assert!(error.contains(words), "{record}");
    }
}

#[test]
fn tokens_for_dynatrace_are_none_of_the_gates_business() {
    let stand = Making::before(telling()).start(&[JWT]);
    let foreign = |token: String| format!("Bearer {token}");
    let others = Signer::es256("k");
    let expired = claims(json!({"iss": "https://sso.dynatrace.com", "exp": now() - 1000}));
    let shorter = claims(json!({"iss": ISSUER.trim_end_matches('e')}));
    for credential in [
        "Bearer dt0s16.ABCDEFGH.G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVF"
            .to_owned(),
        foreign(others.token(&expired)),
        foreign(others.token(&shorter)),
        "Bearer opaqueAccessTokenOfTheSso0123456789".to_owned(),
    ] {
        let before = stand.upstream.seen().len();
        let fields = [("Authorization", &*credential)];
        assert_eq!(
            stand.name("payments-ci", &fields).status,
            204,
            "{credential}"
        );
        assert_eq!(stand.get("/api/v2/metrics", &fields).status, 204);
        let seen = stand.upstream.seen();
        let expected = Some(&*credential);
        assert_eq!(shown(&seen[before..]), [expected, expected, expected]);
        let caller = stand.decisions().pop().unwrap()["input"]["caller"].clone();
        assert_eq!(caller["jwt"]["issuer"], "");
        assert_eq!(caller["teams"], json!([]));
        // Beside a proof for the gate it goes on, and the proof does not.
        let proof = stand.token(json!({"iss": FIELD}));
        let fields = [fields[0], ("x-dtgate-token", &*proof)];
        assert_eq!(stand.name("payments", &fields).status, 204);
        let last = stand.upstream.seen().pop().unwrap();
        assert_eq!(last.header("authorization"), expected);
        assert_eq!(last.header("x-dtgate-token"), None);
        let (_, secret) = credential.split_at(credential.len() - 20);
        stand.hides(&[secret]);
    }
}
