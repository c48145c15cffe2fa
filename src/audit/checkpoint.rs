//! Checkpoints: the number of records and the root of their tree, signed
//! ([C2SP tlog-checkpoint](https://c2sp.org/tlog-checkpoint)). Whoever keeps one can prove later that nothing before it
//! was changed, and that nothing was cut.

pub mod key;
pub mod note;

use std::fmt;
use std::path::PathBuf;

use data_encoding::BASE64;
use serde::Deserialize;

use super::event::{Checkpoint as Event, KeyChange};
use super::tree::Hash;
use crate::value::plain_url;
use note::{Kind, Note, NoteError, PublicKey, SigningKey};

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: String,
    pub size: u64,
    pub root: Hash,
}

/// A checkpoint of this journal, and the text that goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub checkpoint: Checkpoint,
    /// The whole note.
    pub note: String,
    /// When it was made.
    pub made: jiff::Timestamp,
}

/// Where checkpoints go besides the journal.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Destinations {
    /// Always holds the newest.
    pub file: Option<PathBuf>,
    pub log: bool,
    /// The newest is sent there.
    pub url: Option<Url>,
    /// PEM file of the authorities to trust for `url` and witnesses, instead of the system's.
    pub ca: Option<PathBuf>,
    /// `http://host:port`, or `environment`: the proxy on the way there.
    pub proxy: Option<String>,
    /// Who confirm that the journal only grows.
    pub witness: Vec<Witness>,
}

/// Somebody who remembers how far a journal was.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    pub url: Url,
    pub key: WitnessKey,
}

/// The public key of a witness.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct WitnessKey(PublicKey);

/// `http[s]://host[:port][/path]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Url(http::Uri);

/// The name of the journal's key, and the first line of its checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin(String);

impl Checkpoint {
    pub fn to_text(&self) -> String {
        let Self { origin, size, root } = self;
        format!("{origin}\n{size}\n{}\n", BASE64.encode(root))
    }

    /// Reads the text of a note. Lines that say more are stepped over.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let number: u64 = size.parse().ok()?;
        Some(Self {
            origin: (!origin.is_empty()).then(|| origin.to_owned())?,
            // One way to write a number.
            size: (number.to_string() == size).then_some(number)?,
            root: hash_of(root)?,
        })
    }

    pub fn sign(&self, key: &SigningKey) -> String {
        let text = self.to_text();
        let signatures = vec![key.sign(&text)];
        Note { text, signatures }.to_string()
    }
}

impl Signed {
    /// Signs.
    pub(super) fn new(size: u64, root: Hash, key: &SigningKey, made: jiff::Timestamp) -> Self {
        let checkpoint = Checkpoint {
            origin: key.name().to_owned(),
            size,
            root,
        };
        let note = checkpoint.sign(key);
        Self {
            checkpoint,
            note,
            made,
        }
    }

    pub(super) fn event(&self, key: &PublicKey) -> Event {
        Event {
            timestamp: self.made,
            size: self.checkpoint.size,
            root: BASE64.encode(&self.checkpoint.root),
            key: key.to_string(),
            note: self.note.clone(),
        }
    }
}

/// A hash as checkpoints and proofs write it.
pub fn hash_of(text: &str) -> Option<Hash> {
    BASE64.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// The text by which a key hands over to another.
pub fn handover(old: &PublicKey, new: &PublicKey) -> String {
    format!("dtgate key rotation\n{old}\n{new}\n")
}

/// The record by which the old key names the new one; both sign.
pub(super) fn key_change(old: &SigningKey, new: &SigningKey, now: jiff::Timestamp) -> KeyChange {
    let text = handover(&old.public(), &new.public());
    let signatures = vec![old.sign(&text), new.sign(&text)];
    KeyChange {
        timestamp: now,
        old: old.public().to_string(),
        new: new.public().to_string(),
        note: Note { text, signatures }.to_string(),
    }
}

impl WitnessKey {
    pub fn key(&self) -> &PublicKey {
        &self.0
    }
}

impl TryFrom<String> for WitnessKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let key: PublicKey = text.parse().map_err(|error| match error {
            NoteError::Private => format!(
                "it is a {error}; and make a new pair, since this one has been written here"
            ),
            _ => error.to_string(),
        })?;
        match key.kind() {
            Kind::Cosignature => Ok(Self(key)),
            Kind::Plain => Err("it is the key of a log, not of a witness: the base64 of a witness' key begins with B".to_owned()),
        }
    }
}

impl TryFrom<String> for Origin {
    type Error = NoteError;

    fn try_from(text: String) -> Result<Self, NoteError> {
        note::checked(&text).map(Self)
    }
}

impl Origin {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// By the name of this machine.
    pub fn of_this_host() -> Self {
        let name = rustix::system::uname();
        let name = name.nodename().to_string_lossy();
        let origin = note::checked(&format!("dtgate/{name}"));
        Self(origin.unwrap_or_else(|_odd| "dtgate".to_owned()))
    }
}

impl Url {
    pub fn uri(&self) -> &http::Uri {
        &self.0
    }

    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == Some(&http::uri::Scheme::HTTPS)
    }
}

impl TryFrom<String> for Url {
    type Error = &'static str;

    /// Nothing of the text is repeated: it may hold a password.
    fn try_from(text: String) -> Result<Self, &'static str> {
        let wanted =
            "write http://host[:port][/path] or https://…, without user, query or fragment";
        let uri = plain_url(&text).filter(|uri| uri.query().is_none());
        uri.map(Self).ok_or(wanted)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_read_as_it_is_written() {
        let checkpoint = Checkpoint {
            origin: "gate.example/dtgate".to_owned(),
            size: 12,
            root: [7; 32],
        };
        assert_eq!(
            Checkpoint::parse(&checkpoint.to_text()),
            Some(checkpoint.clone())
        );
        let more = checkpoint.to_text() + "an extension\n";
        assert_eq!(Checkpoint::parse(&more), Some(checkpoint.clone()));
        let text = checkpoint.to_text();
        for wrong in [
            text.replace("12", "012"),
            text.replace("12", "-1"),
            text.replace("12", "+12"),
            text.replace('=', ""),
            text.trim_end().to_owned(),
            text.replacen("gate.example/dtgate", "", 1),
            String::new(),
        ] {
            assert_eq!(Checkpoint::parse(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_place_to_send_to_is_a_url_without_secrets() {
        let read = |text: &str| Url::try_from(text.to_owned());
        for right in [
            "http://127.0.0.1:1",
            "https://a.example/b/c",
            "http://[::1]:8/",
        ] {
            assert_eq!(
                read(right).unwrap().to_string().trim_end_matches('/'),
                right.trim_end_matches('/')
            );
        }
        for wrong in [
            "a",
            "ftp://a",
            "http://u:p@a",
            "http://a?b",
            "http://a:0",
            "http://a:99999",
            "http://",
        ] {
            read(wrong).unwrap_err();
        }
    }
}
