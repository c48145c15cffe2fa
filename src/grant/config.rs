//! The section `[grants]`.

use std::path::PathBuf;

use serde::Deserialize;

use crate::audit::checkpoint::note::{Kind, NoteError, PublicKey};
use crate::value::{Duration, Visible};

/// Where grants are, who may sign them, and how long they may be good.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where grants are put: files whose names end in `.grant`.
    pub directory: PathBuf,
    /// Public keys of those who may ask for a grant, and approve those of others: two or more.
    pub approvers: Approvers,
    /// From when it was asked for to its end.
    #[serde(default = "longest")]
    pub longest: Duration,
    /// What a caller is told whom policies deny something: `{decision}` stands for the id of the decision.
    #[serde(default)]
    pub how_to_ask: HowToAsk,
}

/// Keys of different people.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Approvers(Vec<PublicKey>);

/// A sentence for callers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HowToAsk(String);

impl Approvers {
    pub fn keys(&self) -> &[PublicKey] {
        &self.0
    }

    pub fn named(&self, name: &str) -> Option<&PublicKey> {
        self.0.iter().find(|key| key.name() == name)
    }
}

impl TryFrom<Vec<String>> for Approvers {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        let mut keys: Vec<PublicKey> = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            let key: PublicKey = text.parse().map_err(|error| match error {
                // Neither is repeated: the other one may be a secret, too.
                NoteError::Private => format!(
                    "entry {} of grants.approvers is a private key: put the line there that `dtgate grant key` printed; \
                     and make a new pair, since this one has been written here",
                    number + 1
                ),
                _ => format!("entry {} of grants.approvers is no public key: {WANTED}", number + 1),
            })?;
            let name = key.name();
            if key.kind() != Kind::Plain {
                return Err(format!("the key of {name} is one of a witness: {WANTED}"));
            }
            if keys.iter().any(|other| other.name() == name) {
                return Err(format!("two approvers are called {name}"));
            }
            if let Some(other) = keys.iter().find(|other| other.is_same_key(&key)) {
                return Err(format!(
                    "{} and {name} have the same key: each has to have one of their own",
                    other.name()
                ));
            }
            keys.push(key);
        }
        if keys.len() > MOST_APPROVERS {
            return Err(format!(
                "these are {} keys, and records have room for {MOST_APPROVERS}",
                keys.len()
            ));
        }
        if keys.len() < 2 {
            return Err("a grant needs two people: name the keys of two or more".to_owned());
        }
        Ok(Self(keys))
    }
}

impl HowToAsk {
    /// The sentence about one decision.
    pub fn about(&self, decision: &str) -> String {
        self.0.replace("{decision}", decision)
    }
}

impl Default for HowToAsk {
    fn default() -> Self {
        Self("To ask for a one-time grant: dtgate grant request --decision {decision} --config FILE --key FILE --reason TEXT --ticket TEXT".to_owned())
    }
}

impl TryFrom<String> for HowToAsk {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() || text.len() > LONGEST || Visible(&text).to_string() != text {
            return Err(format!(
                "write one line of 1 to {LONGEST} bytes, without what cannot be seen"
            ));
        }
        Ok(Self(text))
    }
}

fn longest() -> Duration {
    Duration::from_secs(4 * 60 * 60)
}

/// As many as the records of starts and reloads tell: whoever checks a grant later has to know all of them.
pub(crate) const MOST_APPROVERS: usize = 32;

const WANTED: &str = "write it as `dtgate grant key NAME` prints it";

/// Bytes of the sentence: a client may show no more of a message.
const LONGEST: usize = 300;
