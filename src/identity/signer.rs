//! Tokens for tests: signed by keys that are made for them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

/// A pair of keys with a name.
pub(super) struct Signer {
    pub(super) kid: &'static str,
    pair: Pair,
}

enum Pair {
    Edwards(Ed25519KeyPair),
    Elliptic(EcdsaKeyPair, &'static str),
    Rsa(Box<RsaKeyPair>),
}

pub(super) fn digits(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

impl Signer {
    pub(super) fn es256(kid: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let pair = Pair::Elliptic(pair, "P-256");
        Self { kid, pair }
    }

    pub(super) fn es384(kid: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        let pair = Pair::Elliptic(pair, "P-384");
        Self { kid, pair }
    }

    pub(super) fn eddsa(kid: &'static str) -> Self {
        let pair = Pair::Edwards(Ed25519KeyPair::generate().unwrap());
        Self { kid, pair }
    }

    pub(super) fn rsa(kid: &'static str) -> Self {
        let pair = Pair::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));
        Self { kid, pair }
    }

    pub(super) fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Edwards(pair) => json!({
                "kty": "OKP", "crv": "Ed25519", "x": digits(pair.public_key().as_ref()),
            }),
            Pair::Elliptic(pair, curve) => {
                let (x, y) = Self::point(pair);
                json!({"kty": "EC", "crv": curve, "x": x, "y": y})
            }
            Pair::Rsa(pair) => {
                let key = pair.public_key();
                let modulus = key.modulus().big_endian_without_leading_zero();
                let exponent = key.exponent().big_endian_without_leading_zero();
                json!({"kty": "RSA", "n": digits(modulus), "e": digits(exponent)})
            }
        };
        jwk["kid"] = self.kid.into();
        jwk["use"] = "sig".into();
        jwk
    }

    fn point(pair: &EcdsaKeyPair) -> (String, String) {
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        (digits(x), digits(y))
    }

    /// The public half as a text that an attacker has: for HMAC with it.
    pub(super) fn public_bytes(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Edwards(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Elliptic(pair, _) => pair.public_key().as_ref().to_vec(),
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    pub(super) fn algorithm(&self) -> &'static str {
        match &self.pair {
            Pair::Edwards(_) => "EdDSA",
            Pair::Elliptic(_, "P-256") => "ES256",
            Pair::Elliptic(..) => "ES384",
            Pair::Rsa(_) => "RS256",
        }
    }

    pub(super) fn signature(&self, message: &str, pss: bool) -> Vec<u8> {
        let (random, message) = (SystemRandom::new(), message.as_bytes());
        match &self.pair {
            Pair::Edwards(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Elliptic(pair, _) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding: &dyn aws_lc_rs::signature::RsaEncoding = if pss {
                    &RSA_PSS_SHA256
                } else {
                    &RSA_PKCS1_SHA256
                };
                pair.sign(padding, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    /// A token with this head and these claims, as they are written.
    pub(super) fn signed(&self, head: &str, claims: &str) -> String {
        let message = format!("{}.{}", digits(head.as_bytes()), digits(claims.as_bytes()));
        let signature = self.signature(&message, head.contains("PS256"));
        format!("{message}.{}", digits(&signature))
    }

    pub(super) fn token(&self, claims: &Value) -> String {
        let head = json!({"alg": self.algorithm(), "kid": self.kid, "typ": "JWT"});
        self.signed(&head.to_string(), &claims.to_string())
    }
}
