//! The keys that a policy verifies with: a certificate or a public key in PEM, a JWK, or a set of them.

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use serde_json::{Map, Value as Json};

use super::signature::{Curve, Key, sequence};
use crate::policy::builtins::encoding::base64;

/// The longest text of keys.
const MOST_BYTES: usize = 1 << 20;

/// The most keys of a set. Each may be tried with one token.
const MOST_KEYS: usize = 100;

/// Algorithms of keys that sign no token: OPA leaves such keys out, and takes no set with an algorithm that it does not know.
const OTHER_ALGORITHMS: [&str; 28] = [
    "A128CBC-HS256",
    "A128GCM",
    "A128GCMKW",
    "A128KW",
    "A192CBC-HS384",
    "A192GCM",
    "A192GCMKW",
    "A192KW",
    "A256CBC-HS512",
    "A256GCM",
    "A256GCMKW",
    "A256KW",
    "ECDH-ES",
    "ECDH-ES+A128KW",
    "ECDH-ES+A192KW",
    "ECDH-ES+A256KW",
    "ES256K",
    "Ed25519",
    "PBES2-HS256+A128KW",
    "PBES2-HS384+A192KW",
    "PBES2-HS512+A256KW",
    "RSA-OAEP",
    "RSA-OAEP-256",
    "RSA-OAEP-384",
    "RSA-OAEP-512",
    "RSA1_5",
    "dir",
    "none",
];

/// The algorithms that sign tokens.
const ALGORITHMS: [&str; 13] = [
    "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512", "PS256", "PS384", "PS512",
    "RS256", "RS384", "RS512",
];

pub(super) struct Named {
    /// Empty where it has none.
    pub(super) id: String,
    /// Empty where it may be any.
    pub(super) algorithm: String,
    pub(super) key: Key,
}

/// The key of this name, if there is one and the token names any.
pub(super) fn by_id<'k>(keys: &'k [Named], id: &str) -> Option<&'k Named> {
    keys.iter().find(|key| !id.is_empty() && key.id == id)
}

/// Which no message repeats any part of.
pub(super) fn read(text: &str) -> Result<Vec<Named>, String> {
    if text.len() > MOST_BYTES {
        return Err("the keys are longer than 1 MiB".to_owned());
    }
    if let Some(block) = Block::first(text) {
        let key = block.key()?;
        return Ok(vec![Named {
            id: String::new(),
            algorithm: String::new(),
            key,
        }]);
    }
    let Ok(Json::Object(document)) = serde_json::from_str(text) else {
        return Err("the keys are neither PEM nor a JSON object".to_owned());
    };
    let Some(list) = document.get("keys") else {
        return Ok(jwk(&document)?.into_iter().collect());
    };
    let list = list.as_array().ok_or("\"keys\" is no list")?;
    if list.len() > MOST_KEYS {
        return Err("there are more than 100 keys".to_owned());
    }
    let one = |key: &Json| jwk(key.as_object().ok_or("a key is no JSON object")?);
    let keys: Result<Vec<Option<Named>>, String> = list.iter().map(one).collect();
    Ok(keys?.into_iter().flatten().collect())
}

/// The key of a PEM text: public, or in a certificate. Also in the form that is for RSA only.
pub(in crate::policy) fn public_key(text: &str) -> Result<Key, String> {
    let block = Block::first(text).ok_or("this is no PEM")?;
    match block.label {
        "RSA PUBLIC KEY" if block.rest.is_empty() => {
            Key::bare_rsa(&block.bytes).ok_or_else(|| "this is no key of RSA".to_owned())
        }
        _ => block.key(),
    }
}

/// A block of PEM.
struct Block<'t> {
    label: &'t str,
    bytes: Vec<u8>,
    rest: &'t str,
}

impl<'t> Block<'t> {
    /// The first one, as Go finds it, with no fields before what is encoded.
    fn first(text: &'t str) -> Option<Self> {
        const BEGIN: &str = "-----BEGIN ";
        let (before, after) = text.split_once("\n-----END ")?;
        let (skipped, block) = before.rsplit_once(BEGIN)?;
        if !skipped.is_empty() && !skipped.ends_with('\n') {
            return None;
        }
        let (label, encoded) = block.split_once('\n').unwrap_or((block, ""));
        let label = label
            .trim_end_matches([' ', '\t', '\r'])
            .strip_suffix("-----")?;
        let after = after.strip_prefix(label)?.strip_prefix("-----")?;
        let (line, rest) = after.split_once('\n').unwrap_or((after, ""));
        if !line
            .trim_end_matches('\r')
            .trim_matches([' ', '\t'])
            .is_empty()
        {
            return None;
        }
        let bytes = base64(&encoded.replace([' ', '\t'], ""), &BASE64_NOPAD)?;
        Some(Self { label, bytes, rest })
    }

    fn key(&self) -> Result<Key, String> {
        if !self.rest.is_empty() {
            return Err("extra data after a PEM certificate block".to_owned());
        }
        match self.label {
            "CERTIFICATE" => certified(&self.bytes),
            "PUBLIC KEY" => public(&self.bytes),
            _ => Err("failed to extract a key from the PEM certificate".to_owned()),
        }
    }
}

fn public(encoded: &[u8]) -> Result<Key, String> {
    let key = Key::public(encoded);
    key.ok_or_else(|| "failed to parse a public key, or dtgate cannot verify with it".to_owned())
}

/// The public key of a certificate, of any version; nobody asks here who vouches for it, or how long.
fn certified(encoded: &[u8]) -> Result<Key, String> {
    let mut store = RootCertStore::empty();
    if store.add(CertificateDer::from(encoded)).is_err() {
        return Err("failed to parse a PEM certificate".to_owned());
    }
    let key = store.roots.first().map(|it| &it.subject_public_key_info);
    public(&sequence(key.map_or(&[], |key| key.as_ref())))
}

/// `None`: it signs no tokens.
fn jwk(members: &Map<String, Json>) -> Result<Option<Named>, String> {
    let text = |name: &str| match members.get(name) {
        None | Some(Json::Null) => Ok(""),
        Some(Json::String(text)) => Ok(text.as_str()),
        Some(_) => Err(format!("the member {name:?} of a key is no text")),
    };
    let bytes = |name: &str| {
        let bytes = bytes_of(text(name)?).filter(|bytes| !bytes.is_empty());
        bytes.ok_or_else(|| format!("the member {name:?} of a key is missing, or is no base64url"))
    };
    for name in ["use", "x5t", "x5t#S256", "x5u"] {
        text(name)?;
    }
    for (name, is_right) in [
        ("x5c", is_certificate as fn(&Json) -> bool),
        ("key_ops", Json::is_string),
    ] {
        let is_list = |it: &Json| it.as_array().is_some_and(|it| it.iter().all(is_right));
        if !members.get(name).is_none_or(is_list) {
            return Err(format!(
                "the member {name:?} of a key is no list of what it has to hold"
            ));
        }
    }
    if members.contains_key("d") {
        return Err("a key is private: policies verify with public ones".to_owned());
    }
    let key = match text("kty")? {
        "RSA" => Key::rsa(&bytes("n")?, &bytes("e")?),
        "EC" => {
            let curve = Curve::named(text("crv")?).ok_or("the curve of a key is not known")?;
            Key::elliptic(curve, &bytes("x")?, &bytes("y")?)
        }
        "OKP" => {
            let x = bytes("x")?;
            let is_whole = x.len() == 32;
            match text("crv")? {
                "Ed25519" => is_whole.then_some(Key::Ed25519(x)),
                "X25519" => is_whole.then_some(Key::Exchange),
                _ => None,
            }
        }
        "oct" => Some(Key::Secret(bytes("k")?)),
        _ => return Err("the kind of a key is not known".to_owned()),
    };
    let key = key.ok_or("a key is none of its kind, or dtgate cannot verify with it")?;
    let algorithm = match members.get("alg") {
        None => "",
        Some(_) => text("alg")?,
    };
    if OTHER_ALGORITHMS.contains(&algorithm) {
        return Ok(None);
    }
    if members.contains_key("alg") && !ALGORITHMS.contains(&algorithm) {
        return Err("the algorithm of a key is not known".to_owned());
    }
    let (id, algorithm) = (text("kid")?.to_owned(), algorithm.to_owned());
    Ok(Some(Named { id, algorithm, key }))
}

fn is_certificate(json: &Json) -> bool {
    let text = json
        .as_str()
        .map(|text| text.replace(|it: char| it.is_ascii_whitespace(), ""));
    let bytes = text.and_then(|text| bytes_of(&text));
    let certificate = bytes.map(CertificateDer::from);
    certificate.is_some_and(|it| RootCertStore::empty().add(it).is_ok())
}

/// Base64 of either alphabet, with or without what fills up the end.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let encoding = if text.contains(['+', '/']) {
        &BASE64_NOPAD
    } else {
        &BASE64URL_NOPAD
    };
    if text.ends_with('=') {
        return base64(text, encoding);
    }
    let mut filled = text.replace(['\r', '\n'], "");
    if filled.contains('=') {
        return None;
    }
    filled.extend(std::iter::repeat_n('=', filled.len().wrapping_neg() % 4));
    base64(&filled, encoding)
}
