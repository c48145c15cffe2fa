//! The section `[policies.challenger]`.

use std::path::PathBuf;

use serde::Deserialize;

use crate::policy::{Packed, Signature, Signer, Sources};

/// Policies that are judged beside those in force, without effect: a directory, or a bundle in a file.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "Written")]
pub enum Challenger {
    Directory(PathBuf),
    File {
        file: PathBuf,
        /// Who has to have signed it. None: it must not be signed.
        signature: Option<Signer>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    directory: Option<PathBuf>,
    file: Option<PathBuf>,
    signature: Option<Signer>,
}

impl TryFrom<Written> for Challenger {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match (written.directory, written.file) {
            (None, None) => Err("where the challenger is has to be said: write directory or file"),
            (Some(_), Some(_)) => Err("a challenger has one place: write directory or file"),
            (Some(_), None) if written.signature.is_some() => {
                Err("a directory is not signed: signature belongs to a file")
            }
            (Some(directory), None) => Ok(Self::Directory(directory)),
            (None, Some(file)) => Ok(Self::File {
                file,
                signature: written.signature,
            }),
        }
    }
}

impl Challenger {
    /// What is read there.
    pub fn sources(&self) -> Sources {
        match self {
            Self::Directory(directory) => Sources {
                directory: Some(directory.clone()),
                ..Sources::default()
            },
            Self::File { file, signature } => {
                let signer = signature.clone().map(Box::new);
                Sources {
                    bundles: vec![Packed {
                        name: NAME.to_owned(),
                        file: file.clone(),
                        signature: signer.map_or(Signature::None, Signature::By),
                        roots: None,
                        is_shared: false,
                        before: Vec::new(),
                    }],
                    ..Sources::default()
                }
            }
        }
    }

    /// The files that it is made of, and the key that it is checked by.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Directory(directory) => vec![directory.clone()],
            Self::File { file, signature } => {
                let key = signature.as_ref().map(|signer| signer.key_file.clone());
                std::iter::once(file.clone()).chain(key).collect()
            }
        }
    }
}

/// What its bundle is called in messages.
const NAME: &str = "challenger";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenger_has_one_place() {
        let read = |text: &str| toml::from_str::<Challenger>(text);
        for (text, said) in [
            ("", "write directory or file"),
            ("directory = \"a\"\nfile = \"b\"\n", "one place"),
            (
                "directory = \"a\"\nsignature = { key_file = \"k\" }\n",
                "a directory is not signed",
            ),
            ("url = \"https://a/b\"\n", "unknown field `url`"),
        ] {
            let refusal = read(text).unwrap_err().to_string();
            assert!(refusal.contains(said), "{text}: {refusal}");
        }
        let file = read("file = \"a.tar.gz\"\nsignature = { key_file = \"k\" }\n").unwrap();
        assert_eq!(
            file.files(),
            [PathBuf::from("a.tar.gz"), PathBuf::from("k")]
        );
        assert_eq!(
            read("directory = \"a\"\n").unwrap().files(),
            [PathBuf::from("a")]
        );
    }
}
