//! The names that records have, each once: which of them a question means, and which of its own nobody has.

use std::collections::HashSet;
use std::net::IpAddr;

use super::StoreError;
use super::ask::Asked;
use super::column::column;
use crate::audit::facts::within;
use crate::audit::index::{Filter, Pattern, Unnamed};
use crate::value::Network;

/// Which names a part of a question means.
pub(super) enum Meant {
    These(Vec<String>),
    /// So many that each record is looked at: those that are one of these, or begin with one of those.
    Many {
        exactly: Vec<String>,
        begins: Vec<String>,
    },
}

impl Asked {
    /// The names of a kind that these patterns mean.
    pub(super) fn meant(&self, kind: &str, patterns: &[Pattern]) -> Result<Meant, StoreError> {
        let (exactly, begins) = apart(patterns);
        let behind: Vec<String> = begins.iter().map(|it| format!("{it}\u{10ffff}")).collect();
        let rows = self.rows(MEANT, &[&kind, &exactly, &begins, &behind, &MOST])?;
        if rows.len() > FEW {
            return Ok(Meant::Many { exactly, begins });
        }
        let names = rows.iter().map(|row| column(row, 0));
        Ok(Meant::These(names.collect::<Result<_, _>>()?))
    }

    /// The addresses that a question means: they are few beside decisions, and each is looked at.
    pub(super) fn clients(&self, filter: &Filter) -> Result<Vec<String>, StoreError> {
        let networks = &filter.client;
        let addresses = networks.iter().filter_map(Network::address);
        let known_as = addresses.filter_map(|it| filter.known_as.get(&it.to_string()));
        let named: HashSet<&String> = known_as.flatten().chain(&filter.client_named).collect();
        let mut all = self.names("client")?;
        all.retain(|text| {
            let address: Option<IpAddr> = text.parse().ok();
            named.contains(text)
                || address.is_some_and(|it| networks.iter().any(|network| network.contains(it)))
        });
        Ok(all)
    }

    /// The names in a filter that no record has.
    pub fn unnamed(&self, filter: &Filter) -> Result<Vec<Unnamed>, StoreError> {
        let mut unnamed = Vec::new();
        for (what, kind, patterns) in [
            ("caller", "caller", &filter.caller),
            ("certificate", "certificate", &filter.certificate),
            ("claim", "claim", &filter.claim),
            ("team", "team", &filter.team),
            ("token", "token", &filter.token),
            ("environment", "environment", &filter.environment),
            ("operation", "operation", &filter.operation),
            ("policy", "policy", &filter.policy),
            ("code", "code", &filter.code),
            ("scope", "scope", &filter.scope),
            ("scope", "scope", &filter.added),
            ("scope", "scope", &filter.removed),
        ] {
            for pattern in patterns {
                let patterns = match kind {
                    "scope" => vec![pattern.clone()],
                    _ => filter.expanded(std::slice::from_ref(pattern)),
                };
                if !self.is_named(kind, &patterns)? {
                    unnamed.push(Unnamed::new(what, pattern.shown(), self.few(kind)?));
                }
            }
        }
        self.unnamed_clients(filter, &mut unnamed)?;
        Ok(unnamed)
    }

    /// The options by which a text is found that `--text` does not look at, or not everywhere.
    pub fn found_by(&self, text: &str) -> Result<Vec<&'static str>, StoreError> {
        let mut found = Vec::new();
        for (option, kind) in [
            ("--scope", "scope"),
            ("--caller", "caller"),
            ("--client", "client"),
            ("--token", "token"),
        ] {
            if self.is_named(kind, &[Pattern::Exactly(text.to_owned())])? {
                found.push(option);
            }
        }
        Ok(found)
    }

    fn unnamed_clients(
        &self,
        filter: &Filter,
        unnamed: &mut Vec<Unnamed>,
    ) -> Result<(), StoreError> {
        let of_one = |filter: Filter| Ok::<_, StoreError>(self.clients(&filter)?.is_empty());
        for network in &filter.client {
            let one = Filter {
                client: vec![*network],
                known_as: filter.known_as.clone(),
                ..Filter::default()
            };
            if of_one(one)? {
                let value = network.address().map(|address| address.to_string());
                let value = value.unwrap_or_else(|| network.to_string());
                unnamed.push(Unnamed::new("client", value, Vec::new()));
            }
        }
        for name in &filter.client_named {
            let one = Filter {
                client_named: vec![name.clone()],
                ..Filter::default()
            };
            if of_one(one)? {
                unnamed.push(Unnamed::new("client", name.clone(), Vec::new()));
            }
        }
        Ok(())
    }

    fn is_named(&self, kind: &str, patterns: &[Pattern]) -> Result<bool, StoreError> {
        Ok(match self.meant(kind, patterns)? {
            Meant::These(names) => !names.is_empty(),
            Meant::Many { .. } => true,
        })
    }

    /// All names of a kind of which there are not many.
    fn few(&self, kind: &str) -> Result<Vec<String>, StoreError> {
        match kind {
            "caller" | "certificate" | "claim" | "token" => Ok(Vec::new()),
            _ => self.names(kind),
        }
    }

    fn names(&self, kind: &str) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT value FROM dtgate.name WHERE kind = $1 LIMIT $2";
        let rows = self.rows(sql, &[&kind, &ALL])?;
        rows.iter().map(|row| column(row, 0)).collect()
    }
}

/// Whole texts, as much as is kept of each, and how texts begin.
fn apart(patterns: &[Pattern]) -> (Vec<String>, Vec<String>) {
    let (mut exactly, mut begins) = (Vec::new(), Vec::new());
    for pattern in patterns {
        match pattern {
            Pattern::Exactly(text) => exactly.push(within(text).into_owned()),
            Pattern::Begins(text) => begins.push(text.clone()),
        }
    }
    (exactly, begins)
}

/// Compared byte by byte, whatever the order of texts is in this database.
const MEANT: &str = "
SELECT value FROM dtgate.name WHERE kind = $1 AND value = ANY($2)
UNION
SELECT name.value FROM unnest($3::text[], $4::text[]) AS begins(first, behind)
JOIN dtgate.name ON name.kind = $1 AND name.value ~>=~ begins.first AND name.value ~<~ begins.behind
LIMIT $5";

/// Names that are looked up one by one.
const FEW: usize = 2_000;
/// One more than that.
const MOST: i64 = 2_001;
/// Names that are looked at.
const ALL: i64 = 1_000_000;
