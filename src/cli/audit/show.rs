//! `dtgate audit show`: all that the journal has about one decision.

use std::io::Write;
use std::process::ExitCode;

use anstyle::Style;
use clap::Args;
use serde_json::{Map, Value};

use super::beside;
use super::source::{Asking, Source};
use super::times::{Shown, Times};
use crate::app::{self, generations};
use crate::audit::proof::Wanted;
use crate::audit::tail::render;
use crate::cli::Format;
use crate::store::Key;
use crate::trail::export::one_line;
use crate::value::{Visible, visible_json};

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// The id of a decision, or the number of a record: 22, '#22'
    #[arg(value_name = "ID")]
    id: Wanted,
    #[command(flatten)]
    from: Asking,
    #[command(flatten)]
    times: Times,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

impl Show {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let source = self.from.find()?.open()?;
        let key = source.wanted(&self.id)?;
        let (key, belonging) = belonging(&source, key)?;
        let Some(line) = source.line(&key)? else {
            return Err(source.gone(&Wanted::Number(key.seq)));
        };
        let mut lines = vec![line];
        for other in belonging {
            lines.extend(source.line(&other)?);
        }
        if lines.iter().any(|line| has_pseudonyms(line)) {
            beside::keys(&source)?;
        }
        if self.format == Format::Json {
            for line in &lines {
                writeln!(out, "{}", visible_json(&one_line(line)))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let shown = self.times.shown();
        if source.has_several_gates()? {
            writeln!(out, "gate {}", Visible(&key.gate))?;
        }
        for line in &lines {
            writeln!(out, "{}", render(in_zone(line, &shown)))?;
        }
        let mut records = lines
            .iter()
            .filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        if let Some(record) = records.next() {
            objections(out, &record)?;
            silent(out, &source, &key, &record)?;
            details(out, &record)?;
        }
        for record in records {
            about(out, &record)?;
        }
        neighbours(out, &source, &key, &shown)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The decision that a record is about, or the record itself, and the records about it.
fn belonging(source: &Source, key: Key) -> anyhow::Result<(Key, Vec<Key>)> {
    let found = match source.decision(&key)? {
        None => {
            let line = source.line(&key)?.unwrap_or_default();
            let record: Value = serde_json::from_slice(&line).unwrap_or_default();
            let of = record.get("decision_seq").and_then(Value::as_u64);
            let of = of.map(|seq| Key { seq, ..key.clone() });
            of.map(|of| source.decision(&of)).transpose()?.flatten()
        }
        found => found,
    };
    Ok(match found {
        None => (key, Vec::new()),
        Some(found) => {
            let lines = source.lines(std::slice::from_ref(&found))?;
            let beside = lines.into_iter().next().unwrap_or_default();
            let others = [
                (found.decided.outcome, beside.outcome),
                (found.decided.settled, beside.settled),
            ];
            let others = others.into_iter().filter(|(_, line)| line.is_some());
            let others = others.filter_map(|(seq, _)| seq);
            let others = others.chain(beside.challenger.as_deref().and_then(number));
            let others = others.map(|seq| found.beside(seq)).collect();
            (found.key(), others)
        }
    })
}

/// Whether values of a record have some.
fn has_pseudonyms(line: &[u8]) -> bool {
    let record: Value = serde_json::from_slice(line).unwrap_or_default();
    record.get("pseudonyms").is_some_and(Value::is_array)
}

/// The number of a record.
fn number(line: &[u8]) -> Option<u64> {
    let record: Value = serde_json::from_slice(line).ok()?;
    record.get("seq")?.as_u64()
}

fn violations(record: &Value) -> impl Iterator<Item = &Value> {
    let found = record.pointer("/result/violations");
    found.and_then(Value::as_array).into_iter().flatten()
}

fn objections(out: &mut impl Write, record: &Value) -> anyhow::Result<()> {
    let bold = Style::new().bold();
    for violation in violations(record) {
        writeln!(out, "\n{bold}objection{bold:#}")?;
        flat(out, "  ", violation)?;
    }
    Ok(())
}

/// The policies that judged and had nothing to say. A decision does not name them: the last start or reload before it
/// does, if it was of the same policies.
fn silent(out: &mut impl Write, source: &Source, key: &Key, record: &Value) -> anyhow::Result<()> {
    let revision = record.pointer("/bundles/policies/revision");
    let masked = ["erased", "masked"].map(|name| record.get(name).and_then(Value::as_array));
    let mut masked = masked.into_iter().flatten().flatten();
    let is_masked = masked.any(|place| place.as_str().is_some_and(|it| it.starts_with("/result")));
    if record.get("input").is_none() || revision.is_none() || is_masked {
        return Ok(());
    }
    let bold = Style::new().bold();
    let known = source.policies_in_force(key, revision)?;
    let Some(policies) = known.or_else(|| kept(source, revision)) else {
        writeln!(out, "\n{bold}no objection{bold:#}\n  {NOT_KNOWN}")?;
        return Ok(());
    };
    let objecting: Vec<&Value> = violations(record)
        .filter_map(|it| it.get("policy"))
        .collect();
    let names = policies.iter().filter(|name| !objecting.contains(name));
    let names = names.map(|name| match (name.as_str(), name["more"].as_u64()) {
        (None, Some(more)) => format!("and some of {more} more"),
        _ => plain(name),
    });
    let names: Vec<String> = names.collect();
    if !names.is_empty() {
        writeln!(out, "\n{bold}no objection{bold:#}\n  {}", names.join(", "))?;
    }
    Ok(())
}

/// The same, as they are kept beside the journal: retention takes starts and reloads away, and not those.
fn kept(source: &Source, revision: Option<&Value>) -> Option<Vec<Value>> {
    let revision = revision?.as_str()?;
    let is_digest = !revision.is_empty() && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    let path = generations::path(source.keys().filter(|_| is_digest)?, revision);
    let policies = app::policies_with_those_of(&path, &[]).ok()?;
    if policies.revision() != revision {
        return None;
    }
    Some(policies.names().map(Value::from).collect())
}

/// Each member of a record, one a line: those that are known best first, then whatever else there is.
fn details(out: &mut impl Write, record: &Value) -> anyhow::Result<()> {
    let Some(members) = record.as_object() else {
        return Ok(());
    };
    for name in KNOWN {
        section(out, name, members.get(name).unwrap_or(&Value::Null))?;
    }
    let mut result = members.get("result").cloned().unwrap_or_default();
    if let Some(result) = result.as_object_mut() {
        // Shown as objections.
        result.remove("violations");
    }
    section(out, "result", &result)?;
    let others = members.iter().filter(|(name, _)| {
        let name = name.as_str();
        !KNOWN.contains(&name) && !is_in_head(record, name) && name != "result"
    });
    let (large, small): (Vec<_>, Vec<_>) = others.partition(|(_, value)| value.is_object());
    for (name, value) in large {
        section(out, name, value)?;
    }
    section(out, "record", &together(small))
}

/// What a record about a decision says.
fn about(out: &mut impl Write, record: &Value) -> anyhow::Result<()> {
    let members = record.as_object().into_iter().flatten();
    let others = members.filter(|(name, _)| !is_in_head(record, name));
    let kind = record.get("kind").and_then(Value::as_str);
    section(out, kind.unwrap_or("record"), &together(others.collect()))
}

/// The first lines say it.
fn is_in_head(record: &Value, name: &str) -> bool {
    let is_decision = record.get("kind").is_some_and(|kind| kind == "decision");
    IN_EVERY_HEAD.contains(&name) || (is_decision && IN_HEAD.contains(&name))
}

fn together(members: Vec<(&String, &Value)>) -> Value {
    let members = members.into_iter();
    let members: Map<String, Value> = members
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    Value::Object(members)
}

/// A heading, and what stands below it; nothing, where there is nothing.
fn section(out: &mut impl Write, name: &str, value: &Value) -> anyhow::Result<()> {
    if is_nothing(value) {
        return Ok(());
    }
    let bold = Style::new().bold();
    writeln!(out, "\n{bold}{}{bold:#}", Visible(name))?;
    flat(out, "  ", value)
}

/// It says nothing.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => members.values().all(is_nothing),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A line whose time is one of the zone that was asked for.
fn in_zone(line: &[u8], shown: &Shown) -> Vec<u8> {
    let Ok(mut record) = serde_json::from_slice::<Value>(line) else {
        return line.to_owned();
    };
    if let Some(time) = record.get_mut("timestamp")
        && let Some(exact) = time.as_str().map(|text| shown.exact(text))
    {
        *time = exact.into();
    }
    record.to_string().into_bytes()
}

/// Members below one another; short lists in one line.
fn flat(out: &mut impl Write, before: &str, value: &Value) -> anyhow::Result<()> {
    let Some(members) = value.as_object() else {
        writeln!(out, "{before}{}", plain(value))?;
        return Ok(());
    };
    for (name, value) in members {
        let name = Visible(name);
        match value {
            value if is_nothing(value) => {}
            Value::Object(_) => {
                writeln!(out, "{before}{name}")?;
                flat(out, &format!("{before}  "), value)?;
            }
            Value::Array(elements) if elements.iter().all(|it| !it.is_object()) => {
                let elements: Vec<String> = elements.iter().map(plain).collect();
                writeln!(out, "{before}{name}: {}", elements.join(", "))?;
            }
            other => writeln!(out, "{before}{name}: {}", plain(other))?,
        }
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => Visible(text).to_string(),
        other => Visible(visible_json(&other.to_string())).to_string(),
    }
}

fn neighbours(
    out: &mut impl Write,
    source: &Source,
    key: &Key,
    shown: &Shown,
) -> anyhow::Result<()> {
    let (before, after) = source.neighbours(key)?;
    for (title, seq) in [("before", before), ("after", after)] {
        let beside = seq.map(|seq| Key { seq, ..key.clone() });
        let line = beside.map(|it| source.line(&it)).transpose()?.flatten();
        if let Some(line) = line {
            let dim = Style::new().dimmed();
            let rendered = render(in_zone(&line, shown));
            let first = rendered.lines().next().unwrap_or_default();
            writeln!(out, "\n{dim}the record {title}{dim:#}\n{first}")?;
        }
    }
    Ok(())
}

/// The sections that come first.
const KNOWN: [&str; 6] = ["input", "caller", "request", "bundles", "metrics", "labels"];
/// What the first line of every record says.
const IN_EVERY_HEAD: [&str; 3] = ["kind", "seq", "timestamp"];
/// What the first lines of a decision say.
const IN_HEAD: [&str; 4] = ["decision_id", "verdict", "operation", "error"];
/// Where nothing says which policies there were.
const NOT_KNOWN: &str = "which policies judged besides is not known: no start or reload before it that names them is there";
