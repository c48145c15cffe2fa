//! Records as they are written, one line each: for people, or raw.

use std::fmt::Write;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use super::segments;
use crate::value::Visible;

/// Reads the records of a journal in order, and goes on where it stopped when more are written.
#[derive(Debug)]
pub struct Tail {
    directory: PathBuf,
    current: Option<(PathBuf, BufReader<File>)>,
    partial: String,
}

impl Tail {
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            current: None,
            partial: String::new(),
        }
    }

    /// The next complete line, or `None` when everything written so far was read.
    pub fn next_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some((_, reader)) = &mut self.current {
                reader.read_line(&mut self.partial)?;
                if self.partial.ends_with('\n') {
                    let line = self.partial.trim_end().to_owned();
                    self.partial.clear();
                    return Ok(Some(line));
                }
            }
            let after = self.current.as_ref().map(|(path, _)| path.clone());
            let next = segments(&self.directory)?
                .into_iter()
                .find(|path| after.as_ref().is_none_or(|after| path > after));
            let Some(path) = next else {
                return Ok(None);
            };
            let file = File::open(&path)?;
            self.partial.clear();
            self.current = Some((path, BufReader::new(file)));
        }
    }
}

/// One record as people read it: time, number, verdict, what and on which token, why.
pub fn render(line: &str) -> String {
    let Ok(mut record) = serde_json::from_str::<Value>(line) else {
        return Visible(line).to_string();
    };
    clean(&mut record);
    let text = |pointer: &str| {
        record
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let number = |pointer: &str| {
        record
            .pointer(pointer)
            .and_then(Value::as_u64)
            .unwrap_or_default()
    };
    let (word, style) = match (text("/kind"), text("/verdict")) {
        ("decision", "allow") => ("allow", AnsiColor::Green.on_default()),
        ("decision", _) => ("deny", AnsiColor::Red.on_default()),
        (kind @ ("recovery" | "suppressed" | "unseen"), _) => {
            (kind, AnsiColor::Yellow.on_default())
        }
        (kind, _) => (kind, Style::new().dimmed()),
    };
    let mut out = format!(
        "{}  {:>6}  {style}{word:<8}{style:#}  ",
        text("/timestamp"),
        number("/seq")
    );
    match text("/kind") {
        "decision" => decision(&mut out, &record),
        "outcome" => {
            let detail = match number("/status") {
                0 => text("/detail").to_owned(),
                status => status.to_string(),
            };
            append(
                &mut out,
                format_args!(
                    "of {:<9}  {} {detail}",
                    number("/decision_seq"),
                    text("/outcome")
                ),
            );
        }
        "start" => {
            append(&mut out, format_args!("dtgate {}", text("/version")));
            let changed = record.pointer("/endpoints").and_then(Value::as_object);
            for (operation, handling) in changed.into_iter().flatten() {
                let handling = handling.as_str().unwrap_or_default();
                append(
                    &mut out,
                    format_args!("\n    {} is handled as {handling}", Visible(operation)),
                );
            }
        }
        "recovery" => append(&mut out, format_args!("{}", text("/reason"))),
        "suppressed" => suppressed(&mut out, &record),
        "unseen" => unseen(&mut out, &record),
        _ => {}
    }
    out.trim_end().to_owned()
}

/// What was asked and by whom, and every objection on a line of its own.
fn decision(out: &mut String, record: &Value) {
    let text = |pointer: &str| {
        record
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };

    let operation = text("/operation");
    let shown = if operation.is_empty() {
        text("/request/method")
    } else {
        operation
    };
    append(out, format_args!("{shown:<12}  {}", text("/request/path")));
    if !text("/error").is_empty() {
        append(out, format_args!("  {}", text("/error")));
    }
    append(out, format_args!("\n{:>46}{}", "", who_and_what(record)));
    let violations = record
        .pointer("/result/violations")
        .and_then(Value::as_array);
    for violation in violations.into_iter().flatten() {
        let member = |name: &str| {
            violation
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        append(
            out,
            format_args!(
                "\n{:>46}{} ({}): {}",
                "",
                member("policy"),
                weight(violation),
                member("message")
            ),
        );
    }
    if !text("/result/remedy/text").is_empty() {
        append(
            out,
            format_args!("\n{:>46}{}", "", text("/result/remedy/text")),
        );
    }
}

/// Which writes passed that the catalogue does not know, how many, how they were answered, and whose they were.
fn unseen(out: &mut String, record: &Value) {
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
    let count = record.get("count").and_then(Value::as_u64);
    append(
        out,
        format_args!(
            "{} {}  {} times, from {} to {}",
            text("/method").unwrap_or("further"),
            text("/path").unwrap_or("writes"),
            count.unwrap_or_default(),
            text("/first").unwrap_or_default(),
            text("/last").unwrap_or_default(),
        ),
    );
    let statuses = record.get("statuses").and_then(Value::as_object);
    let statuses = statuses.into_iter().flatten();
    let answered: Vec<String> = statuses
        .map(|(status, count)| format!("{}: {count}", Visible(status)))
        .collect();
    let by = match (text("/caller/id"), text("/requested_by")) {
        (Some(caller), Some(address)) => format!("by {caller} at {address}, "),
        (None, Some(address)) => format!("by anybody at {address}, "),
        (_, None) => String::new(),
    };
    append(
        out,
        format_args!("\n{:>46}{by}answered {}", "", answered.join(", ")),
    );
}

/// How many had no record of their own, of which kinds, and whose.
fn suppressed(out: &mut String, record: &Value) {
    fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
        let found = value.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default()
    }
    fn number(value: &Value, member: &str) -> u64 {
        let found = value.get(member).and_then(Value::as_u64);
        found.unwrap_or_default()
    }
    let all = |member: &str| {
        let entries = record.get(member).and_then(Value::as_array);
        entries.into_iter().flatten()
    };
    append(
        out,
        format_args!(
            "{} refused without a record of their own, from {} to {}",
            number(record, "count"),
            text(record, "/first"),
            text(record, "/last")
        ),
    );
    let mut line = |count: u64, what: &str| {
        append(out, format_args!("\n{:>46}{count:>8}  {what}", ""));
    };
    for entry in all("reasons") {
        let (reason, operation) = (text(entry, "/reason"), text(entry, "/operation"));
        line(
            number(entry, "count"),
            format!("{reason} {operation}").trim_end(),
        );
    }
    for entry in all("callers") {
        let by = match text(entry, "/caller/id") {
            "" => format!("by anybody at {}", text(entry, "/requested_by")),
            caller => format!("by {caller} at {}", text(entry, "/requested_by")),
        };
        line(number(entry, "count"), &by);
    }
    for (member, what) in [
        ("other_reasons", "for other reasons"),
        ("other_callers", "by others"),
    ] {
        if number(record, member) > 0 {
            line(number(record, member), what);
        }
    }
}

/// Who asked, for which name and how many scopes, and the id that an answer names.
fn who_and_what(record: &Value) -> String {
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
    let mut words = vec![format!(
        "by {}",
        text("/caller/id").unwrap_or("nobody known")
    )];
    if let Some(name) = text("/input/change/name/requested") {
        words.push(format!("name {name}"));
    }
    let scopes = record
        .pointer("/input/change/scopes/requested")
        .and_then(Value::as_array);
    if let Some(scopes) = scopes {
        words.push(format!("{} scopes", scopes.len()));
    }
    if let Some(differs) = record
        .pointer("/input/change/differs")
        .and_then(Value::as_array)
    {
        let members: Vec<&str> = differs.iter().filter_map(Value::as_str).collect();
        words.push(match members.as_slice() {
            [] => "changes nothing".to_owned(),
            members => format!("changes {}", members.join(" and ")),
        });
    }
    words.push(format!("decision {}", text("/decision_id").unwrap_or("-")));
    words.join(", ")
}

/// What a violation came to: its policy's mode, or less where the policy itself only warns.
fn weight(violation: &Value) -> &str {
    let member = |name: &str| {
        violation
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    if member("mode") == "enforce" && member("rule") == "warn" {
        return "warn";
    }
    member("mode")
}

/// Makes all text fit for a terminal: a caller's name for a token must not move the cursor, nor turn the
/// direction of what is read. Names of members are ours, in a journal that nobody has changed.
fn clean(value: &mut Value) {
    match value {
        Value::String(text) => *text = Visible(&*text).to_string(),
        Value::Array(elements) => elements.iter_mut().for_each(clean),
        Value::Object(members) => members.values_mut().for_each(clean),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn append(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("writing to a string cannot fail");
}
