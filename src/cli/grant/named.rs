//! What a request for a grant names: as records have it, or no request ever is what the grant is for.

use anyhow::bail;
use serde_json::Value;

use crate::cli::audit::note;
use crate::cli::audit::source::Source;
use crate::config::Config;
use crate::dynatrace::token::{canonical_id, is_shown_id};
use crate::gateway::environment::DEFAULT;
use crate::store::Key;
use crate::value::Visible;

/// The name of a token or a caller that stands behind a flag. What is none may be a secret: it is not repeated.
pub(super) fn id(flag: &str, text: &str) -> anyhow::Result<String> {
    let id = canonical_id(text);
    if !is_shown_id(&id) {
        bail!(
            "{flag} is no id as records have it: a UUID, a public id such as dt0c01.ABC, or hmac-sha256:… What was given is \
             not repeated here: it may be a secret"
        );
    }
    Ok(id.into_owned())
}

/// Refuses an environment that the gate does not have.
pub(super) fn environment(config: &Config, name: &str) -> anyhow::Result<()> {
    let mut names: Vec<&str> = config.environments.keys().map(String::as_str).collect();
    if names.is_empty() {
        names.push(DEFAULT);
    }
    if !names.contains(&name) {
        bail!(
            "the configuration has no environment {}: --environment is one of {}",
            Visible(name),
            names.join(", ")
        );
    }
    Ok(())
}

/// Says which policies were not in force at the last start or reload before a record.
pub(super) fn policies(source: &Source, before: &Key, wanted: &[String]) -> anyhow::Result<()> {
    let Some(known) = in_force(source, before)? else {
        return Ok(());
    };
    for name in wanted.iter().filter(|name| !known.contains(name)) {
        note(&format!(
            "warning: no policy {} was in force at the last start or reload: what others deny stays denied. There are {}",
            Visible(name),
            known.join(", ")
        ));
    }
    Ok(())
}

/// Their names, where all of them are known.
fn in_force(source: &Source, before: &Key) -> anyhow::Result<Option<Vec<String>>> {
    let mut at = before.clone();
    loop {
        let start = source.last_before("start", &at)?;
        let Some(seq) = start.max(source.last_before("reload", &at)?) else {
            return Ok(None);
        };
        at.seq = seq;
        let line = source.line(&at)?.unwrap_or_default();
        let record: Value = serde_json::from_slice(&line).unwrap_or_default();
        // What was not put in force left everything as it was.
        if record.get("ok") == Some(&Value::Bool(false)) {
            continue;
        }
        let names = record.get("policies").and_then(Value::as_array);
        let name = |name: &Value| name.as_str().map(str::to_owned);
        // Behind the first many stands how many more there are.
        return Ok(names.and_then(|names| names.iter().map(name).collect()));
    }
}
