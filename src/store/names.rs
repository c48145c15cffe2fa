//! The names that records have, each once: which of them a question means, and which of its own nobody has.

use std::collections::HashSet;
use std::net::IpAddr;

use super::StoreError;
use super::ask::Asked;
use super::column::column;
use super::query::any_word_asked;
use crate::audit::facts::{within, words_of};
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

/// Which clients a question means.
pub(super) enum Clients {
    These(Vec<String>),
    /// So many that each record is looked at: those from one of these names to the last beside it, byte by byte. Addresses
    /// of one network stand side by side, but for a few.
    Many {
        first: Vec<String>,
        last: Vec<String>,
    },
}

impl Clients {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::These(names) if names.is_empty())
    }
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

    /// The clients that a question means. Single ones are looked up; for networks, the names of all clients are looked at,
    /// some at a time: what is held does not grow with them.
    pub(super) fn clients(&self, filter: &Filter) -> Result<Clients, StoreError> {
        let (single, wide): (Vec<&Network>, Vec<&Network>) =
            filter.client.iter().partition(|it| it.address().is_some());
        let addresses: Vec<IpAddr> = single.iter().filter_map(|it| it.address()).collect();
        let known_as = addresses
            .iter()
            .filter_map(|it| filter.known_as.get(&it.to_string()));
        let named = known_as.flatten().chain(&filter.client_named).cloned();
        let exactly: Vec<String> = addresses.iter().flat_map(spelled).chain(named).collect();
        if wide.is_empty() {
            return Ok(Clients::These(self.there("client", &exactly)?));
        }
        let named: HashSet<&String> = exactly.iter().collect();
        let mut found = Found::default();
        let mut behind = String::new();
        loop {
            let page = self.page("client", &behind, AT_ONCE)?;
            let Some(last) = page.last() else { break };
            behind.clone_from(last);
            for name in page {
                let address: Option<IpAddr> = name.parse().ok();
                let is_within =
                    address.is_some_and(|it| wide.iter().any(|network| network.contains(it)));
                let is_meant = is_within || named.contains(&name);
                found.see(name, is_meant);
            }
        }
        Ok(found.clients())
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
                let is_named = if kind == "claim" && filter.asks_for_claims() {
                    self.is_a_word(&words_of(&patterns))?
                } else {
                    self.is_named(kind, &patterns)?
                };
                if !is_named {
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

    /// Whether any decision has one of these words.
    fn is_a_word(&self, words: &[(String, bool)]) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM dtgate.record AS d WHERE d.words @@ $1::text::tsquery LIMIT 1";
        Ok(!self.rows(sql, &[&any_word_asked(words)])?.is_empty())
    }

    /// All names of a kind of which there are not many.
    fn few(&self, kind: &str) -> Result<Vec<String>, StoreError> {
        match kind {
            "caller" | "certificate" | "claim" | "token" => Ok(Vec::new()),
            _ => self.names(kind),
        }
    }

    /// The first names of a kind, and not all where anybody can make up as many as he wants.
    fn names(&self, kind: &str) -> Result<Vec<String>, StoreError> {
        self.page(kind, "", ALL)
    }

    /// So many names of a kind behind one of them, byte by byte in order.
    fn page(&self, kind: &str, behind: &str, most: i64) -> Result<Vec<String>, StoreError> {
        let rows = self.rows(PAGE, &[&kind, &behind, &most])?;
        rows.iter().map(|row| column(row, 0)).collect()
    }

    /// Those of these names that there are.
    fn there(&self, kind: &str, names: &[String]) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT value FROM dtgate.name WHERE kind = $1 AND value = ANY($2)";
        let rows = self.rows(sql, &[&kind, &names])?;
        rows.iter().map(|row| column(row, 0)).collect()
    }
}

/// An address as records may have it: one of IPv4 may have come as one of IPv6.
fn spelled(address: &IpAddr) -> Vec<String> {
    let mapped = match address {
        IpAddr::V4(it) => Some(it.to_ipv6_mapped().to_string()),
        IpAddr::V6(_) => None,
    };
    mapped.into_iter().chain([address.to_string()]).collect()
}

/// Names that were met in order, and those of them that are meant.
#[derive(Default)]
struct Found {
    /// As long as they are few.
    few: Vec<String>,
    /// The first and the last of those that stand side by side.
    runs: Vec<(String, String)>,
    /// The last name that was met is meant.
    goes_on: bool,
    is_many: bool,
}

impl Found {
    fn see(&mut self, name: String, is_meant: bool) {
        if is_meant {
            match self.runs.last_mut().filter(|_| self.goes_on) {
                Some((_, last)) => last.clone_from(&name),
                None => self.runs.push((name.clone(), name.clone())),
            }
            self.is_many |= self.few.len() >= FEW;
            if !self.is_many {
                self.few.push(name);
            }
        }
        self.goes_on = is_meant;
    }

    fn clients(self) -> Clients {
        if self.is_many {
            let (first, last) = self.runs.into_iter().unzip();
            Clients::Many { first, last }
        } else {
            Clients::These(self.few)
        }
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
/// Names that are looked at, to show some that are like one that is not there.
const ALL: i64 = 100_000;
/// Names of clients that are looked at at once.
const AT_ONCE: i64 = 20_000;

/// By the index of how names begin: whatever the order of texts is in this database.
const PAGE: &str = "
SELECT value FROM dtgate.name WHERE kind = $1 AND value ~>~ $2 ORDER BY value USING ~<~ LIMIT $3";

#[cfg(test)]
mod tests {
    use super::*;

    /// However they lie, what is from the first to the last of a run is what is meant.
    #[test]
    fn names_that_are_meant_are_those_of_the_runs() {
        let mut names: Vec<String> = (0..200_u16)
            .flat_map(|it| (0..40_u16).map(move |last| format!("10.{it}.0.{last}")))
            .chain((0..40).map(|it| format!("v1:{it:04X}")))
            .chain((0..40).map(|it| format!("2001:db8::{it:x}")))
            .collect();
        names.sort_unstable();
        for network in ["10.0.0.0/9", "10.96.0.0/11", "0.0.0.0/0", "10.2.0.0/15"] {
            let network: Network = network.parse().unwrap();
            let is_meant = |name: &str| name.parse().is_ok_and(|it: IpAddr| network.contains(it));
            let mut found = Found::default();
            for name in &names {
                found.see(name.clone(), is_meant(name));
            }
            match found.clients() {
                Clients::These(these) => {
                    let meant = names.iter().filter(|it| is_meant(it));
                    assert!(these.iter().eq(meant), "{network}");
                    assert!(these.len() <= FEW);
                }
                Clients::Many { first, last } => {
                    for name in &names {
                        let mut runs = first.iter().zip(&last);
                        let is_in = runs.any(|(first, last)| (first..=last).contains(&name));
                        assert_eq!(is_in, is_meant(name), "{network} {name}");
                    }
                    assert!(first.len() < 100, "{network}: {}", first.len());
                }
            }
        }
    }
}
