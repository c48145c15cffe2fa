//! What a history says in words.

use super::{After, Found, What};
use crate::dynatrace::scopes::is_legacy;
use crate::store::Key;
use crate::value::Visible;

impl Found {
    /// What was found, and between which moments it came about.
    pub fn words(&self, from: &str, to: &str) -> String {
        let (seq, since) = (numbered(&self.by), numbered(&self.since));
        let unless = |words| if self.is_unsure { words } else { "" };
        let elsewhere = format!(
            "changed elsewhere{}",
            unless(", or by a record that is missing or hidden")
        );
        // What matters most stands first: a narrow terminal shows no more.
        match &self.what {
            What::Elsewhere { added, removed } => {
                let signed = |sign: char, scopes: &[String]| {
                    let scopes = scopes.iter().map(|scope| format!(" {sign}{scope}"));
                    scopes.collect::<String>()
                };
                let perhaps = match legacy(removed).as_slice() {
                    [] => String::new(),
                    // A gate cannot tell one from the other.
                    these => format!(
                        " (or Dynatrace left out what it gives to no token any more: {})",
                        these.join(", ")
                    ),
                };
                format!(
                    "{elsewhere}: scopes{}{}{perhaps}, between {from} and {to}",
                    signed('+', added),
                    signed('-', removed)
                )
            }
            What::CarriedOut => {
                let or = unless(", or a record that is missing or hidden did the same");
                format!("#{since} was carried out{or}: record {seq} found it so")
            }
            What::NotCarriedOut => {
                let by = unless(", perhaps by a record that is missing or hidden");
                format!("#{since} was not carried out, or was undone{by}: record {seq} found it so")
            }
            What::Otherwise => format!(
                "{elsewhere}, between {from} and {to}, whatever became of #{since}: record {seq} found it so"
            ),
        }
    }
}

/// Those that Dynatrace still takes in a request, and may leave out of the token.
fn legacy(scopes: &[String]) -> Vec<&str> {
    let legacy = |scope: &&String| is_legacy(scope);
    scopes.iter().filter(legacy).map(String::as_str).collect()
}

/// A record by its number, and its gate where it has a name.
fn numbered(key: &Key) -> String {
    match &*key.gate {
        "" => key.seq.to_string(),
        gate => format!("{} of gate {}", key.seq, Visible(gate)),
    }
}

/// The scopes after a step.
pub fn said(after: &After) -> String {
    match after {
        After::NotKnown => "not known".to_owned(),
        After::Known(scopes) => list(scopes),
        After::Doubt(done, before) => {
            let before = before
                .as_ref()
                .map_or_else(|| "not known".to_owned(), |it| list(it));
            format!("in doubt: {}; if not carried out: {before}", list(done))
        }
    }
}

/// Scopes in one text.
pub fn list(scopes: &[String]) -> String {
    if scopes.is_empty() {
        return "none".to_owned();
    }
    scopes.join(", ")
}
