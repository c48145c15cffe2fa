//! Signs bundles as `opa sign` does.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use data_encoding::BASE64URL_NOPAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value as Json, json};

use super::algorithm::{Algorithm, Family};
use super::{canonical, signature};
use crate::value::unread;

/// By whom a bundle is signed, and for what.
#[derive(Clone, Debug)]
pub struct SignedBy {
    /// PEM: a private key; or the secret of an HMAC.
    pub key_file: PathBuf,
    pub algorithm: Algorithm,
    pub key_id: Option<String>,
    pub scope: Option<String>,
}

/// What `.signatures.json` holds for these files.
pub(in crate::policy) fn signatures(
    files: &BTreeMap<String, Vec<u8>>,
    by: &SignedBy,
) -> Result<String, String> {
    let mut listed = Vec::new();
    for (name, bytes) in files.iter().filter(|(name, _)| *name != signature::NAME) {
        let hash =
            canonical::hash(HASH, name, bytes).map_err(|error| format!("{name}: {error}"))?;
        listed.push(json!({"name": name, "hash": hash, "algorithm": HASH}));
    }
    let mut header = Map::new();
    header.insert("alg".to_owned(), by.algorithm.name().into());
    header.insert("typ".to_owned(), "JWT".into());
    if let Some(id) = &by.key_id {
        header.insert("kid".to_owned(), id.as_str().into());
    }
    let mut payload = Map::new();
    payload.insert("files".to_owned(), listed.into());
    if let Some(scope) = &by.scope {
        payload.insert("scope".to_owned(), scope.as_str().into());
    }
    let encoded =
        |part: Map<String, Json>| BASE64URL_NOPAD.encode(Json::Object(part).to_string().as_bytes());
    let message = format!("{}.{}", encoded(header), encoded(payload));
    let signed = signed(by, message.as_bytes())
        .map_err(|reason| format!("{}: {reason}", by.key_file.display()))?;
    let token = format!("{message}.{}", BASE64URL_NOPAD.encode(&signed));
    Ok(json!({"signatures": [token]}).to_string())
}

fn signed(by: &SignedBy, message: &[u8]) -> Result<Vec<u8>, String> {
    let text = std::fs::read(&by.key_file).map_err(|error| unread(&error))?;
    let name = by.algorithm.name();
    if by.algorithm.family() == Family::Secret {
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        let kind = match name {
            "HS256" => hmac::HMAC_SHA256,
            "HS384" => hmac::HMAC_SHA384,
            _ => hmac::HMAC_SHA512,
        };
        return Ok(hmac::sign(&hmac::Key::new(kind, &text), message)
            .as_ref()
            .to_vec());
    }
    // Without the parser's own words: they may quote a line of the key.
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_quotes_the_file| {
        "it holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)".to_owned()
    })?;
    let made = match by.algorithm.family() {
        Family::Elliptic => elliptic(&key, name, message),
        Family::Rsa | Family::Secret => rsa(&key, name, message),
    };
    made.ok_or_else(|| match meant(&key) {
        Some(meant) => format!(
            "it is no key for {name}: it is one for --signing-alg {meant} (the default is RS256)"
        ),
        None => format!("it is no key for {name}"),
    })
}

/// What a key signs, where that can be told.
fn meant(key: &PrivateKeyDer<'_>) -> Option<&'static str> {
    let elliptics = ["ES256", "ES384", "ES512"];
    let mut all = elliptics.into_iter();
    let is_elliptic = all.find(|name| elliptic(key, name, b"").is_some());
    is_elliptic.or_else(|| rsa(key, "RS256", b"").map(|_signed| "RS256"))
}

fn elliptic(key: &PrivateKeyDer<'_>, name: &str, message: &[u8]) -> Option<Vec<u8>> {
    let by = match name {
        "ES256" => &ECDSA_P256_SHA256_FIXED_SIGNING,
        "ES384" => &ECDSA_P384_SHA384_FIXED_SIGNING,
        _ => &ECDSA_P521_SHA512_FIXED_SIGNING,
    };
    let pair = match key {
        PrivateKeyDer::Pkcs8(key) => EcdsaKeyPair::from_pkcs8(by, key.secret_pkcs8_der()),
        PrivateKeyDer::Sec1(key) => EcdsaKeyPair::from_private_key_der(by, key.secret_sec1_der()),
        _ => return None,
    };
    let signed = pair.ok()?.sign(&SystemRandom::new(), message).ok()?;
    Some(signed.as_ref().to_vec())
}

fn rsa(key: &PrivateKeyDer<'_>, name: &str, message: &[u8]) -> Option<Vec<u8>> {
    let by: &'static dyn RsaEncoding = match name {
        "PS256" => &RSA_PSS_SHA256,
        "PS384" => &RSA_PSS_SHA384,
        "PS512" => &RSA_PSS_SHA512,
        "RS256" => &RSA_PKCS1_SHA256,
        "RS384" => &RSA_PKCS1_SHA384,
        _ => &RSA_PKCS1_SHA512,
    };
    let pair = match key {
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        _ => return None,
    };
    let pair = pair.ok()?;
    let mut signed = vec![0; pair.public_modulus_len()];
    pair.sign(by, &SystemRandom::new(), message, &mut signed)
        .ok()?;
    Some(signed)
}

const HASH: &str = "SHA-256";
