//! Names in a filter that no record has: nothing can be found by them, and more often than not they are mistyped.

use rusqlite::params_from_iter;

use super::claims::words_of;
use super::filter::{Filter, Pattern};
use super::part::texts_of;
use super::query::any_of;
use super::tables::Kind;
use super::{Error, Index, words};

/// A name that no record has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unnamed {
    /// What it would be the name of.
    pub what: &'static str,
    pub value: String,
    /// Some of those that there are, the likeliest first; none, where there may be any number.
    pub there: Vec<String>,
    /// How many more there are.
    pub more: usize,
}

impl Unnamed {
    pub fn new(what: &'static str, value: String, mut there: Vec<String>) -> Self {
        there.sort();
        let more = there.len().saturating_sub(SHOWN);
        if more > 0 {
            let likeness = |name: &String| strsim::jaro_winkler(&value, name);
            there.sort_by(|one, other| likeness(other).total_cmp(&likeness(one)));
            there.truncate(SHOWN);
        }
        Self {
            what,
            value,
            there,
            more,
        }
    }
}

impl Index {
    /// The names in a filter that no record has.
    pub fn unnamed(&self, filter: &Filter) -> Result<Vec<Unnamed>, Error> {
        let mut unnamed = Vec::new();
        for (what, kind, patterns) in [
            ("caller", Kind::Caller, &filter.caller),
            ("certificate", Kind::Certificate, &filter.certificate),
            ("claim", Kind::Claim, &filter.claim),
            ("team", Kind::Team, &filter.team),
            ("token", Kind::Token, &filter.token),
            ("environment", Kind::Environment, &filter.environment),
            ("operation", Kind::Operation, &filter.operation),
            ("policy", Kind::Policy, &filter.policy),
            ("code", Kind::Code, &filter.code),
        ] {
            for pattern in patterns {
                let known_as = filter.expanded(std::slice::from_ref(pattern));
                let is_named = if kind == Kind::Claim && filter.asks_for_claims() {
                    self.is_a_word(&words_of(&known_as))?
                } else {
                    self.is_named(kind, &known_as)?
                };
                if !is_named {
                    unnamed.push(Unnamed::new(what, pattern.shown(), self.few(kind)?));
                }
            }
        }
        // A list of scopes is one text in each of these.
        let scopes = [&filter.scope, &filter.added, &filter.removed];
        for pattern in scopes.into_iter().flatten() {
            if !self.is_named(Kind::Scope, std::slice::from_ref(pattern))? {
                let few = self.few(Kind::Scope)?;
                unnamed.push(Unnamed::new("scope", pattern.shown(), few));
            }
        }
        self.unnamed_clients(filter, &mut unnamed)?;
        Ok(unnamed)
    }

    /// How many decisions have longer texts than are searched.
    pub fn searched_in_part(&self) -> Result<u64, Error> {
        let sql = "SELECT count(*) FROM words WHERE words MATCH ?";
        let asked = format!("\"{}\"", words::CUT);
        Ok(self.db.query_row(sql, [asked], |row| row.get(0))?)
    }

    /// The options by which a text is found that `--text` does not look at, or not everywhere.
    pub fn found_by(&self, text: &str) -> Result<Vec<&'static str>, Error> {
        let mut found = Vec::new();
        for (option, kind) in [
            ("--scope", Kind::Scope),
            ("--caller", Kind::Caller),
            ("--client", Kind::Client),
            ("--token", Kind::Token),
        ] {
            if self.is_named(kind, &[Pattern::Exactly(text.to_owned())])? {
                found.push(option);
            }
        }
        Ok(found)
    }

    fn unnamed_clients(&self, filter: &Filter, unnamed: &mut Vec<Unnamed>) -> Result<(), Error> {
        let is_there = |filter: &Filter| {
            let clients = self.clients(filter)?;
            let mut statement = self.db.prepare(&format!("{} LIMIT 1", clients.one_of))?;
            Ok::<_, Error>(statement.exists([])?)
        };
        for network in &filter.client {
            let one = Filter {
                client: vec![*network],
                known_as: filter.known_as.clone(),
                ..Filter::default()
            };
            if !is_there(&one)? {
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
            if !is_there(&one)? {
                unnamed.push(Unnamed::new("client", name.clone(), Vec::new()));
            }
        }
        Ok(())
    }

    fn is_named(&self, kind: Kind, patterns: &[Pattern]) -> Result<bool, Error> {
        let part = texts_of(kind, patterns);
        let mut statement = self.db.prepare(&format!("{} LIMIT 1", part.one_of))?;
        let values = part.values.iter().map(|value| &**value);
        Ok(statement.exists(params_from_iter(values))?)
    }

    /// Whether any decision has one of these words.
    fn is_a_word(&self, words: &[(String, bool)]) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM words WHERE words MATCH ? LIMIT 1";
        Ok(self.db.prepare_cached(sql)?.exists([any_of(words)])?)
    }

    /// All names of a kind of which there are not many.
    fn few(&self, kind: Kind) -> Result<Vec<String>, Error> {
        match kind {
            Kind::Caller | Kind::Certificate | Kind::Claim | Kind::Token => Ok(Vec::new()),
            _ => self.names(kind),
        }
    }

    fn names(&self, kind: Kind) -> Result<Vec<String>, Error> {
        let mut all = self
            .db
            .prepare_cached("SELECT value FROM text WHERE kind = ? LIMIT ?")?;
        let found = all.query_map([kind as i64, MOST], |row| row.get(0))?;
        Ok(found.collect::<rusqlite::Result<Vec<String>>>()?)
    }
}

/// Names that are shown.
const SHOWN: usize = 12;
/// Names that are looked at.
const MOST: i64 = 1_000_000;
