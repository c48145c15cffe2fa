//! The sections `[policies.bundles.NAME]`.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::policy::Signer;

/// How the configuration calls a bundle: in the log, in records, in messages, and as the name of a file.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub struct Name(String);

/// One bundle.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "Written")]
pub struct Config {
    pub source: Source,
    /// Who has to have signed it. None: it must not be signed.
    pub signature: Option<Signer>,
}

/// Where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    File(PathBuf),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    file: Option<PathBuf>,
    signature: Option<Signer>,
}

impl TryFrom<Written> for Config {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { file, signature } = written;
        let file = file.ok_or("where the bundle is has to be said: write file")?;
        Ok(Self {
            source: Source::File(file),
            signature,
        })
    }
}

impl Config {
    /// Where it is on this machine.
    pub fn path(&self) -> &Path {
        match &self.source {
            Source::File(path) => path,
        }
    }
}

impl Name {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text))
        } else {
            Err(format!(
                "{text:?} is no name for a bundle: 1 to 64 letters, digits, '-' and '_'"
            ))
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
