//! Which environment a request is for: by its host, and by `/e/{environment-id}`.
//!
//! One gate serves one environment, whatever a request calls it, or a table of them. With a table, what names
//! no environment of it, or could name two, is refused: nobody could say whose rules were asked.

mod config;
mod routing;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};
use thiserror::Error;

use super::credential::{self, Brokered, Credential, CredentialError};
use super::upstream::{self, BuildError, Reached, Upstream};
use crate::dynatrace::redact::{Redacted, Redactor};
use crate::dynatrace::token::HashKey;
use crate::guard::{Call, Head};
use crate::policy::input;
use crate::telemetry::Metrics;

pub use config::{Config, Data, Host, Id, PathPrefix};
pub use routing::RouteError;

/// Why environments cannot be told apart, or reached.
#[derive(Debug, Error)]
pub enum EnvironmentError {
    #[error(
        "give [upstream] and [credential] for one environment, or [environments] for several, not both"
    )]
    Both,
    #[error("environments.{0} has neither hosts nor id: give one of them, or no request is for it")]
    Nowhere(String),
    #[error(
        "environments.{one} and environments.{other} could both be meant by the same request ({by})"
    )]
    Same {
        one: String,
        other: String,
        by: String,
    },
    #[error("environments.{name}.upstream")]
    Upstream {
        name: String,
        #[source]
        source: BuildError,
    },
    #[error("upstream")]
    Single(#[source] BuildError),
    #[error("environments.{name}.credential")]
    Credential {
        name: String,
        #[source]
        source: CredentialError,
    },
    #[error("credential")]
    SingleCredential(#[source] CredentialError),
}

/// What environments are made of.
#[derive(Clone, Copy, Debug)]
pub struct Sections<'a> {
    /// The one, with its credential.
    pub upstream: &'a upstream::Config,
    pub credential: Option<&'a credential::Config>,
    /// Or several, by name.
    pub several: &'a BTreeMap<String, Config>,
}

#[cfg(test)]
impl<'a> Sections<'a> {
    /// The one environment, without a credential.
    pub(super) fn of(upstream: &'a upstream::Config) -> Self {
        static NONE: BTreeMap<String, Config> = BTreeMap::new();
        Self {
            upstream,
            credential: None,
            several: &NONE,
        }
    }
}

/// One Dynatrace environment, and how it is reached.
#[derive(Debug)]
pub struct Environment {
    pub(super) name: String,
    data: Map<String, Value>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) credential: Option<Credential>,
    strip: bool,
}

/// The environments of this gate. Clones share them.
#[derive(Clone, Debug)]
pub struct Environments(Table);

#[derive(Clone, Debug)]
enum Table {
    /// Any host, any path.
    One(Arc<Environment>),
    /// By id and host.
    Several(HashMap<(Option<String>, Option<String>), Arc<Environment>>),
}

/// By what one environment can be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entrance {
    /// The id of `/e/{environment-id}`.
    pub(super) id: Option<String>,
    /// `None`: any.
    pub(super) host: Option<String>,
}

/// A call together with the environment that it is for: what is judged for one can go to no other.
#[derive(Debug)]
pub(super) struct Addressed {
    pub(super) call: Call,
    pub(super) environment: Arc<Environment>,
}

impl Environments {
    /// Builds the client of every environment. `before`: access tokens that are still good are taken from there.
    pub fn new(
        sections: Sections<'_>,
        before: Option<&Self>,
        metrics: &Metrics,
    ) -> Result<Self, EnvironmentError> {
        let Sections {
            upstream: one,
            credential,
            several,
        } = sections;
        let before = before.map(Self::by_name).unwrap_or_default();
        let credential_of = |name: &str, config: Option<&credential::Config>| {
            let before = before
                .get(name)
                .and_then(|before| before.credential.as_ref());
            let made = config.map(|config| Credential::new(config, before, metrics));
            made.transpose()
        };
        if several.is_empty() {
            let upstream = Upstream::new(one, metrics).map_err(EnvironmentError::Single)?;
            let credential = credential_of(DEFAULT, credential);
            let environment = Environment {
                name: DEFAULT.to_owned(),
                data: Map::new(),
                upstream: Arc::new(upstream),
                credential: credential.map_err(EnvironmentError::SingleCredential)?,
                strip: false,
            };
            return Ok(Self(Table::One(Arc::new(environment))));
        }
        if *one != upstream::Config::default() || credential.is_some() {
            return Err(EnvironmentError::Both);
        }
        let mut table: HashMap<_, Arc<Environment>> = HashMap::new();
        for (name, config) in several {
            if config.hosts.is_empty() && config.id.is_none() {
                return Err(EnvironmentError::Nowhere(name.clone()));
            }
            let upstream = Upstream::new(&config.upstream, metrics);
            let upstream = upstream.map_err(|source| EnvironmentError::Upstream {
                name: name.clone(),
                source,
            })?;
            let credential = credential_of(name, config.credential.as_ref());
            let credential = credential.map_err(|source| EnvironmentError::Credential {
                name: name.clone(),
                source,
            })?;
            let environment = Arc::new(Environment {
                name: name.clone(),
                data: config.data.0.clone(),
                upstream: Arc::new(upstream),
                credential,
                strip: config.prefix == PathPrefix::Strip,
            });
            let id = config.id.as_ref().map(|id| id.0.clone());
            let mut hosts: Vec<_> = config.hosts.iter().map(|host| Some(&host.0)).collect();
            if hosts.is_empty() {
                hosts.push(None);
            }
            for host in hosts {
                let key = (id.clone(), host.cloned());
                let by = named(key.0.as_deref(), key.1.as_deref());
                if let Some(other) = table.insert(key, environment.clone()) {
                    return Err(EnvironmentError::Same {
                        one: other.name.clone(),
                        other: name.clone(),
                        by,
                    });
                }
            }
        }
        Ok(Self(Table::Several(table)))
    }

    /// The environments that a request can be for, as policies see them, but for the id: those that its host or its id
    /// names, or else each.
    pub fn possible(&self, host: Option<&str>, id: &str) -> Vec<input::Environment> {
        let shown = |environment: &Environment| input::Environment {
            name: environment.name.clone(),
            id: Redacted::default(),
            data: environment.data.clone(),
        };
        let table = match &self.0 {
            Table::One(environment) => return vec![shown(environment)],
            Table::Several(table) => table,
        };
        let is_named = |key: &&(Option<String>, Option<String>)| {
            key.0.as_deref().is_some_and(|it| it == id)
                || key.1.is_some() && key.1.as_deref() == host
        };
        let is_one_named = table.keys().any(|key| is_named(&key));
        let possible = table
            .iter()
            .filter(|(key, _)| !is_one_named || is_named(key));
        let possible: BTreeMap<&str, &Arc<Environment>> = possible
            .map(|(_, environment)| (environment.name.as_str(), environment))
            .collect();
        possible.into_values().map(|it| shown(it)).collect()
    }

    /// One for each environment, by name.
    pub(super) fn entrances(&self) -> Vec<Entrance> {
        let table = match &self.0 {
            Table::One(_) => return vec![Entrance::default()],
            Table::Several(table) => table,
        };
        let mut entrances: BTreeMap<&str, Entrance> = BTreeMap::new();
        for ((id, host), environment) in table {
            let (id, host) = (id.clone(), host.clone());
            let entrance = Entrance { id, host };
            let first = entrances.entry(&environment.name);
            let first = first.or_insert_with(|| entrance.clone());
            // The same one at every start.
            if entrance < *first {
                *first = entrance;
            }
        }
        entrances.into_values().collect()
    }

    /// By what an environment can be reached; where there is one only, it needs no name.
    pub(super) fn entrance(&self, name: Option<&str>) -> Result<Entrance, String> {
        let said = |what: &str| {
            let there = self.by_name();
            let there: BTreeSet<&str> = there.into_keys().collect();
            let there: Vec<String> = there.into_iter().map(|it| format!("{it:?}")).collect();
            format!("{what}: there is {}", there.join(", "))
        };
        let table = match (&self.0, name) {
            (Table::One(one), Some(name)) if one.name != name => return Err(said(NO_ENVIRONMENT)),
            (Table::One(_), _) => return Ok(Entrance::default()),
            (Table::Several(_), None) => return Err(said(WHICH)),
            (Table::Several(table), Some(_)) => table,
        };
        let named = table.iter().filter(|(_, it)| Some(&*it.name) == name);
        let entrances = named.map(|((id, host), _)| Entrance {
            id: id.clone(),
            host: host.clone(),
        });
        entrances.min().ok_or_else(|| said(NO_ENVIRONMENT))
    }

    /// The credentials that the gate has for its callers, by the names of environments.
    pub fn brokered(&self, key: &HashKey) -> Vec<Brokered> {
        let environments: BTreeMap<&str, &Environment> = self.by_name().into_iter().collect();
        let environments = environments.into_iter();
        environments
            .filter_map(|(name, environment)| {
                let credential = environment.credential.as_ref()?;
                Some(credential.told(name, key))
            })
            .collect()
    }

    /// Each of them, by name, and how its connections are.
    pub(super) fn reached(&self) -> Vec<Reached> {
        let environments: BTreeMap<&str, &Environment> = self.by_name().into_iter().collect();
        let environments = environments.into_iter();
        environments
            .map(|(name, environment)| environment.upstream.reached(name))
            .collect()
    }

    /// The same environments with connections of their own.
    pub(super) fn twin(&self) -> Self {
        self.each(Environment::twin)
    }

    /// The same environments with the connections of others, where they lead to the same upstream, and else with
    /// connections of their own.
    pub(super) fn with_connections_of(&self, others: &Self) -> Self {
        let others = others.by_name();
        self.each(|environment| match others.get(environment.name.as_str()) {
            Some(other) => environment.with_connections_of(other),
            None => environment.twin(),
        })
    }

    /// Whether one of them is reached otherwise than one of the same name among others.
    pub(super) fn lead_elsewhere(&self, others: &Self) -> bool {
        let others = others.by_name();
        self.by_name().into_iter().any(|(name, environment)| {
            let other = others.get(name);
            other.is_some_and(|other| !environment.upstream.is_like(&other.upstream))
        })
    }

    /// Whether one of them is shown another credential than one of the same name among others.
    pub(super) fn show_others(&self, others: &Self) -> bool {
        let others = others.by_name();
        self.by_name().into_iter().any(|(name, environment)| {
            let other = others.get(name).and_then(|other| other.credential.as_ref());
            match (&environment.credential, other) {
                (Some(one), Some(other)) => !one.is_like(other),
                _ => false,
            }
        })
    }

    /// Something of every environment, once.
    fn each(&self, of: impl Fn(&Environment) -> Environment) -> Self {
        let table = match &self.0 {
            Table::One(environment) => return Self(Table::One(Arc::new(of(environment)))),
            Table::Several(table) => table,
        };
        let named = self.by_name().into_iter();
        let made: HashMap<&str, Arc<Environment>> = named
            .map(|(name, environment)| (name, Arc::new(of(environment))))
            .collect();
        let made = table.iter().filter_map(|(key, environment)| {
            let made = made.get(environment.name.as_str())?;
            Some((key.clone(), made.clone()))
        });
        Self(Table::Several(made.collect()))
    }

    fn by_name(&self) -> HashMap<&str, &Environment> {
        let all: Vec<&Arc<Environment>> = match &self.0 {
            Table::One(environment) => vec![environment],
            Table::Several(table) => table.values().collect(),
        };
        let named = all
            .into_iter()
            .map(|environment| (environment.name.as_str(), &**environment));
        named.collect()
    }
}

/// The two things that name an environment, for people.
fn named(id: Option<&str>, host: Option<&str>) -> String {
    // A token of the old format may stand in their place.
    let shown = |word: &str| Redactor::default().word(word);
    let path = id.map_or_else(
        || "without /e/".to_owned(),
        |id| format!("/e/{}", shown(id)),
    );
    match host {
        Some(host) => format!("{path} at {}", shown(host)),
        None => format!("{path} at any host"),
    }
}

impl Environment {
    fn twin(&self) -> Self {
        self.over(Arc::new(self.upstream.twin()))
    }

    fn with_connections_of(&self, other: &Self) -> Self {
        if !self.upstream.is_like(&other.upstream) {
            return self.twin();
        }
        self.over(other.upstream.clone())
    }

    /// The same, reached over other connections.
    fn over(&self, upstream: Arc<Upstream>) -> Self {
        Self {
            name: self.name.clone(),
            data: self.data.clone(),
            upstream,
            credential: self.credential.clone(),
            strip: self.strip,
        }
    }

    /// Whether `/e/{environment-id}` stays here.
    pub(super) fn strips(&self) -> bool {
        self.strip
    }

    /// What policies see of it; the id is that of the request's path.
    pub(super) fn input(&self, head: &Head, redactor: &Redactor) -> input::Environment {
        input::Environment {
            name: self.name.clone(),
            id: redactor.word(head.path().environment().unwrap_or_default()),
            data: self.data.clone(),
        }
    }
}

const NO_ENVIRONMENT: &str = "the configuration has no environment of this name";
const WHICH: &str = "there are several environments: name the one that is meant";

/// The name of the only environment.
pub const DEFAULT: &str = "default";

#[cfg(test)]
mod tests;
