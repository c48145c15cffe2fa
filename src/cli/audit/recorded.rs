//! A decision as it was recorded, for commands that look at it again.

use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::Value;

use super::source::Asking;
use crate::app::generations;
use crate::audit::proof::Wanted;
use crate::policy::Input;
use crate::replay;

/// What a record has of it.
pub(in crate::cli) struct Recorded {
    pub(in crate::cli) input: Input,
    /// That of the policies that decided.
    pub(in crate::cli) revision: String,
    /// Where these policies are kept, if they are.
    pub(in crate::cli) kept: Option<PathBuf>,
    /// What stands there for what was seen then: pseudonyms, and what mask rules have left.
    pub(in crate::cli) masked: Vec<String>,
    /// Members whose texts were cut, because the record was to be short.
    pub(in crate::cli) cut: Vec<String>,
}

/// Finds the decision of an id, or of the number of a record.
pub(in crate::cli) fn recorded(from: &Asking, id: &Wanted) -> anyhow::Result<Recorded> {
    let there = from.find()?;
    let source = there.open()?;
    let key = source.wanted(id)?;
    let Some(line) = source.line(&key)? else {
        return Err(source.gone(id));
    };
    let record: Value = serde_json::from_slice(&line).context("the record")?;
    let Some(input) = record.get("input") else {
        bail!("no policy was asked about it: the record has no input");
    };
    let input = serde_json::from_value(input.clone()).context("the input of the record")?;
    let revision = record
        .pointer("/bundles/policies/revision")
        .and_then(Value::as_str);
    let revision = revision.unwrap_or_default().to_owned();
    let is_digest = !revision.is_empty() && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    let kept = there.keys().filter(|_| is_digest);
    let kept = kept.map(|journal| generations::path(journal, &revision));
    let lists =
        ["erased", "masked", "pseudonyms"].map(|name| record.get(name).and_then(Value::as_array));
    let masked = lists
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(Value::as_str);
    let cut = replay::cut(&line).into_iter();
    Ok(Recorded {
        input,
        revision,
        kept: kept.filter(|path| path.is_file()),
        masked: masked.map(str::to_owned).collect(),
        cut: cut.map(|steps| steps.join(".")).collect(),
    })
}
