//! `dtgate grant verify`: whether the grant by which a request passed was good, by what the journal has of it.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::request::violations;
use super::told;
use crate::audit::index::Filter;
use crate::audit::proof::Wanted;
use crate::cli::audit::source::{Asking, Before, Source};
use crate::grant::{self, Approved, Facts, Gate, Grant, Signed};
use crate::policy::Effect;
use crate::store::{Found, Key};
use crate::value::{Sha256Hex, Visible};

#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// The decision that passed by it
    #[arg(value_name = "DECISION")]
    decision: String,
    #[command(flatten)]
    from: Asking,
}

impl Verify {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let source = self.from.find()?.open()?;
        let wanted = Wanted::Decision(self.decision);
        let at = source.wanted(&wanted)?;
        let line = source.line(&at)?.ok_or_else(|| source.gone(&wanted))?;
        let record: Value = serde_json::from_slice(&line).context("the record is no JSON")?;
        let note = record.pointer("/grant/note").and_then(Value::as_str);
        let note = note.context("this decision did not pass by a grant")?;
        let signed = Signed::parse(note).map_err(|flaw| anyhow!("its grant: {flaw}"))?;
        told::show(out, &signed.grant, None)?;
        let (in_force, config) = approvers(&source, &at)?;
        let checked = check(&source, &at, &record, &signed, &config);
        let by = format!("the keys that record {in_force} has");
        Ok(match checked {
            Ok(approved_by) => {
                writeln!(
                    out,
                    "\nsigned by {} and approved by {}, by {by}: this request could pass by it",
                    Visible(&signed.grant.requested_by),
                    Visible(approved_by)
                )?;
                ExitCode::SUCCESS
            }
            Err(reason) => {
                writeln!(
                    out,
                    "\nby {by}, this request could not pass by it: {reason}"
                )?;
                ExitCode::from(2)
            }
        })
    }
}

/// Everything that the gate looks at; gives who has approved it.
fn check(
    source: &Source,
    at: &Key,
    record: &Value,
    signed: &Signed,
    config: &grant::Config,
) -> anyhow::Result<String> {
    let grant = &signed.grant;
    let gate = Gate { config, name: None };
    let approved = gate.approved(signed.clone())?;
    tells(record, &approved)?;
    let time = record.get("timestamp").and_then(Value::as_str);
    let time: Timestamp = time.unwrap_or_default().parse().context("timestamp")?;
    grant.is_timely(time)?;
    let facts = Facts::of(record).map_err(|missing| anyhow!("{missing}"))?;
    if !grant.is_for(&facts, false) {
        bail!("it is for another request");
    }
    let after = Key {
        seq: grant.after.seq,
        ..at.clone()
    };
    let named = source.line(&after)?;
    let is_it = named.is_none_or(|line| Sha256Hex::of(&line).as_str() == grant.after.sha256);
    if after.seq >= at.seq || !is_it {
        bail!("it is for another journal, or for later");
    }
    if let Some(seq) = used_before(source, at, grant)? {
        bail!("it was used before, by record {seq}");
    }
    Ok(approved.approved_by)
}

/// The record says what was signed, and was denied by no other policies.
fn tells(record: &Value, approved: &Approved) -> anyhow::Result<()> {
    let granted = approved.granted();
    let told = record.get("grant").and_then(Value::as_object);
    let wanted = serde_json::to_value(&granted)?;
    let wanted = wanted.as_object();
    for name in told.into_iter().chain(wanted).flat_map(Map::keys) {
        let values = [told, wanted].map(|members| members.and_then(|members| members.get(name)));
        if values[0] != values[1] {
            bail!(
                "the record says something else than its grant: {}",
                Visible(name)
            );
        }
    }
    if record.get("verdict").and_then(Value::as_str) != Some("allow") {
        bail!("the record has a grant, and denies the request");
    }
    let violations = violations(record);
    let mut denials = violations.iter().filter(|it| it.effect() == Effect::Deny);
    let other =
        denials.find(|it| it.is_of_lookup() || !granted.is_for(&it.policy, it.is_failure()));
    match other {
        Some(other) => bail!("it is for no objection of {}", Visible(&other.policy)),
        None => Ok(()),
    }
}

/// An earlier record of the same journal that has this grant.
fn used_before(source: &Source, at: &Key, grant: &Grant) -> anyhow::Result<Option<u64>> {
    let filter = Filter {
        granted: true,
        ..Filter::default()
    };
    let mut before: Option<Before> = None;
    loop {
        let page = source.find(&filter, before.as_ref(), AT_ONCE)?;
        let of_gate = page.decisions.iter().map(Found::key);
        for key in of_gate.filter(|key| key.gate == at.gate && key.seq < at.seq) {
            let line = source.line(&key)?.unwrap_or_default();
            if grant::used_by(grant, &line).is_some() {
                return Ok(Some(key.seq));
            }
        }
        match page.decisions.last() {
            Some(last) if page.more => before = Some(source.next(last).parse()?),
            _ => return Ok(None),
        }
    }
}

/// Who could sign grants at a record, and which record says so.
fn approvers(source: &Source, at: &Key) -> anyhow::Result<(u64, grant::Config)> {
    let mut at = at.clone();
    loop {
        let start = source.last_before("start", &at)?;
        let reload = source.last_before("reload", &at)?;
        at.seq = start.max(reload).context(
            "the journal has no start any more: nobody knows who could sign grants then",
        )?;
        let line = source.line(&at)?.context("its record cannot be read")?;
        let record: Value = serde_json::from_slice(&line).context("the record is no JSON")?;
        // What was not put in force left everything as it was.
        if record.get("ok") == Some(&Value::Bool(false)) {
            continue;
        }
        let told = record.get("grants");
        let told = told.with_context(|| format!("by record {} there were no grants", at.seq))?;
        let config = json!({
            "directory": "", "approvers": told.get("approvers"), "longest": told.get("longest"),
        });
        let config = serde_json::from_value(config)
            .map_err(|error| anyhow!("who could sign grants, by record {}: {error}", at.seq))?;
        return Ok((at.seq, config));
    }
}

/// Decisions that are asked for at once.
const AT_ONCE: usize = 100;
