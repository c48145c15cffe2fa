//! The signature of a bundle, `.signatures.json`: one JSON Web Signature over the hashes of all its files, as OPA has it
//! (`v1/bundle/verify.go`).
//!
//! It guarantees that the files of a verified bundle are those that were signed: none is missing, and none is more.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::algorithm::{Algorithm, Family};
use super::{Archive, Refusal, canonical};
use crate::policy::builtins::jwt::keys;
use crate::policy::builtins::jwt::signature::Key;
use crate::value::{LONGEST_SETTING, read_file, unread};

/// More than a bundle of as many files as may be needs.
const MOST: usize = 4 << 20;
/// Of the signature's header, as it is encoded.
const LONGEST_HEADER: usize = 8 << 10;

/// Where it stands.
pub(in crate::policy) const NAME: &str = ".signatures.json";

/// Who has to have signed a bundle.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Signer {
    /// PEM: a public key or a certificate; or the secret of an HMAC.
    pub key_file: PathBuf,
    #[serde(default)]
    pub algorithm: Algorithm,
    /// What the signature calls the key, where it says so.
    #[serde(default)]
    pub key_id: Option<String>,
    /// What the signature is for: exactly this.
    #[serde(default)]
    pub scope: String,
}

/// The file.
#[derive(Deserialize)]
struct Signatures {
    #[serde(default, deserialize_with = "one_or_more")]
    signatures: Vec<String>,
    #[serde(default)]
    plugin: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Payload {
    files: Vec<Signed>,
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    keyid: Option<String>,
}

#[derive(Deserialize)]
struct Signed {
    name: String,
    hash: String,
    #[serde(default)]
    algorithm: String,
}

/// Refuses what is not signed as it has to be, and what is signed where nobody could tell whether it is right.
pub(in crate::policy) fn check(archive: &Archive, signer: Option<&Signer>) -> Result<(), Refusal> {
    match (archive.files.contains_key(NAME), signer) {
        (false, None) => Ok(()),
        (false, Some(_)) => Err(Refusal::new(
            "it is not signed, and the configuration has a key for it: sign it (`dtgate build --signing-key …`, `opa sign`)",
        )),
        (true, None) => Err(Refusal::new(
            "it is signed, and nobody can tell whether the signature is right: give the key in the section `signature` of \
             the bundle (key_file, algorithm)",
        )),
        (true, Some(signer)) => verify(archive, signer),
    }
}

fn verify(archive: &Archive, signer: &Signer) -> Result<(), Refusal> {
    let wrong = |message: String| Refusal::of_file(NAME, message);
    let text = archive.text(NAME)?.unwrap_or_default();
    // Nothing of it is believed yet: it takes no more memory than it has to.
    if text.len() > MOST {
        return Err(wrong(format!("it has more than {} MiB", MOST >> 20)));
    }
    let listed: Signatures = serde_json::from_str(text)
        .map_err(|error| wrong(format!("it is not what OPA writes: {error}")))?;
    if let Some(plugin) = listed
        .plugin
        .filter(|it| !matches!(it.as_str(), "" | "_default"))
    {
        return Err(wrong(format!(
            "it was made by a plugin {plugin:?}, which dtgate has not"
        )));
    }
    let [token] = &*listed.signatures else {
        let number = match listed.signatures.len() {
            0 => "no signature",
            _ => "several signatures",
        };
        return Err(wrong(format!("it has {number}: exactly one is expected")));
    };
    let payload = payload(token, signer).map_err(wrong)?;
    files(archive, payload.files)
}

/// What is signed, after the signature was found right.
fn payload(token: &str, signer: &Signer) -> Result<Payload, String> {
    let parts: Vec<&str> = token.splitn(4, '.').collect();
    let [header, payload, signature] = *parts else {
        return Err("the signature is no JSON Web Signature in its compact form".to_owned());
    };
    let decoded = |part: &str| {
        let decoded = BASE64URL_NOPAD.decode(part.as_bytes());
        decoded.map_err(|_error| "the signature is not written in base64url".to_owned())
    };
    if header.len() > LONGEST_HEADER {
        return Err("the header of the signature is too long".to_owned());
    }
    let head: Header = serde_json::from_slice(&decoded(header)?)
        .map_err(|error| format!("the header of the signature cannot be read: {error}"))?;
    let algorithm = signer.algorithm;
    if head.alg != algorithm.name() {
        return Err(format!(
            "the signature was made with {:?}, and the configuration says {algorithm}",
            head.alg
        ));
    }
    if head.crit.is_some() {
        return Err("the header of the signature has extensions (crit)".to_owned());
    }
    let signature = decoded(signature)?;
    let message = token.rsplit_once('.').map_or("", |(message, _)| message);
    let is_right = keys_of(signer)?.iter().any(|key| {
        let verified = algorithm.verified();
        key.fits(&signature)
            && verified.is_some_and(|by| key.verifies(by, message.as_bytes(), &signature))
    });
    if !is_right {
        return Err(format!(
            "the signature is wrong: it was made by another key than {}, or what is signed was changed",
            signer.key_file.display()
        ));
    }
    let payload: Payload = serde_json::from_slice(&decoded(payload)?)
        .map_err(|error| format!("what is signed cannot be read: {error}"))?;
    let said = |id: &Option<String>| id.clone().filter(|id| !id.is_empty());
    let key_id = said(&head.kid).or_else(|| said(&payload.keyid));
    if let (Some(wanted), Some(said)) = (&signer.key_id, key_id)
        && *wanted != said
    {
        return Err(format!(
            "the key of the signature is called {said:?}, and key_id is {wanted:?}"
        ));
    }
    let scope = payload.scope.as_deref().unwrap_or_default();
    if scope != signer.scope {
        return Err(format!(
            "the signature is for the scope {scope:?}, and the configuration says {:?}",
            signer.scope
        ));
    }
    Ok(payload)
}

/// The first two: with more, it does not matter how many there are.
fn one_or_more<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    struct Few;
    impl<'de> Visitor<'de> for Few {
        type Value = Vec<String>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("a list of signatures")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
            let mut few = Vec::new();
            while few.len() < 2
                && let Some(one) = list.next_element()?
            {
                few.push(one);
            }
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(few)
        }
    }
    from.deserialize_seq(Few)
}

/// Each file is signed, and each that is signed is there.
fn files(archive: &Archive, signed: Vec<Signed>) -> Result<(), Refusal> {
    let mut by_name = BTreeMap::new();
    for file in signed {
        if let Some(twice) = by_name.insert(file.name.clone(), file) {
            let message = format!("{:?} is signed twice", twice.name);
            return Err(Refusal::of_file(NAME, message));
        }
    }
    for (name, bytes) in archive.files.iter().filter(|(name, _)| *name != NAME) {
        let Some(signed) = by_name.remove(name) else {
            return Err(Refusal::of_file(
                name,
                "it is in the bundle, and the signature has it not",
            ));
        };
        let hash = canonical::hash(&signed.algorithm, name, bytes)
            .map_err(|message| Refusal::of_file(name, message))?;
        if !hash.eq_ignore_ascii_case(&signed.hash) {
            return Err(Refusal::of_file(name, "it is not what was signed"));
        }
    }
    match by_name.into_keys().next() {
        None => Ok(()),
        Some(name) => Err(Refusal::of_file(
            &name,
            "it is signed, and the bundle has it not",
        )),
    }
}

/// The key of the configuration. A secret may stand in its file with a line end behind it, as editors leave it there.
fn keys_of(signer: &Signer) -> Result<Vec<Key>, String> {
    let path = signer.key_file.display();
    let wrong = |reason: &str| format!("key_file {path}: {reason}");
    let read =
        read_file(&signer.key_file, LONGEST_SETTING).map_err(|error| wrong(&unread(&error)))?;
    if signer.algorithm.family() == Family::Secret {
        let line = read.strip_suffix(b"\n").unwrap_or(&read);
        let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        if line.is_empty() {
            return Err(wrong("it is empty"));
        }
        return Ok(vec![Key::Secret(read), Key::Secret(line)]);
    }
    let text = String::from_utf8(read).unwrap_or_default();
    if text.contains("PRIVATE KEY-----") {
        return Err(wrong(
            "it holds a private key, which signs and belongs on no gate: take its public half (openssl pkey -pubout)",
        ));
    }
    let key = keys::public_key(text.trim_end()).map_err(|_error| {
        wrong("a public key or a certificate in PEM form is expected (-----BEGIN PUBLIC KEY-----)")
    })?;
    if signer.algorithm.fits(&key) {
        Ok(vec![key])
    } else {
        Err(wrong(&format!("it is no key for {}", signer.algorithm)))
    }
}

impl Signer {
    /// Whether its key can be used.
    pub fn check(&self) -> Result<(), String> {
        keys_of(self).map(|_keys| ())
    }
}
