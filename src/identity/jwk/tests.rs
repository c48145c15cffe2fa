use serde_json::json;

use super::*;
use crate::identity::signer::{Signer, digits};

fn set(keys: &Value) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

/// Why this one key is left out.
fn reason(key: &Value) -> String {
    let set = set(&json!([key]));
    assert_eq!(set.len(), 0, "{key}");
    set.left_out.join("; ")
}

#[test]
fn keys_for_signatures_are_taken_and_others_left_out_with_the_reason() {
    let (es, rsa) = (Signer::es256("k"), Signer::rsa("r"));
    assert_eq!(set(&json!([es.jwk(), rsa.jwk()])).len(), 2);
    assert_eq!(set(&json!([])).len(), 0);
    let with = |signer: &Signer, name: &str, value: Value| {
        let mut jwk = signer.jwk();
        jwk[name] = value;
        reason(&jwk)
    };
    for (said, wanted) in [
        (with(&es, "use", "enc".into()), "not for signatures"),
        (with(&es, "key_ops", json!(["sign"])), "key_ops"),
        (with(&es, "key_ops", "verify".into()), "key_ops"),
        (with(&es, "d", "AAAA".into()), "secret half"),
        (with(&rsa, "p", "AAAA".into()), "secret half"),
        (with(&es, "kid", "".into()), "no name"),
        (with(&es, "kid", 1.into()), "no name"),
        (with(&es, "kty", "oct".into()), "none of RSA, EC and OKP"),
        (with(&es, "kty", "RSA".into()), "its n is missing"),
        (with(&es, "crv", "P-384".into()), "none of its curve"),
        (with(&es, "crv", "P-521".into()), "none of P-256 and P-384"),
        (
            with(&es, "crv", "secp256k1".into()),
            "none of P-256 and P-384",
        ),
        (with(&es, "x", "AA".into()), "none of its curve"),
        (with(&es, "x", "!".into()), "its x is missing"),
        (with(&es, "alg", "ES384".into()), "not one for its type"),
        (with(&es, "alg", "RS256".into()), "not one for its type"),
        (with(&es, "alg", "HS256".into()), "not supported"),
        (with(&es, "alg", "none".into()), "not supported"),
        (
            with(&Signer::eddsa("e"), "crv", "Ed448".into()),
            "not Ed25519",
        ),
        (
            reason(&json!({"kty": "oct", "k": "AAAA", "kid": "k"})),
            "it is secret",
        ),
        (reason(&json!("k")), "no object"),
    ] {
        assert!(said.contains(wanted), "{said}");
    }
}

#[test]
fn weak_keys_are_left_out() {
    let rsa = |bits: usize, exponent: &[u8]| {
        let mut modulus = vec![0xff; bits.div_ceil(8)];
        if !bits.is_multiple_of(8) {
            modulus[0] = (1 << (bits % 8)) - 1;
        }
        json!({"kty": "RSA", "kid": "k", "n": digits(&modulus), "e": digits(exponent)})
    };
    let three = [1, 0, 1];
    assert_eq!(set(&json!([rsa(2048, &three)])).len(), 1);
    assert_eq!(set(&json!([rsa(2048, &[0, 0, 0, 3])])).len(), 1);
    assert_eq!(set(&json!([rsa(8192, &three)])).len(), 1);
    for (bits, said) in [
        (1024, "it has 1024"),
        (2047, "it has 2047"),
        (8193, "it has 8193"),
        (0, "it has 0"),
    ] {
        assert!(reason(&rsa(bits, &three)).contains(said), "{bits}");
    }
    let mut padded = vec![0; 128];
    padded.extend([0xff; 128]);
    let padded = json!({"kty": "RSA", "kid": "k", "n": digits(&padded), "e": "AQAB"});
    assert!(reason(&padded).contains("it has 1024"));
    for exponent in [&[][..], &[0], &[1], &[0, 1], &[2], &[1, 0, 0, 0, 1]] {
        assert!(
            reason(&rsa(2048, exponent)).contains("exponent"),
            "{exponent:?}"
        );
    }
}

#[test]
fn of_two_keys_with_one_name_none_is_taken() {
    let [a, b, c] = [Signer::es256("k"), Signer::rsa("k"), Signer::es256("x")];
    let set = set(&json!([a.jwk(), b.jwk(), c.jwk()]));
    assert!(set.get("k").is_none() && set.get("x").is_some());
    assert_eq!(set.left_out, ["more than one key has the name (kid) \"k\""]);
    let three = self::set(&json!([a.jwk(), b.jwk(), Signer::es256("k").jwk()]));
    assert!(three.get("k").is_none());
    // One of them is for something else.
    let mut other = b.jwk();
    other["use"] = "enc".into();
    assert!(self::set(&json!([a.jwk(), other])).get("k").is_some());
}

#[test]
fn what_is_no_set_of_keys_is_an_error() {
    for text in [
        "",
        "[]",
        "{}",
        "null",
        "{\"keys\":{}}",
        "{\"keys\":[],\"keys\":[]}",
        "<html>",
        "{\"keys\":[]} x",
    ] {
        let error = KeySet::parse(text.as_bytes()).unwrap_err();
        assert!(matches!(error, Fault::Set(_)), "{text}: {error}");
    }
    let many: Vec<Value> = (0..101).map(|_| json!({})).collect();
    let text = json!({ "keys": many }).to_string();
    let error = KeySet::parse(text.as_bytes()).unwrap_err();
    assert!(matches!(error, Fault::Many), "{error}");
}
