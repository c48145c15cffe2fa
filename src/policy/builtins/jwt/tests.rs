//! Tokens and keys of all kinds are in `samples.json`; their private keys are nowhere. Where the name of a key begins with
//! `!`, dtgate may fail where OPA answers; where that of a token does, OPA crashes, or says what dtgate cannot.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regorus::Value;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{DECODE_VERIFY, OWN};
use crate::policy::builtins::tests::opa::compare_with;
use crate::policy::builtins::tests::{assert_said, said};
use crate::policy::builtins::{Answer, Arguments, own};

#[derive(Deserialize)]
struct Samples {
    tokens: BTreeMap<String, String>,
    keys: BTreeMap<String, String>,
}

static SAMPLES: LazyLock<Samples> =
    LazyLock::new(|| serde_json::from_str(include_str!("samples.json")).unwrap());

fn token(name: &str) -> &'static str {
    &SAMPLES.tokens[name]
}

fn key(name: &str) -> &'static str {
    &SAMPLES.keys[name]
}

fn call(name: &str, token: &str, key: &str) -> Answer {
    let arguments = [token.into(), key.into()];
    (own(&format!("io.jwt.{name}")).unwrap().call)(Arguments::new(&arguments))
}

fn verifies(name: &str, token: &str, key: &str) -> bool {
    call(name, super::tests::token(token), super::tests::key(key)) == Ok(true.into())
}

fn decoded(token: &str, constraints: &Json, now_ns: i64) -> Answer {
    let constraints = Value::from_json_str(&constraints.to_string()).unwrap();
    let arguments = [super::tests::token(token).into(), constraints];
    (DECODE_VERIFY.call)(Arguments::new(&arguments), now_ns)
}

fn is_accepted(token: &str, constraints: &Json) -> bool {
    let answer = decoded(token, constraints, 0).unwrap();
    answer.as_array().unwrap().first() == Some(&true.into())
}

#[test]
fn a_token_is_taken_apart() {
    let text = |token: &str| format!("io.jwt.decode({:?})[1].iss", super::tests::token(token));
    let deep = format!("io.jwt.decode({:?})[1].deep", token("within twice"));
    assert_said(&[
        (&text("rs256"), r#""xxx""#),
        (&text("padded"), r#""xxx""#),
        (&text("payload twice"), r#""xxx""#),
        (&deep, "1"),
        (r#"io.jwt.decode("e30.e30.AP8")"#, r#"[{},{},"00ff"]"#),
        (r#"io.jwt.decode("e30.e30")"#, "fails"),
        (r#"io.jwt.decode("a")"#, "fails"),
    ]);
    for token in [
        "enc",
        "two parts",
        "five parts",
        "header array",
        "payload text",
    ] {
        assert_eq!(said(&text(token)), "fails", "{token}");
    }
}

#[test]
fn each_algorithm_takes_its_keys_in_every_form() {
    for (names, forms) in [
        (["rs256", "rs384", "rs512"], "rsa"),
        (["ps256", "ps384", "ps512"], "rsa"),
        (["es256"; 3], "p256"),
        (["es384"; 3], "p384"),
        (["es512"; 3], "p521"),
        (["eddsa"; 3], "ed25519"),
    ] {
        for name in names {
            let builtin = format!("verify_{name}");
            for form in ["pem", "certificate", "jwk"] {
                let key = format!("{form} {forms}");
                assert!(verifies(&builtin, name, &key), "{name} {key}");
                let wrong = if forms == "rsa" {
                    "pem p256"
                } else {
                    "pem rsa"
                };
                assert!(!verifies(&builtin, name, wrong), "{name} {wrong}");
            }
            assert!(verifies(&builtin, name, "set"), "{name}");
        }
    }
    for name in ["hs256", "hs384", "hs512"] {
        let builtin = format!("verify_{name}");
        assert_eq!(call(&builtin, token(name), "secret"), Ok(true.into()));
        assert_eq!(call(&builtin, token(name), "Secret"), Ok(false.into()));
        assert_eq!(call(&builtin, token(name), ""), Ok(false.into()));
    }
}

#[test]
fn a_key_of_one_kind_verifies_nothing_of_another() {
    for key in ["pem rsa", "certificate rsa", "jwk rsa", "set"] {
        let constraints = json!({"cert": super::tests::key(key)});
        for token in [
            "confused",
            "confused modulus",
            "none",
            "none signed",
            "alg lower",
        ] {
            assert!(!is_accepted(token, &constraints), "{token} {key}");
        }
    }
    let secret = json!({"secret": key("pem rsa")});
    assert!(
        is_accepted("confused", &secret),
        "who gives a key as a secret says so"
    );
    assert!(!is_accepted("rs256", &secret));
    assert!(!is_accepted(
        "said hs256 signed rs256",
        &json!({"cert": key("pem rsa")})
    ));
    assert!(!verifies("verify_rs256", "rs512", "pem rsa"));
    assert!(!verifies("verify_rs256", "ps256", "pem rsa"));
}

#[test]
fn the_key_that_a_token_names_is_the_only_one_that_counts() {
    assert!(verifies("verify_rs256", "kid rsa", "set"));
    assert!(verifies("verify_rs256", "kid unknown", "set"));
    assert!(!verifies("verify_rs256", "kid of another", "set"));
    assert!(!verifies("verify_rs256", "kid rsa", "set other kid"));
    assert!(verifies("verify_rs256", "rs256", "set other kid"));
    assert!(!verifies("verify_rs256", "rs256", "jwk rsa other alg"));
}

#[test]
fn constraints_are_asked_of_a_token() {
    let with = |name: &str, value: Json| json!({"cert": key("pem rsa"), "time": 2_000_000_000_000_i64, name: value});
    let rows = [
        ("rs256", with("alg", json!("RS256")), true),
        ("rs256", with("alg", json!("RS512")), false),
        ("rs256", with("iss", json!("xxx")), true),
        ("rs256", with("iss", json!("yyy")), false),
        ("claim no iss", with("iss", json!("xxx")), false),
        ("rs256", with("aud", json!("me")), false),
        ("claim aud", with("aud", json!("me")), true),
        ("claim aud", with("iss", json!("xxx")), false),
        ("claim aud list", with("aud", json!("me")), true),
        ("claim aud list other", with("aud", json!("me")), false),
        ("exp and nbf", with("aud", json!("me")), true),
        ("exp 2000", with("time", json!(1_999_999_999_999_i64)), true),
        (
            "exp 2000",
            with("time", json!(2_000_000_000_000_i64)),
            false,
        ),
        (
            "nbf 2000",
            with("time", json!(1_999_999_999_999_i64)),
            false,
        ),
        ("nbf 2000", with("time", json!(2_000_000_000_000_i64)), true),
        ("crit there", with("alg", json!("RS256")), false),
        ("crit known", with("alg", json!("RS256")), true),
        ("no alg", with("iss", json!("xxx")), false),
        ("within twice", with("iss", json!("xxx")), true),
    ];
    for (token, constraints, expected) in rows {
        assert_eq!(
            is_accepted(token, &constraints),
            expected,
            "{token} {constraints}"
        );
    }
    for constraints in [
        json!({}),
        json!({"secret": ""}),
        json!({"secret": "a", "cert": key("pem rsa")}),
        json!({"secret": "a", "other": "a"}),
        json!({"secret": "a", "time": "1"}),
        json!({"secret": "a", "time": -1}),
        json!({"secret": 1}),
        json!("secret"),
    ] {
        assert!(decoded("rs256", &constraints, 0).is_err(), "{constraints}");
    }
}

#[test]
fn now_is_when_the_decision_is_made() {
    let constraints = json!({"cert": key("pem rsa"), "aud": "me"});
    let at = |seconds: i64| {
        let answer = decoded("exp and nbf", &constraints, seconds * 1_000_000_000).unwrap();
        answer.as_array().unwrap().first() == Some(&true.into())
    };
    assert_eq!([999, 1000, 2999, 3000].map(at), [false, true, true, false]);
}

/// In the interpreter, to which an engine of bytecode leaves it.
#[test]
fn a_policy_asks_at_the_time_of_its_request() {
    let call = format!(
        "io.jwt.decode_verify({:?}, {{\"cert\": {:?}, \"aud\": \"me\"}})[0]",
        token("exp and nbf"),
        key("pem rsa")
    );
    assert_eq!(said(&call), "false");
}

#[test]
fn what_verifying_costs_is_bounded() {
    let long = format!("{}.e30.", "a".repeat(64 << 10));
    assert!(call("verify_rs256", &long, key("pem rsa")).is_err());
    assert!(call("verify_hs256", &long, "secret").is_err());
    let set = |size: usize| {
        let one: Json = serde_json::from_str(key("jwk rsa other alg")).unwrap();
        json!({"keys": vec![one; size]}).to_string()
    };
    assert_eq!(
        call("verify_rs256", token("rs256"), &set(100)),
        Ok(false.into())
    );
    assert!(call("verify_rs256", token("rs256"), &set(101)).is_err());
    let spaces = format!("{}{}", key("jwk rsa"), " ".repeat(1 << 20));
    assert!(call("verify_rs256", token("rs256"), &spaces).is_err());
    for small in ["!pem rsa small", "!certificate rsa small", "!jwk rsa small"] {
        let answer = call("verify_rs256", token("rsa small"), key(small));
        assert!(answer.is_err(), "{small}");
    }
}

/// Go takes a salt of any length.
#[test]
fn a_salt_may_be_as_long_as_it_likes() {
    for token in ["ps256 no salt", "ps256 longest salt"] {
        assert!(verifies("verify_ps256", token, "pem rsa"), "{token}");
        assert!(!verifies("verify_ps384", token, "pem rsa"), "{token}");
        assert!(!verifies("verify_ps256", token, "pem p256"), "{token}");
        // In OPA, too, this one goes by RFC 7518.
        let answer = decoded(token, &json!({"cert": key("pem rsa")}), 0).unwrap();
        assert_eq!(
            answer.as_array().unwrap().first(),
            Some(&false.into()),
            "{token}"
        );
    }
}

/// RFC 7518 has only its own names.
#[test]
fn what_the_standard_does_not_have_is_no_signature() {
    let constraints = json!({"cert": key("pem rsa")});
    assert!(!is_accepted("!alg of a library", &constraints));
}

#[test]
fn no_message_repeats_a_token_or_a_key() {
    let parts = |text: &'static str| {
        text.split(|it: char| !it.is_ascii_alphanumeric())
            .filter(|it| it.len() > 11)
    };
    for token in SAMPLES.tokens.values() {
        for key in SAMPLES.keys.values() {
            if let Err(message) = call("verify_es256", token, key) {
                let mut all = parts(token).chain(parts(key));
                assert!(!all.any(|part| message.contains(part)), "{message}");
            }
        }
    }
}

fn texts(texts: impl IntoIterator<Item = &'static String>) -> Vec<Json> {
    let others = [
        json!(null),
        json!(1),
        json!([]),
        json!({"a": 1}),
        json!(true),
    ];
    texts
        .into_iter()
        .map(|text| json!(text))
        .chain(others)
        .collect()
}

fn tokens() -> Vec<Json> {
    let calm = SAMPLES
        .tokens
        .iter()
        .filter(|(name, _)| !name.starts_with('!'));
    texts(calm.map(|(_, token)| token))
}

/// Whether dtgate may fail with a key where OPA does not.
fn is_strict(key: &str) -> bool {
    let mut strict = SAMPLES
        .keys
        .iter()
        .filter(|(name, _)| name.starts_with('!'));
    strict.any(|(_, text)| text == key)
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_tokens_are_as_in_opa() {
    compare_with(&["io.jwt.decode"], |_| vec![tokens()], |_, _| false);
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_signatures_are_as_in_opa() {
    let names = OWN.iter().map(|own| own.name);
    let names: Vec<&str> = names.filter(|it| it.contains("verify")).collect();
    compare_with(
        &names,
        |name| {
            let is_whole = ["es256", "hs256", "rs256"]
                .iter()
                .any(|it| name.ends_with(it));
            let keys = texts(SAMPLES.keys.values()).into_iter();
            let keys = keys.step_by(if is_whole { 1 } else { 7 });
            let more = ["secret", "Secret"].map(Json::from);
            vec![tokens(), keys.chain(more).collect()]
        },
        |name, given| !name.contains("_hs") && is_strict(given[1].as_string().unwrap()),
    );
}

/// What a token may be asked for, with each key and each wrong kind.
fn constraints() -> Vec<Json> {
    let with = |more: Json| {
        let mut all = json!({"cert": key("jwk rsa"), "time": 2_000_000_000_000_i64});
        all.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        all
    };
    let keys = SAMPLES
        .keys
        .values()
        .map(|key| json!({"cert": key, "time": 2e12}));
    let more = json!([
        {"alg": "RS256"}, {"alg": "RS512"}, {"alg": ""}, {"alg": 1}, {"alg": null},
        {"iss": "xxx"}, {"iss": "yyy"}, {"iss": ""}, {"iss": 1}, {"aud": "me"}, {"aud": "you"}, {"aud": ""}, {"aud": ["me"]},
        {"time": 0}, {"time": -1}, {"time": "1"}, {"time": null}, {"time": 1_999_999_999_999_i64}, {"time": 2_000_000_000_001_i64},
        {"time": 2_000_000_000_000.5}, {"time": 2_000_500_000_000_i64}, {"time": 1e30}, {"time": 1e-30},
        {"secret": ""}, {"secret": "secret"}, {"other": 1}, {"CERT": ""}, {"cert": null}, {"cert": 1}, {"cert": ""},
    ]);
    let plain = json!([
        null, 1, "secret", [], {}, {"secret": "secret", "time": 1}, {"secret": "Secret", "time": 1}, {"secret": "", "time": 1},
        {"secret": 1, "time": 1}, {"secret": key("pem rsa"), "time": 1}, {"time": 1}, {"alg": "HS256", "time": 1},
    ]);
    let more = more.as_array().unwrap().iter().cloned().map(with);
    keys.chain(more)
        .chain(plain.as_array().unwrap().clone())
        .collect()
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_constraints_are_as_in_opa() {
    compare_with(
        &[DECODE_VERIFY.name],
        |_| vec![tokens(), constraints()],
        |_, given| {
            let certificate = given[1]
                .as_object()
                .ok()
                .and_then(|it| it.get(&Value::from("cert")));
            certificate.is_some_and(|it| it.as_string().is_ok_and(|it| is_strict(it)))
        },
    );
}
