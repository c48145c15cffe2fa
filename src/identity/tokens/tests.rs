use aws_lc_rs::hmac;
use http::header::PROXY_AUTHORIZATION;
use serde_json::json;

use super::*;
use crate::identity::signer::{Signer, digits};
use crate::telemetry::Limit;

const ISSUER: &str = "https://ci.example";
const ORIGIN: Origin = Origin {
    address: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
    share: crate::value::Share::percent(25),
    signatures: 64,
};
const OTHER: &str = "https://idp.example";
const NOW: i64 = 1_800_000_000;
const SECONDS: &str = "a number of seconds since 1970";
const TEXTS: Flaw = Flaw::Claim("aud", "a text, or a list of texts");

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "dtgate", "sub": "repo:payments", "jti": "1",
        "exp": NOW + 300, "nbf": NOW - 5, "iat": NOW - 5, "groups": ["a", "b"],
    })
}

/// A gate that trusts the keys of a file, with `keys` in it and these lines in the section of the issuer.
struct Gate {
    tokens: Tokens,
    metrics: Metrics,
    directory: tempfile::TempDir,
}

impl Gate {
    fn new(keys: &Value, lines: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        std::fs::write(&path, json!({"keys": keys}).to_string()).unwrap();
        let text = format!(
            "[jwt.ci]\nissuer = '{ISSUER}'\naudience = 'dtgate'\njwks_file = {path:?}\n{lines}\n\
             [jwt.idp]\nissuer = '{OTHER}'\naudience = ['a', 'dtgate']\njwks_file = {path:?}\nheader = 'x-dtgate-token'\n"
        );
        let config: Config = toml::from_str(&text).unwrap();
        let metrics = Metrics::new("1.2.3");
        Self {
            tokens: Tokens::new(&config, &metrics, now).unwrap(),
            metrics,
            directory,
        }
    }

    fn of(signer: &Signer) -> Self {
        Self::new(&json!([signer.jwk()]), "")
    }

    fn shown(&self, fields: &[(&str, &str)]) -> Result<Option<Jwt>, Error> {
        let fields = fields.iter().map(|(name, value)| {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            (name.parse::<HeaderName>().unwrap(), value)
        });
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().unwrap();
        runtime.block_on(self.tokens.verify(&fields.collect(), ORIGIN, now))
    }

    fn bearer(&self, token: &str) -> Result<Option<Jwt>, Error> {
        self.shown(&[("authorization", &format!("Bearer {token}"))])
    }

    /// What is wrong with a token.
    fn flaw(&self, token: &str) -> Flaw {
        self.bearer(token).unwrap_err().flaw
    }
}

#[test]
fn a_good_token_says_who_calls() {
    for signer in [
        Signer::es256("k"),
        Signer::es384("k"),
        Signer::eddsa("k"),
        Signer::rsa("k"),
    ] {
        let gate = Gate::of(&signer);
        let jwt = gate.bearer(&signer.token(&claims())).unwrap().unwrap();
        assert_eq!(jwt.issuer, ISSUER);
        assert_eq!(jwt.subject, "repo:payments");
        assert_eq!(jwt.audiences, ["dtgate"]);
        assert_eq!(jwt.id.as_deref(), Some("1"));
        assert_eq!(jwt.claims["groups"], json!(["a", "b"]));
        assert_eq!(jwt.field, AUTHORIZATION);
        let text = gate.metrics.encode();
        let counted = "dtgate_jwt_total{issuer=\"ci\",result=\"good\"} 1";
        assert!(text.contains(counted), "{text}");
    }
    let rsa = Signer::rsa("k");
    let pss = rsa.signed(r#"{"alg":"PS256","kid":"k"}"#, &claims().to_string());
    assert!(Gate::of(&rsa).bearer(&pss).unwrap().is_some());
}

#[test]
fn a_token_may_stand_in_a_field_of_its_own() {
    let signer = Signer::es256("k");
    let gate = Gate::of(&signer);
    let mut claims = claims();
    claims["iss"] = OTHER.into();
    claims["aud"] = json!(["x", "dtgate"]);
    let token = signer.token(&claims);
    let jwt = gate.shown(&[("x-dtgate-token", &token)]).unwrap().unwrap();
    assert_eq!(
        (jwt.issuer.as_str(), jwt.field.as_str()),
        (OTHER, "x-dtgate-token")
    );
    let behind = format!("Bearer {token}");
    assert!(
        gate.shown(&[("x-dtgate-token", &behind)])
            .unwrap()
            .is_some()
    );
    assert_eq!(gate.tokens.fields(), ["x-dtgate-token"]);
    // Beside a token for Dynatrace.
    let both = [
        ("authorization", "Api-Token dt0c01.AAAA.BBBB"),
        ("x-dtgate-token", &token),
    ];
    assert!(gate.shown(&both).unwrap().is_some());
}

#[test]
fn what_is_for_dynatrace_passes_and_proves_nothing() {
    let signer = Signer::es256("k");
    let gate = Gate::of(&signer);
    let mut of_sso = claims();
    of_sso["iss"] = "https://sso.dynatrace.com:443".into();
    let of_sso = format!("Bearer {}", signer.token(&of_sso));
    let long = format!("Bearer {}", "a".repeat(20_000));
    for value in [
        "Bearer dt0s16.ABCDEFGH.ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKL",
        "Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM",
        of_sso.as_str(),
        long.as_str(),
        "Bearer a.b.c",
        "Bearer a.b.c.d.e",
        "Bearer ..",
        "Basic dXNlcjpwYXNz",
        "Bearer",
        "",
        "\u{e9}",
    ] {
        assert_eq!(gate.shown(&[("authorization", value)]), Ok(None), "{value}");
        let twice = [("authorization", value), ("authorization", value)];
        assert_eq!(gate.shown(&twice), Ok(None), "{value}");
    }
    assert_eq!(gate.shown(&[]), Ok(None));
    // Where no issuer is known there is nothing to look for.
    let none = Tokens::new(&Config::default(), &Metrics::new("1"), now).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut headers = HeaderMap::new();
    let token = format!("Bearer {}", signer.token(&claims()));
    headers.insert(AUTHORIZATION, token.parse().unwrap());
    assert_eq!(
        runtime.block_on(none.verify(&headers, ORIGIN, now)),
        Ok(None)
    );
}

#[test]
fn a_token_of_the_gate_stands_alone_and_where_it_belongs() {
    let signer = Signer::es256("k");
    let gate = Gate::of(&signer);
    let token = signer.token(&claims());
    let mut of_idp = claims();
    of_idp["iss"] = OTHER.into();
    let of_idp = signer.token(&of_idp);
    let (bearer, twice) = (
        format!("Bearer {token}"),
        format!("Bearer {token}, Bearer {token}"),
    );
    let (bare, quoted) = (token.clone(), format!("Bearer token=\"{token}\""));
    let beside = format!("Bearer dt0s16.AAAAAAAA.BBBB, Bearer {token}");
    let odd = format!("Bearer {token},\u{e9}");
    let (scheme, misplaced) = (format!("Api-Token {token}"), format!("Bearer {of_idp}"));
    for (fields, flaw) in [
        (
            vec![("authorization", &*bearer), ("authorization", &*bearer)],
            Flaw::Several,
        ),
        (
            vec![
                ("authorization", &*bearer),
                ("authorization", "Api-Token dt0c01.A.B"),
            ],
            Flaw::Several,
        ),
        (
            vec![
                ("authorization", "Api-Token dt0c01.A.B"),
                ("authorization", &*bearer),
            ],
            Flaw::Several,
        ),
        (
            vec![("authorization", &*bearer), ("x-dtgate-token", &*of_idp)],
            Flaw::Several,
        ),
        (
            vec![("x-dtgate-token", &*of_idp), ("x-dtgate-token", &*of_idp)],
            Flaw::Several,
        ),
        (vec![("authorization", &*twice)], Flaw::Scheme),
        (vec![("authorization", &*beside)], Flaw::Scheme),
        (vec![("authorization", &*odd)], Flaw::Scheme),
        (vec![("authorization", &*quoted)], Flaw::Scheme),
        (vec![("authorization", &*bare)], Flaw::Scheme),
        (vec![("authorization", &*scheme)], Flaw::Scheme),
        (vec![("authorization", &*misplaced)], Flaw::Place),
        (vec![("x-dtgate-token", &*token)], Flaw::Place),
        (vec![("x-dtgate-token", "")], Flaw::Malformed),
        (vec![("x-dtgate-token", "hello")], Flaw::Malformed),
        (vec![("x-dtgate-token", "a.b.c")], Flaw::Issuer),
        (vec![("x-dtgate-token", &*twice)], Flaw::Malformed),
    ] {
        let refused = gate.shown(&fields).unwrap_err();
        assert_eq!(refused.flaw, flaw, "{fields:?}");
        assert!(!refused.flaw.is_passing());
    }
    // Nobody reads that field.
    assert_eq!(
        gate.shown(&[(PROXY_AUTHORIZATION.as_str(), &bearer)]),
        Ok(None)
    );
}

#[test]
fn a_token_counts_for_its_time_only() {
    let signer = Signer::es256("k");
    let gate = Gate::of(&signer);
    let flaw = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        gate.bearer(&signer.token(&claims))
            .map_err(|error| error.flaw)
            .err()
    };
    // A minute either way, as shipped.
    assert_eq!(flaw("exp", json!(NOW - 60)), Some(Flaw::Expired));
    assert_eq!(flaw("exp", json!(NOW - 59)), None);
    assert_eq!(flaw("exp", json!(1_799_999_940.5)), None);
    assert_eq!(flaw("nbf", json!(NOW + 60)), None);
    assert_eq!(flaw("nbf", json!(NOW + 61)), Some(Flaw::NotYet));
    assert_eq!(flaw("iat", json!(NOW + 60)), None);
    assert_eq!(flaw("iat", json!(NOW + 61)), Some(Flaw::Future));
    for odd in [
        json!("1"),
        json!(null),
        json!([NOW + 300]),
        json!(true),
        json!(9e15),
        json!(1e300),
    ] {
        assert_eq!(
            flaw("exp", odd.clone()),
            Some(if odd == json!(1e300) {
                Flaw::Claims
            } else if odd == json!(9e15) {
                Flaw::Late("exp")
            } else {
                Flaw::Claim("exp", SECONDS)
            }),
            "{odd}"
        );
    }
    assert_eq!(flaw("nbf", json!("1")), Some(Flaw::Claim("nbf", SECONDS)));
    assert_eq!(flaw("iat", json!({})), Some(Flaw::Claim("iat", SECONDS)));
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove("exp");
    assert_eq!(gate.flaw(&signer.token(&claims)), Flaw::Missing("exp"));
    let strict = Gate::new(&json!([signer.jwk()]), "leeway = '1s'");
    let mut claims = self::claims();
    claims["exp"] = json!(NOW - 1);
    assert_eq!(strict.flaw(&signer.token(&claims)), Flaw::Expired);
}

#[test]
fn a_token_is_good_for_no_longer_than_the_gate_takes() {
    let signer = Signer::es256("k");
    let keys = json!([signer.jwk()]);
    let said = |gate: &Gate, ends: i64, issued: Value| {
        let mut claims = claims();
        claims["exp"] = json!(ends);
        match issued {
            Value::Null => drop(claims.as_object_mut().unwrap().remove("iat")),
            issued => claims["iat"] = issued,
        }
        let shown = gate.bearer(&signer.token(&claims));
        shown.map_err(|error| error.flaw).err()
    };
    let gate = Gate::new(&keys, "max_lifetime = '1h'");
    assert_eq!(said(&gate, NOW + 3000, json!(NOW - 600)), None);
    for (ends, issued) in [
        (NOW + 3000, json!(NOW - 601)),
        (NOW + 1, json!(NOW - 3600)),
        (NOW + 1, Value::Null),
    ] {
        assert_eq!(said(&gate, ends, issued), Some(Flaw::Lifetime));
    }
    let year = 31_536_000;
    assert_eq!(said(&Gate::of(&signer), NOW + year, Value::Null), None);
}

#[test]
fn a_token_for_somebody_else_is_refused() {
    let signer = Signer::es256("k");
    let gate = Gate::of(&signer);
    let flaw = |name: &str, value: Option<Value>| {
        let mut claims = claims();
        match value {
            Some(value) => claims[name] = value,
            None => drop(claims.as_object_mut().unwrap().remove(name)),
        }
        gate.flaw(&signer.token(&claims))
    };
    assert_eq!(flaw("aud", Some(json!("other"))), Flaw::Audience);
    assert_eq!(flaw("aud", Some(json!("DTGATE"))), Flaw::Audience);
    assert_eq!(flaw("aud", Some(json!([]))), Flaw::Audience);
    assert_eq!(flaw("aud", Some(json!(["a", "b"]))), Flaw::Audience);
    assert_eq!(flaw("aud", Some(json!(["dtgate", 1]))), TEXTS);
    assert_eq!(flaw("aud", Some(json!({"dtgate": 1}))), TEXTS);
    assert_eq!(flaw("aud", None), Flaw::Missing("aud"));
    assert_eq!(flaw("sub", Some(json!(1))), Flaw::Subject);
    assert_eq!(flaw("jti", Some(json!(1))), Flaw::Claim("jti", "a text"));
}

#[test]
fn the_algorithm_is_that_of_the_key_and_one_that_is_configured() {
    let (signer, rsa) = (Signer::es256("k"), Signer::rsa("r"));
    let gate = Gate::new(
        &json!([signer.jwk(), rsa.jwk(), Signer::es384("p").jwk()]),
        "",
    );
    let claims = claims().to_string();
    let head = |algorithm: &str, kid: &str| format!("{{\"alg\":{algorithm},\"kid\":\"{kid}\"}}");
    // Not signed at all.
    for none in [
        "\"none\"",
        "\"None\"",
        "\"NONE\"",
        "\"\"",
        "null",
        "1",
        "[\"ES256\"]",
    ] {
        let message = format!(
            "{}.{}",
            digits(head(none, "k").as_bytes()),
            digits(claims.as_bytes())
        );
        assert_eq!(gate.flaw(&format!("{message}.")), Flaw::Algorithm, "{none}");
        let good = signer.signed(&head(none, "k"), &claims);
        assert_eq!(gate.flaw(&good), Flaw::Algorithm, "{none}");
    }
    let unsigned = format!(
        "{}.{}.",
        digits(head("\"ES256\"", "k").as_bytes()),
        digits(claims.as_bytes())
    );
    assert_eq!(gate.flaw(&unsigned), Flaw::Signature);
    // With the public half as a shared secret.
    for signer in [&signer, &rsa] {
        let message = format!(
            "{}.{}",
            digits(head("\"HS256\"", signer.kid).as_bytes()),
            digits(claims.as_bytes())
        );
        let jwk = signer.jwk().to_string();
        for secret in [signer.public_bytes(), jwk.into_bytes()] {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            let forged = format!(
                "{message}.{}",
                digits(hmac::sign(&key, message.as_bytes()).as_ref())
            );
            assert_eq!(gate.flaw(&forged), Flaw::Algorithm);
            let forged = forged.replacen(
                &digits(head("\"HS256\"", signer.kid).as_bytes()),
                &digits(head("\"RS256\"", signer.kid).as_bytes()),
                1,
            );
            assert!(matches!(
                gate.flaw(&forged),
                Flaw::KeyType | Flaw::Signature
            ));
        }
    }
    // Of another kind than the key.
    for (algorithm, kid) in [
        ("\"RS256\"", "k"),
        ("\"ES384\"", "k"),
        ("\"EdDSA\"", "k"),
        ("\"ES256\"", "r"),
        ("\"ES256\"", "p"),
    ] {
        assert_eq!(
            gate.flaw(&signer.signed(&head(algorithm, kid), &claims)),
            Flaw::KeyType,
            "{algorithm} {kid}"
        );
    }
    // Good, and not wanted.
    let only = Gate::new(&json!([signer.jwk(), rsa.jwk()]), "algorithms = ['RS256']");
    assert_eq!(only.flaw(&signer.token(&self::claims())), Flaw::Algorithm);
    assert!(only.bearer(&rsa.token(&self::claims())).unwrap().is_some());
    // The issuer says that the key is for another.
    let mut jwk = rsa.jwk();
    jwk["alg"] = "PS256".into();
    assert_eq!(
        Gate::new(&json!([jwk]), "").flaw(&rsa.token(&self::claims())),
        Flaw::KeyType
    );
}

#[test]
fn a_token_names_its_key() {
    let (signer, twin) = (Signer::es256("k"), Signer::es256("k"));
    let gate = Gate::of(&signer);
    let claims = claims().to_string();
    for kid in [
        "",
        ",\"kid\":\"\"",
        ",\"kid\":1",
        ",\"kid\":null",
        ",\"kid\":[\"k\"]",
    ] {
        let token = signer.signed(&format!("{{\"alg\":\"ES256\"{kid}}}"), &claims);
        assert_eq!(gate.flaw(&token), Flaw::Kid, "{kid}");
    }
    let long = format!("{{\"alg\":\"ES256\",\"kid\":\"{}\"}}", "k".repeat(257));
    assert_eq!(gate.flaw(&signer.signed(&long, &claims)), Flaw::Kid);
    for kid in ["K", "k ", "x", "../k", "k\\u0000"] {
        let token = signer.signed(&format!("{{\"alg\":\"ES256\",\"kid\":\"{kid}\"}}"), &claims);
        assert_eq!(gate.flaw(&token), Flaw::Key, "{kid}");
    }
    // Another key of that name.
    assert_eq!(gate.flaw(&twin.token(&self::claims())), Flaw::Signature);
    let both = Gate::new(
        &json!([signer.jwk(), twin.jwk(), Signer::es256("x").jwk()]),
        "",
    );
    assert_eq!(both.flaw(&signer.token(&self::claims())), Flaw::Key);
    // A key of the client's own, in the token.
    let mut head = json!({"alg": "ES256", "kid": "k"});
    head["jwk"] = twin.jwk();
    head["jku"] = "https://attacker.example/keys".into();
    assert_eq!(
        gate.flaw(&twin.signed(&head.to_string(), &claims)),
        Flaw::Signature
    );
}

#[test]
fn what_changes_the_meaning_of_a_token_is_refused() {
    let signer = Signer::es256("k");
    let gate = Gate::of(&signer);
    let claims = claims().to_string();
    for (member, flaw) in [
        ("\"crit\":[\"exp\"]", Flaw::Extension("crit")),
        ("\"crit\":[]", Flaw::Extension("crit")),
        ("\"b64\":false", Flaw::Extension("b64")),
        ("\"b64\":false,\"crit\":[\"b64\"]", Flaw::Extension("b64")),
        ("\"cty\":\"JWT\"", Flaw::Extension("cty")),
        ("\"enc\":\"A256GCM\"", Flaw::Extension("enc")),
        ("\"zip\":\"DEF\"", Flaw::Extension("zip")),
        ("\"typ\":\"logout+jwt\"", Flaw::Type),
        ("\"typ\":\"dpop+jwt\"", Flaw::Type),
        ("\"typ\":1", Flaw::Type),
        ("\"alg\":\"ES256\"", Flaw::Head),
        ("\"alg\":\"none\"", Flaw::Head),
        ("\"kid\":\"x\"", Flaw::Head),
        ("\"x\":1e999", Flaw::Head),
    ] {
        let head = format!("{{\"alg\":\"ES256\",\"kid\":\"k\",{member}}}");
        assert_eq!(gate.flaw(&signer.signed(&head, &claims)), flaw, "{member}");
    }
    for kind in ["at+jwt", "application/at+JWT", "jwt", "JOSE"] {
        let head = format!("{{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"{kind}\"}}");
        assert!(
            gate.bearer(&signer.signed(&head, &claims))
                .unwrap()
                .is_some(),
            "{kind}"
        );
    }
    for head in [
        "[]",
        "1",
        "{\"alg\":\"ES256\",\"kid\":\"k\"",
        "",
        "{\"alg\":\"ES256\",\"kid\":\"k\"} x",
    ] {
        let token = signer.signed(head, &claims);
        let refused = gate.bearer(&token);
        let is_none = head.is_empty() && refused == Ok(None);
        assert!(is_none || refused.unwrap_err().flaw == Flaw::Head, "{head}");
    }
}

#[test]
fn claims_are_few_and_can_be_read_in_one_way() {
    let signer = Signer::es256("k");
    let gate = Gate::of(&signer);
    let head = r#"{"alg":"ES256","kid":"k"}"#;
    let rest = format!("\"aud\":\"dtgate\",\"sub\":\"a\",\"exp\":{}", NOW + 300);
    let with = |more: &str| signer.signed(head, &format!("{{\"iss\":\"{ISSUER}\",{rest}{more}}}"));
    assert!(gate.bearer(&with("")).unwrap().is_some());
    for more in [
        format!(",\"iss\":\"{ISSUER}\""),
        format!(",\"iss\":\"{OTHER}\""),
        ",\"iss\":\"https://sso.dynatrace.com\"".to_owned(),
        ",\"sub\":\"b\"".to_owned(),
        ",\"a\":{\"b\":1,\"b\":2}".to_owned(),
        ",\"n\":123456789012345678901234567890".to_owned(),
    ] {
        assert_eq!(gate.flaw(&with(&more)), Flaw::Claims, "{more}");
    }
    // Whichever of them a reader takes: it says that it is ours.
    let first = signer.signed(
        head,
        &format!("{{\"iss\":\"https://sso.dynatrace.com\",\"iss\":\"{ISSUER}\",{rest}}}"),
    );
    assert_eq!(gate.flaw(&first), Flaw::Claims);
    let escaped = signer.signed(head, &format!("{{\"\\u0069ss\":\"{ISSUER}\",{rest}}}"));
    assert!(gate.bearer(&escaped).unwrap().is_some());
    let nested = |depth: usize| format!(",\"n\":{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert!(gate.bearer(&with(&nested(7))).unwrap().is_some());
    assert_eq!(gate.flaw(&with(&nested(8))), Flaw::Large);
    assert_eq!(gate.flaw(&with(&nested(100))), Flaw::Claims);
    let many = |count: usize| format!(",\"n\":[{}]", vec!["1"; count].join(","));
    assert!(gate.bearer(&with(&many(1000))).unwrap().is_some());
    assert_eq!(gate.flaw(&with(&many(1025))), Flaw::Large);
    let long = |length: usize| with(&format!(",\"n\":\"{}\"", "x".repeat(length)));
    assert!(gate.bearer(&long(11_000)).unwrap().is_some());
    assert_eq!(gate.flaw(&long(12_300)), Flaw::Long);
    let reached = format!(
        "dtgate_limit_reached_total{{limit=\"{}\"}} 3",
        Limit::Jwt.as_str()
    );
    let text = gate.metrics.encode();
    assert!(text.contains(&reached), "{text}");
}

#[test]
fn a_change_of_any_digit_is_found() {
    let signer = Signer::es256("k");
    let gate = Gate::of(&signer);
    let token = signer.token(&claims());
    for at in (0..token.len()).step_by(7) {
        let digit = token.as_bytes()[at];
        if digit == b'.' {
            continue;
        }
        let mut changed = token.clone().into_bytes();
        changed[at] = if digit == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        // Some are not even the gate's any more.
        assert!(!matches!(gate.bearer(&changed), Ok(Some(_))), "{at}");
    }
    for odd in [
        format!("{token}="),
        format!("{token}."),
        token.replace('.', ".."),
    ] {
        assert!(!matches!(gate.bearer(&odd), Ok(Some(_))), "{odd}");
    }
}

proptest::proptest! {
    #[test]
    fn what_nobody_signed_is_never_believed(head in "[ -~]{0,60}", claims in "[ -~]{0,60}", signature in "[A-Za-z0-9_-]{0,90}", field in "[ -~]{0,40}") {
        let signer = Signer::es256("k");
        let gate = Gate::of(&signer);
        let ours = format!("{{\"iss\":\"{ISSUER}\",\"aud\":\"dtgate\",\"exp\":{},\"x\":{claims:?}}}", NOW + 300);
        for (head, claims) in [
            (head.as_str(), claims.as_str()),
            (r#"{"alg":"ES256","kid":"k"}"#, ours.as_str()),
            (head.as_str(), ours.as_str()),
        ] {
            let token = format!("{}.{}.{signature}", digits(head.as_bytes()), digits(claims.as_bytes()));
            for name in ["authorization", "x-dtgate-token"] {
                for value in [token.as_str(), &format!("Bearer {token}"), &format!("{field} {token} {field}"), &field] {
                    let said = gate.shown(&[(name, value)]);
                    proptest::prop_assert!(!matches!(said, Ok(Some(_))), "{value}");
                }
            }
        }
    }
}

#[test]
fn no_message_has_text_of_a_token_in_it() {
    let signer = Signer::es256("k");
    let gate = Gate::of(&signer);
    let mut claims = claims();
    claims["aud"] = "hidden-word".into();
    let error = gate.bearer(&signer.token(&claims)).unwrap_err();
    let said = format!("{error} {error:?}");
    assert_eq!(
        error.to_string(),
        "the JSON Web Token of issuer ci is refused: it is for somebody else: none of its audiences (aud) is the gate's"
    );
    assert!(
        !said.contains("hidden-word") && !said.contains("eyJ"),
        "{said}"
    );
}

#[test]
fn a_renewed_configuration_reads_files_again() {
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    let gate = Gate::of(&old);
    let path = gate.directory.path().join("keys.json");
    let text =
        format!("[jwt.ci]\nissuer = '{ISSUER}'\naudience = 'dtgate'\njwks_file = {path:?}\n");
    let config: Config = toml::from_str(&text).unwrap();
    assert_eq!(config.files().collect::<Vec<_>>(), [path.as_path()]);
    std::fs::write(&path, json!({"keys": [new.jwk()]}).to_string()).unwrap();
    let renewed = gate.tokens.renew(&config).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let flaw = |tokens: &Tokens, signer: &Signer| {
        let mut headers = HeaderMap::new();
        let token = format!("Bearer {}", signer.token(&claims()));
        headers.insert(AUTHORIZATION, token.parse().unwrap());
        runtime
            .block_on(tokens.verify(&headers, ORIGIN, now))
            .map_err(|error| error.flaw)
            .err()
    };
    assert_eq!(flaw(&renewed, &new), None);
    assert_eq!(flaw(&renewed, &old), Some(Flaw::Key));
    // One request is judged by one set: the old one stays what it is.
    assert_eq!(flaw(&gate.tokens, &old), None);
    std::fs::write(&path, "{\"keys\": []}").unwrap();
    let refused = gate.tokens.renew(&config).unwrap_err().to_string();
    assert!(
        refused.starts_with("identity.jwt.ci: ") && refused.contains("no key in it can be used"),
        "{refused}"
    );
    std::fs::write(&path, " ".repeat(600 << 10)).unwrap();
    let refused = gate.tokens.renew(&config).unwrap_err().to_string();
    assert!(
        refused.ends_with("it has more than 524288 bytes"),
        "{refused}"
    );
}

#[test]
fn a_token_says_whose_it_is() {
    let signer = Signer::es256("k");
    let keys = json!([signer.jwk()]);
    let gate = Gate::new(&keys, "");
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        signer.token(&claims)
    };
    let mut nameless = claims();
    nameless.as_object_mut().unwrap().remove("sub");
    let nameless = signer.token(&nameless);
    assert_eq!(gate.flaw(&nameless), Flaw::Subject);
    for wrong in [json!(""), json!(null), json!(7), json!(["a"])] {
        assert_eq!(gate.flaw(&with("sub", wrong)), Flaw::Subject);
    }
    let gate = Gate::new(&keys, "subject = 'client_id'");
    assert_eq!(gate.flaw(&nameless), Flaw::Subject);
    let named = gate.bearer(&with("client_id", json!("deploy"))).unwrap();
    assert_eq!(named.unwrap().subject, "deploy");
}

#[test]
fn a_stranger_with_wrong_signatures_locks_nobody_out_at_his_address() {
    let (signer, forger) = (Signer::es256("k"), Signer::es256("k"));
    let gate = Gate::of(&signer);
    let wrong = forger.token(&claims());
    for _ in 0..700 {
        assert_eq!(gate.flaw(&wrong), Flaw::Signature);
    }
    // One that nobody has seen before.
    assert!(gate.bearer(&signer.token(&claims())).unwrap().is_some());
}

#[test]
fn who_has_to_change_something_is_told_what() {
    let signer = Signer::es256("k");
    let gate = Gate::of(&signer);
    let token = signer.token(&claims());
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        format!("Bearer {}", signer.token(&claims))
    };
    let mut endless = claims();
    endless.as_object_mut().unwrap().remove("exp");
    let endless = format!("Bearer {}", signer.token(&endless));
    let milliseconds = with("exp", json!((NOW + 300) * 1000));
    let bearer = format!("Bearer {token}");
    for (fields, said) in [
        (
            vec![&token],
            "write `Authorization: Bearer TOKEN`, and nothing else",
        ),
        (
            vec![&bearer, &bearer],
            "it is not the only one: the request shows it twice",
        ),
        (vec![&endless], "it has no claim exp"),
        (
            vec![&milliseconds],
            "in seconds since 1970, and this looks like milliseconds",
        ),
        (
            vec![&with("exp", json!("soon"))],
            "its claim exp has to be a number of seconds since 1970",
        ),
        (
            vec![&with("aud", json!(7))],
            "its claim aud has to be a text, or a list of texts",
        ),
    ] {
        let fields: Vec<_> = fields
            .iter()
            .map(|value| ("authorization", value.as_str()))
            .collect();
        let refused = gate.shown(&fields).unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }
}
