//! The environment that a request is for, or why it is for none.

use std::collections::HashMap;
use std::sync::Arc;

use http::request::Parts;
use http::uri::PathAndQuery;
use thiserror::Error;

use super::{Environment, Environments, Table};
use crate::dynatrace::redact::Redactor;
use crate::guard::prefix::{self, Ambiguous};
use crate::guard::{Head, host};

/// Why a request is for no environment.
#[derive(Debug, Error)]
pub enum RouteError {
    #[error(transparent)]
    Ambiguous(#[from] Ambiguous),
    #[error("the request must name one host: send one Host header that agrees with the URL")]
    Host,
    #[error("no environment is configured for {asked}: {hint}")]
    Unknown { asked: String, hint: &'static str },
}

impl Environments {
    /// The environment of open traffic, and the target as it goes upstream.
    pub(in crate::gateway) fn open(
        &self,
        parts: &Parts,
    ) -> Result<(Arc<Environment>, PathAndQuery), RouteError> {
        let target = parts.uri.path_and_query().cloned();
        let target = target.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let table = match &self.0 {
            Table::One(environment) => return Ok((environment.clone(), target)),
            Table::Several(table) => table,
        };
        let prefix = prefix::prefix(parts.uri.path())?;
        let environment = find(table, parts, prefix.id)?;
        if !environment.strip {
            return Ok((environment, target));
        }
        // What is left must not name another environment of the same cluster.
        let rest = target.as_str().get(prefix.length..).unwrap_or_default();
        let path = rest.split('?').next().unwrap_or_default();
        if prefix::prefix(path)?.id.is_some() {
            return Err(RouteError::Ambiguous(Ambiguous));
        }
        let root = if path.starts_with('/') { "" } else { "/" };
        let target = format!("{root}{rest}").parse();
        let target = target.map_err(|_invalid| RouteError::Ambiguous(Ambiguous))?;
        Ok((environment, target))
    }

    /// The environment of a guarded request.
    pub(in crate::gateway) fn guarded(
        &self,
        parts: &Parts,
        head: &Head,
    ) -> Result<Arc<Environment>, RouteError> {
        match &self.0 {
            Table::One(environment) => Ok(environment.clone()),
            Table::Several(table) => find(table, parts, head.path().environment()),
        }
    }
}

fn find(
    table: &HashMap<(Option<String>, Option<String>), Arc<Environment>>,
    parts: &Parts,
    id: Option<&str>,
) -> Result<Arc<Environment>, RouteError> {
    let host = host::host(parts).map_err(|_ambiguous| RouteError::Host)?;
    let id = id.map(str::to_owned);
    let exact = table.get(&(id.clone(), host.clone()));
    let found = exact.or_else(|| table.get(&(id.clone(), None)));
    found
        .cloned()
        .ok_or_else(|| unknown(table, id.as_deref(), host.as_deref()))
}

/// What the request named, and what to do about it. What else there is stays unsaid: strangers read this too.
fn unknown(
    table: &HashMap<(Option<String>, Option<String>), Arc<Environment>>,
    id: Option<&str>,
    host: Option<&str>,
) -> RouteError {
    let is_host = |configured: &Option<String>| {
        configured.is_none() || configured.as_deref() == host && host.is_some()
    };
    let mut ids = table.keys().filter(|(_, configured)| is_host(configured));
    let hint = match (ids.next(), id) {
        (None, _) => "call dtgate by a name that its configuration lists in environments.*.hosts",
        (Some(_), Some(_)) => {
            "use an id that its configuration has in environments.*.id, or a path without /e/"
        }
        (Some(_), None) => "put /e/{environment-id} before the path",
    };
    // A token of the old format may stand in their place.
    let shown = |word: &str| Redactor::default().word(word);
    let host = host.map_or_else(
        || "a request without a host".to_owned(),
        |host| format!("host {:?}", shown(host).as_str()),
    );
    let asked = match id {
        Some(id) => format!("{host} and path /e/{}", shown(id)),
        None => host,
    };
    RouteError::Unknown { asked, hint }
}
