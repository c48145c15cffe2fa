//! Signed notes: a text, and below it who has signed it ([C2SP signed-note](https://c2sp.org/signed-note)). Pure.
//!
//! A key is known by its name and four bytes of hash, and written as Go's `sumdb/note` writes it: `name+hash+base64`.
//! Ed25519 only, over the text itself, or over the text with a time in front, as witnesses sign
//! ([tlog-cosignature](https://c2sp.org/tlog-cosignature)).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rand;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use data_encoding::BASE64;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::value::hex;

/// What somebody's signatures are checked by. Everybody may have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    kind: Kind,
    key: [u8; 32],
}

/// Over what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The text.
    Plain = 1,
    /// The text and a time: by a witness.
    Cosignature = 4,
}

/// What signs. It cannot be printed.
pub struct SigningKey {
    name: String,
    pair: Ed25519KeyPair,
    seed: [u8; 32],
}

/// A text and its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// With its last newline.
    pub text: String,
    pub signatures: Vec<Signature>,
}

/// A line below a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    name: String,
    hash: [u8; 4],
    bytes: Vec<u8>,
}

/// Why a text is no key and no note. It is not repeated: it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoteError {
    #[error("it is no key: write it as `dtgate audit key` prints it, NAME+HASH+BASE64")]
    Key,
    #[error(
        "private key where a public one belongs: write the line there that was printed when it was made"
    )]
    Private,
    #[error("the name of a key is a text without blanks and `+`, of 1 to {LONGEST_NAME} bytes")]
    Name,
    #[error("it is no signed note: a text, an empty line, and lines that begin with `— `")]
    Note,
    #[error("it is longer than {LONGEST_NOTE} bytes")]
    Long,
}

impl PublicKey {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What a signature line says of its key.
    pub fn hash(&self) -> [u8; 4] {
        let hash = Sha256::new_with_prefix(&self.name)
            .chain_update([b'\n', self.kind as u8])
            .chain_update(self.key)
            .finalize();
        let mut short = [0; 4];
        short.copy_from_slice(hash.get(..4).unwrap_or_default());
        short
    }

    /// Whether it is the same key, whatever it is called.
    pub fn is_same_key(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// Whether a signature says that it is of this key.
    pub fn is_named_by(&self, signature: &Signature) -> bool {
        signature.name == self.name && signature.hash == self.hash()
    }

    /// Whether a signature says that it is of this key, under whatever name.
    pub fn is_renamed_in(&self, signature: &Signature) -> bool {
        let renamed = Self {
            name: signature.name.clone(),
            ..self.clone()
        };
        renamed.is_named_by(signature)
    }

    fn is_over(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, &self.key);
        key.verify(message, signature).is_ok()
    }

    /// Whether this key has signed the note; the time of a cosignature, in seconds since 1970, is 0 for a plain one.
    pub fn signed(&self, note: &Note) -> Option<u64> {
        let ours = note.signatures.iter().filter(|it| self.is_named_by(it));
        ours.take(SIGNATURES).find_map(|signature| match self.kind {
            Kind::Plain => self
                .is_over(note.text.as_bytes(), &signature.bytes)
                .then_some(0),
            Kind::Cosignature => {
                let (time, signature) = signature.bytes.split_first_chunk::<8>()?;
                let time = u64::from_be_bytes(*time);
                let message = cosigned(time, &note.text);
                self.is_over(message.as_bytes(), signature).then_some(time)
            }
        })
    }
}

/// What a witness signs.
fn cosigned(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

impl FromStr for PublicKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        if text.trim_start().starts_with(SECRET) {
            return Err(NoteError::Private);
        }
        let (name, hash, bytes) = parts(text.trim())?;
        let (kind, key) = bytes.split_first().ok_or(NoteError::Key)?;
        let read = Self {
            name: checked(name)?,
            kind: match kind {
                1 => Kind::Plain,
                4 => Kind::Cosignature,
                _ => return Err(NoteError::Key),
            },
            key: key.try_into().map_err(|_length| NoteError::Key)?,
        };
        (hex(&read.hash()) == hash)
            .then_some(read)
            .ok_or(NoteError::Key)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [[self.kind as u8].as_slice(), &self.key].concat();
        write!(
            f,
            "{}+{}+{}",
            self.name,
            hex(&self.hash()),
            BASE64.encode(&bytes)
        )
    }
}

impl SigningKey {
    /// A new one, by the system's generator.
    pub fn generate(name: &str) -> Result<Self, NoteError> {
        let mut seed = [0; 32];
        rand::fill(&mut seed).expect("the system gives random numbers");
        Self::of(name, seed)
    }

    fn of(name: &str, seed: [u8; 32]) -> Result<Self, NoteError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed);
        Ok(Self {
            name: checked(name)?,
            pair: pair.map_err(|_refused| NoteError::Key)?,
            seed,
        })
    }

    /// Reads what [`SigningKey::to_secret_text`] has written.
    pub fn from_secret_text(text: &str) -> Result<Self, NoteError> {
        let text = text.trim().strip_prefix(SECRET).ok_or(NoteError::Key)?;
        let (name, hash, bytes) = parts(text)?;
        let seed = bytes
            .strip_prefix(&[Kind::Plain as u8])
            .ok_or(NoteError::Key)?;
        let key = Self::of(name, seed.try_into().map_err(|_length| NoteError::Key)?)?;
        (hex(&key.public().hash()) == hash)
            .then_some(key)
            .ok_or(NoteError::Key)
    }

    /// One line, as Go's `sumdb/note` has it. It is the secret itself: for the key's own file.
    pub fn to_secret_text(&self) -> String {
        let hash = hex(&self.public().hash());
        let bytes = [[Kind::Plain as u8].as_slice(), &self.seed].concat();
        format!("{SECRET}{}+{hash}+{}\n", self.name, BASE64.encode(&bytes))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn public(&self) -> PublicKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey {
            name: self.name.clone(),
            kind: Kind::Plain,
            key,
        }
    }

    /// The line that signs a text.
    pub fn sign(&self, text: &str) -> Signature {
        Signature {
            name: self.name.clone(),
            hash: self.public().hash(),
            bytes: self.pair.sign(text.as_bytes()).as_ref().to_vec(),
        }
    }

    /// What a witness with this key, at this time, adds to a note; and the key to check it by.
    #[cfg(test)]
    pub(crate) fn cosign(&self, text: &str, time: u64) -> (Signature, PublicKey) {
        let key = PublicKey {
            kind: Kind::Cosignature,
            ..self.public()
        };
        let signature = self.pair.sign(cosigned(time, text).as_bytes());
        let signature = Signature {
            name: self.name.clone(),
            hash: key.hash(),
            bytes: [&time.to_be_bytes(), signature.as_ref()].concat(),
        };
        (signature, key)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.name)
    }
}

impl Note {
    /// Reads a note; its signatures are not checked.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > LONGEST_NOTE {
            return Err(NoteError::Long);
        }
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Note)?;
        Ok(Self {
            text: format!("{text}\n"),
            signatures: signatures(lines)?,
        })
    }
}

/// Reads signature lines, one or more.
pub fn signatures(lines: &str) -> Result<Vec<Signature>, NoteError> {
    let lines = lines.strip_suffix('\n').ok_or(NoteError::Note)?;
    let read = lines.split('\n').map(|line| {
        let (name, bytes) = line.strip_prefix("— ")?.split_once(' ')?;
        let bytes = BASE64.decode(bytes.as_bytes()).ok()?;
        let (hash, bytes) = bytes.split_first_chunk::<4>()?;
        Some(Signature {
            name: checked(name).ok()?,
            hash: *hash,
            bytes: bytes.to_vec(),
        })
    });
    let read: Option<Vec<Signature>> = read.take(SIGNATURES + 1).collect();
    let read = read.ok_or(NoteError::Note)?;
    (read.len() <= SIGNATURES)
        .then_some(read)
        .ok_or(NoteError::Long)
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|one| write!(f, "{one}"))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.hash.as_slice(), &self.bytes].concat();
        writeln!(f, "— {} {}", self.name, BASE64.encode(&bytes))
    }
}

impl Signature {
    /// The name of the key that it says it is of.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key that it says it is of.
    pub fn key_id(&self) -> String {
        format!("{}+{}", self.name, hex(&self.hash))
    }
}

/// A key in its parts: base64 may have a `+`, too.
fn parts(text: &str) -> Result<(&str, &str, Vec<u8>), NoteError> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(hash), Some(bytes)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NoteError::Key);
    };
    let bytes = BASE64
        .decode(bytes.as_bytes())
        .map_err(|_invalid| NoteError::Key)?;
    Ok((name, hash, bytes))
}

/// The name of a key.
pub fn checked(name: &str) -> Result<String, NoteError> {
    let is_possible = (1..=LONGEST_NAME).contains(&name.len())
        && !name.contains(|c: char| c == '+' || c.is_whitespace() || c.is_control());
    is_possible.then(|| name.to_owned()).ok_or(NoteError::Name)
}

const SECRET: &str = "PRIVATE+KEY+";
const LONGEST_NAME: usize = 256;
pub const LONGEST_NOTE: usize = 64 << 10;
/// More than any log and its witnesses have.
const SIGNATURES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_gos_own_documentation_is_read_and_signs_alike() {
        // From the documentation of golang.org/x/mod/sumdb/note.
        let secret =
            "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
        let public = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let signed = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let key = SigningKey::from_secret_text(secret).unwrap();
        assert_eq!(key.public().to_string(), public);
        assert_eq!(key.to_secret_text().trim(), secret);
        assert_eq!(key.sign(text).to_string(), signed);
        let note = Note::parse(&format!("{text}\n{signed}")).unwrap();
        let public: PublicKey = public.parse().unwrap();
        assert_eq!(public.signed(&note), Some(0));
        assert_eq!(note.to_string(), format!("{text}\n{signed}"));
        assert!(!format!("{key:?}").contains("AYEK"));
    }

    #[test]
    fn what_is_no_key_and_no_note_is_refused() {
        let key = SigningKey::generate("gate.example/dtgate").unwrap();
        let public = key.public().to_string();
        for wrong in [
            String::new(),
            public.replace("gate", "gats"),
            public.replace("+A", "+B"),
            public.trim_end_matches('=').to_owned() + "AA",
            key.to_secret_text(),
        ] {
            assert!(wrong.parse::<PublicKey>().is_err(), "{wrong}");
        }
        for wrong in ["", "a b", "a+b", "a\nb", &"x".repeat(300)] {
            SigningKey::generate(wrong).unwrap_err();
        }
        let line = key.sign("x\n").to_string();
        for wrong in [
            "x\n".to_owned(),
            "x\n\n".to_owned(),
            format!("x\n\n{}", line.trim_end()),
            format!("x\n\n{line}\n"),
            format!("x\n\n{}", line.replace("— ", "- ")),
            format!("x\n\n{}", line.repeat(SIGNATURES + 1)),
            format!("{}\n\n{line}", "x".repeat(LONGEST_NOTE)),
        ] {
            Note::parse(&wrong).unwrap_err();
        }
    }

    #[test]
    fn a_cosignature_holds_for_its_text_and_time_only() {
        let key = SigningKey::generate("witness.example").unwrap();
        let (signature, public) = key.cosign("text\n", 7);
        let public: PublicKey = public.to_string().parse().unwrap();
        let mut note = Note {
            text: "text\n".to_owned(),
            signatures: vec![signature],
        };
        assert_eq!(public.signed(&note), Some(7));
        assert_eq!(key.public().signed(&note), None);
        for (place, _) in note.signatures[0].bytes.clone().iter().enumerate() {
            let mut changed = note.clone();
            changed.signatures[0].bytes[place] ^= 1;
            assert_eq!(public.signed(&changed), None);
        }
        note.text = "other\n".to_owned();
        assert_eq!(public.signed(&note), None);
    }
}
