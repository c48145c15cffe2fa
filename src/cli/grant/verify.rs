//! `dtgate grant verify`: whether the grant by which a request passed was good, by what the journal has of it.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::told;
use crate::audit::proof::Wanted;
use crate::cli::audit::source::{Asking, Source};
use crate::grant::{self, Facts, Gate, Signed};
use crate::store::Key;
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
    let told = |name: &str| record.pointer(&format!("/grant/{name}"));
    let is_told = |name: &str, text: &str| told(name).and_then(Value::as_str) == Some(text);
    if !is_told("id", &grant.id.to_string()) || !is_told("approved_by", &approved.approved_by) {
        bail!("the record says something else than its grant");
    }
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
    Ok(approved.approved_by)
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
