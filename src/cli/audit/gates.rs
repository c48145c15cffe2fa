//! `dtgate audit gates`: who meets in the store.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::store::{self, StoreArgs};
use super::table::{Cell, Table, terminal};
use super::times::{Shown, Times};
use crate::cli::{Format, print_json};
use crate::store::Gate;
use crate::value::{Duration, Visible};

#[derive(Debug, Args)]
pub(in crate::cli) struct Gates {
    /// Configuration file of a gate: its section [store]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
    /// A gate that was not seen for so long is marked
    #[arg(long, value_name = "TIME", default_value = "5m")]
    silent: Duration,
    #[command(flatten)]
    times: Times,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

/// A gate, and what is odd about it.
struct Looked<'a> {
    gate: &'a Gate,
    is_silent: bool,
    /// Its policies are not those of most gates.
    is_other: bool,
}

impl Gates {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let config = self.store.config_or(self.config.as_ref())?;
        let config = config.context("give --store URL, or --config FILE with a section [store]")?;
        let gates = store::open(&config)?.gates()?;
        let shown = self.times.shown();
        let shown = Shown {
            now: asked(&gates).unwrap_or(shown.now),
            ..shown
        };
        let looked: Vec<Looked<'_>> = self.looked(&gates, &shown);
        match self.format {
            Format::Json => {
                for it in &looked {
                    print_json(out, &it.json())?;
                }
            }
            Format::Pretty if looked.is_empty() => writeln!(out, "No gate was here yet.")?,
            Format::Pretty => table(out, &looked, &shown)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn looked<'a>(&self, gates: &'a [Gate], shown: &Shown) -> Vec<Looked<'a>> {
        let silent = i64::try_from(self.silent.as_std().as_millis()).unwrap_or(i64::MAX);
        let now = shown.now.as_millisecond();
        let is_silent = |gate: &Gate| {
            let seen = gate.seen.millis();
            seen.is_none_or(|seen| now.saturating_sub(seen) > silent)
        };
        // Gates that are gone for long do not say which policies are the usual ones.
        let (there, gone): (Vec<&Gate>, Vec<&Gate>) = gates.iter().partition(|it| !is_silent(it));
        let usual = usual(if there.is_empty() { &gone } else { &there });
        let looked = gates.iter().map(|gate| Looked {
            gate,
            is_silent: is_silent(gate),
            is_other: usual.is_some_and(|usual| usual != gate.revision),
        });
        looked.collect()
    }
}

/// When the server was asked, by its own clock, by which gates were seen: that of whoever asks may be another.
fn asked(gates: &[Gate]) -> Option<Timestamp> {
    let ms = gates.first()?.asked.millis()?;
    Timestamp::from_millisecond(ms).ok()
}

/// The policies that most of these gates have, or else the newest gate.
fn usual<'a>(gates: &[&'a Gate]) -> Option<&'a str> {
    let mut of: BTreeMap<&str, (usize, i64)> = BTreeMap::new();
    for gate in gates {
        let (count, started) = of.entry(&gate.revision).or_default();
        *count += 1;
        *started = (*started).max(gate.started.millis().unwrap_or_default());
    }
    let most = of.into_iter().max_by_key(|(_, counted)| *counted);
    most.map(|(revision, _)| revision)
}

impl Looked<'_> {
    fn behind(&self) -> u64 {
        self.gate.head_seq.saturating_sub(self.gate.shipped)
    }

    fn json(&self) -> serde_json::Value {
        let Gate {
            name,
            version,
            revision,
            listen,
            head_seq,
            head_hash,
            shipped,
            started,
            seen,
            asked: _,
            key,
        } = self.gate;
        json!({
            "gate": name,
            "version": version,
            "revision": revision,
            "listen": listen,
            "head_seq": head_seq,
            "head_hash": head_hash,
            "shipped_seq": shipped,
            "behind": self.behind(),
            "started": started.to_string(),
            "seen": seen.to_string(),
            "key": key,
            "silent": self.is_silent,
            "other_policies": self.is_other,
        })
    }

    fn row(&self, shown: &Shown) -> Vec<Cell> {
        let gate = self.gate;
        let text = |text: &str| Visible(text).to_string();
        let marked = |text: String, is_odd: bool, word: &str| {
            if is_odd {
                Cell {
                    text: format!("{text} ({word})"),
                    style: AnsiColor::Yellow.on_default(),
                }
            } else {
                text.into()
            }
        };
        let behind = self.behind();
        let behind = Cell {
            text: behind.to_string(),
            style: if behind > 0 {
                AnsiColor::Yellow.on_default()
            } else {
                Style::new()
            },
        };
        let revision = short(&gate.revision, POLICIES);
        vec![
            text(&gate.name).into(),
            text(&gate.version).into(),
            marked(text(&revision), self.is_other, "others"),
            gate.head_seq.to_string().into(),
            gate.shipped.to_string().into(),
            behind,
            marked(shown.of(&gate.seen.to_string()), self.is_silent, "silent"),
            shown.of(&gate.started.to_string()).into(),
            text(&gate.listen).into(),
            text(key(&gate.key)).into(),
        ]
    }
}

/// The name of a key and its hash, without the key.
fn key(key: &str) -> &str {
    let named = key.match_indices('+').nth(1);
    named.and_then(|(at, _)| key.get(..at)).unwrap_or(key)
}

fn short(text: &str, length: usize) -> String {
    text.chars().take(length).collect()
}

fn table(out: &mut impl Write, looked: &[Looked<'_>], shown: &Shown) -> anyhow::Result<()> {
    let table = Table::new(&[
        ("GATE", 8),
        ("VERSION", 7),
        ("POLICIES", 8),
        ("HEAD", 4),
        ("SHIPPED", 7),
        ("BEHIND", 6),
        ("SEEN", 8),
        ("STARTED", 8),
        ("LISTEN", 8),
        ("KEY", 8),
    ]);
    let mut table = table.numbers(&["HEAD", "SHIPPED", "BEHIND"]);
    for it in looked {
        table.add(it.row(shown));
    }
    table.show(out, terminal())?;
    Ok(())
}

/// Letters of a revision.
const POLICIES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_policies_are_those_of_most_gates_or_of_the_newest() {
        let gate = |revision: &str, started| Gate {
            name: String::new(),
            version: String::new(),
            revision: revision.to_owned(),
            listen: String::new(),
            head_seq: 1,
            head_hash: String::new(),
            shipped: 1,
            started: crate::store::Moment::of_millis(started),
            seen: crate::store::Moment::of_millis(started),
            asked: crate::store::Moment::of_millis(started),
            key: String::new(),
        };
        let (old, new) = (gate("a", 1), gate("b", 2));
        assert_eq!(usual(&[&old, &new]), Some("b"));
        assert_eq!(usual(&[&old, &new, &old]), Some("a"));
        assert_eq!(usual(&[]), None);
    }

    #[test]
    fn a_key_is_shown_by_its_name_and_hash() {
        assert_eq!(
            key("gate.example/dtgate+0123abcd+AbC+/="),
            "gate.example/dtgate+0123abcd"
        );
        assert_eq!(key("odd"), "odd");
        assert_eq!(key(""), "");
    }
}
