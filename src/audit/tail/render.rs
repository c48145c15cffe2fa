//! One record as people read it: when, what was decided, about what and for whom; below it what would change, and
//! every objection.
//!
//! It reads whatever a journal holds, of older versions too: a member that is not there and one that is `null` say
//! the same, and a kind of record that it does not know is shown as it is.

mod cells;
mod changes;
mod sealed;
mod sums;
mod who;

use std::fmt::{Arguments, Write};

use anstyle::{AnsiColor, Style};
use serde_json::{Map, Value};

use crate::audit::Ending;
use crate::audit::index::token_of;
use crate::audit::masks::Masks;
use crate::value::{Visible, counted};
pub use cells::{Cells, Otherwise};
use changes::changes;
use sealed::{challenger, checkpoint, cosigned, key_change, settled};
use sums::{suppressed, unseen};
pub use who::{caller, name};

/// Shows one line of a journal. The lines of the result after the first are indented.
pub fn render(line: impl AsRef<[u8]>) -> String {
    let line = line.as_ref();
    let Ok(mut record) = serde_json::from_slice::<Value>(line) else {
        return Visible(String::from_utf8_lossy(line)).to_string();
    };
    clean(&mut record);
    let kind = text(&record, "/kind");
    let (word, style) = word(&record, kind);
    let mut out = format!(
        "{DIM}{}{DIM:#}  {:>6}  {style}{word:<10}{style:#}  ",
        text(&record, "/timestamp"),
        number(&record, "/seq"),
    );
    match kind {
        "challenger" => challenger(&mut out, &record),
        "checkpoint" => checkpoint(&mut out, &record),
        "cosigned" => cosigned(&mut out, &record),
        "decision" => decision(&mut out, &record),
        "key" => key_change(&mut out, &record),
        "outcome" => outcome(&mut out, &record),
        "pruned" => pruned(&mut out, &record),
        "recovery" => recovery(&mut out, &record),
        "reload" => reload(&mut out, &record),
        "settled" => settled(&mut out, &record),
        "start" => start(&mut out, &record),
        "stop" => {}
        "suppressed" => suppressed(&mut out, &record),
        "unseen" => unseen(&mut out, &record),
        _ => others(&mut out, &record),
    }
    out.trim_end().to_owned()
}

/// The word that says what kind of record it is, and how well it went.
fn word<'a>(record: &'a Value, kind: &'a str) -> (&'a str, Style) {
    let (word, colour) = match (kind, text(record, "/verdict")) {
        ("decision", "allow") if is_granted(record) => ("granted", AnsiColor::Yellow),
        ("decision", "allow") => ("allow", AnsiColor::Green),
        ("decision", _) => ("deny", AnsiColor::Red),
        ("reload", _) if record["ok"] != true => (kind, AnsiColor::Red),
        ("challenger" | "key" | "pruned" | "recovery" | "reload" | "suppressed" | "unseen", _) => {
            (kind, AnsiColor::Yellow)
        }
        _ => return (kind, Style::new()),
    };
    (word, colour.on_default())
}

/// What was asked, about which token and by whom; what would change; every objection on a line of its own.
fn decision(out: &mut String, record: &Value) {
    let operation = match text(record, "/operation") {
        "" => "unknown",
        operation => operation,
    };
    let environments = ["/input/environment/name", "/environment"].map(|at| text(record, at));
    let environment = environments.into_iter().find(|name| !name.is_empty());
    let environment = environment.unwrap_or("-");
    append(
        out,
        format_args!(
            "{operation:<12}  {environment:<8}  {}  {}",
            target(record),
            caller(record)
        ),
    );
    if !text(record, "/error").is_empty() {
        below(out, format_args!("{}", text(record, "/error")));
    }
    let mut what = changes(record);
    what.push(format!(
        "{DIM}decision {}{DIM:#}",
        text(record, "/decision_id")
    ));
    below(out, format_args!("{}", what.join("; ")));
    objections(out, record, list(record, "/result/violations"));
    if is_granted(record) {
        below(out, format_args!("{}", by_grant(record)));
    }
    if !text(record, "/result/remedy/text").is_empty() {
        below(out, format_args!("{}", text(record, "/result/remedy/text")));
    }
}

/// Each on a line of its own, as far as a screen has room.
fn objections(out: &mut String, record: &Value, violations: &[Value]) {
    for violation in violations.iter().take(MOST_OBJECTIONS) {
        let does = effect(record, violation);
        let style = match does {
            DENIES => AnsiColor::Red.on_default(),
            WARNS | WOULD_DENY => AnsiColor::Yellow.on_default(),
            _ => DIM,
        };
        let by = match text(violation, "/exception/ticket") {
            "" => String::new(),
            ticket => format!(" (passes by exception {ticket})"),
        };
        below(
            out,
            format_args!(
                "{style}{} {does}{style:#}: {}{by}",
                text(violation, "/policy"),
                text(violation, "/message")
            ),
        );
    }
    if violations.len() > MOST_OBJECTIONS {
        let left_out = counted(violations.len() - MOST_OBJECTIONS, "more objection");
        below(out, format_args!("and {left_out}"));
    }
}

/// The token, by name and id as far as they are known; where there is none, method and path, as far as masks have left it.
fn target(record: &Value) -> String {
    let [operation, told, path] =
        ["/operation", "/input/token/id", "/request/path"].map(|place| text(record, place));
    let masks = Masks::of(record);
    let id = token_of(&masks, operation, told, path);
    let id = &*id;
    let names = [
        "/input/token/current/name",
        "/input/change/name/current",
        "/input/change/name/requested",
    ];
    // What an update asks for is no name of the token yet.
    let known = if id.is_empty() { 3 } else { 2 };
    let mut names = names.iter().take(known).map(|name| text(record, name));
    match (names.find(|name| !name.is_empty()).map(cut), id) {
        (Some(name), "") => name,
        (Some(name), id) => format!("{name} ({id})"),
        // What else would be told of it stands in the path.
        (None, "") if masks.hide("request.path") => "masked".to_owned(),
        (None, "") => {
            let (method, path) = (
                text(record, "/request/method"),
                text(record, "/request/path"),
            );
            format!("{method} {path}")
        }
        (None, id) => id.to_owned(),
    }
}

/// The first texts of a list, and how many more there are.
fn listed(texts: &[Value], between: &str) -> String {
    let shown: Vec<String> = texts
        .iter()
        .filter_map(Value::as_str)
        .take(MOST_LISTED)
        .map(cut)
        .collect();
    let shown = shown.join(between);
    match texts.len().saturating_sub(MOST_LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Whether it passed by a grant although policies deny it.
fn is_granted(record: &Value) -> bool {
    !text(record, "/grant/id").is_empty()
}

/// By which, and who has asked for it.
fn by_grant(record: &Value) -> String {
    let of = |name: &str| text(record, &format!("/grant/{name}")).to_owned();
    format!(
        "passes once by grant {} ({}), asked for by {}, approved by {}: {}",
        of("id"),
        of("ticket"),
        of("requested_by"),
        of("approved_by"),
        of("reason")
    )
}

/// What a violation came to: its policy's mode, or less where the policy itself only warns, or a grant was used.
pub fn effect(record: &Value, violation: &Value) -> &'static str {
    let is_denial = (text(violation, "/mode"), text(violation, "/rule")) == ("enforce", "deny");
    if is_denial && is_granted(record) || violation.get("exception").is_some() {
        return WOULD_DENY;
    }
    match (text(violation, "/mode"), text(violation, "/rule")) {
        ("enforce", "warn") | ("warn", _) => WARNS,
        ("enforce", _) => DENIES,
        _ => "would object",
    }
}

const WOULD_DENY: &str = "would deny";
const WARNS: &str = "warns";
const DENIES: &str = "denies";

/// What became of an allowed request, and how long that took.
fn outcome(out: &mut String, record: &Value) {
    let (word, status) = (text(record, "/outcome"), number(record, "/status"));
    let style = match Ending::of(word, Some(status)) {
        Ending::Done => AnsiColor::Green.on_default(),
        Ending::Refused => AnsiColor::Yellow.on_default(),
        Ending::NotSent | Ending::Unclear | Ending::Unknown => AnsiColor::Red.on_default(),
    };
    let status = match status {
        0 => String::new(),
        status => format!(" {status}"),
    };
    append(
        out,
        format_args!(
            "of {:<9}  {style}{word}{status}{style:#}",
            number(record, "/decision_seq")
        ),
    );
    if let Some(taken) = record.pointer("/duration_ms").and_then(Value::as_f64) {
        append(out, format_args!(" after {taken} ms"));
    }
    if !text(record, "/detail").is_empty() {
        append(out, format_args!(": {}", text(record, "/detail")));
    }
    match (
        text(record, "/credential/id"),
        text(record, "/credential/expiration"),
    ) {
        ("", _) => {}
        (made, "") => append(out, format_args!(", made {made}")),
        (made, until) => append(out, format_args!(", made {made}, which expires {until}")),
    }
}

fn start(out: &mut String, record: &Value) {
    append(out, format_args!("dtgate {}", text(record, "/version")));
    let revision = text(record, "/revision");
    if !revision.is_empty() {
        let short = revision.get(..12).unwrap_or(revision);
        append(out, format_args!(", policies {short}"));
    }
    endpoints(out, record);
    let doubtful = list(record, "/in_doubt");
    if !doubtful.is_empty() {
        below(
            out,
            format_args!(
                "{} without outcome: {}",
                counted(doubtful.len(), "allowed decision"),
                listed(doubtful, ", ")
            ),
        );
    }
}

/// What was read again, and whether it is in force.
fn reload(out: &mut String, record: &Value) {
    let revision = |of: &str| {
        let revision = text(record, of);
        revision.get(..12).unwrap_or(revision).to_owned()
    };
    if record["ok"] != true {
        append(
            out,
            format_args!("refused, policies {} stay in force", revision("/from")),
        );
        for line in text(record, "/error").lines() {
            below(out, format_args!("{line}"));
        }
        return;
    }
    append(out, format_args!("in force: policies {}", revision("/to")));
    let changed = list(record, "/changed");
    if !changed.is_empty() {
        below(out, format_args!("changed: {}", listed(changed, ", ")));
    }
    endpoints(out, record);
    let restart = list(record, "/restart");
    if !restart.is_empty() {
        let keys = listed(restart, ", ");
        below(
            out,
            format_args!("changed, but only a restart takes it up: {keys}"),
        );
    }
}

/// What the configuration changes about endpoints.
fn endpoints(out: &mut String, record: &Value) {
    let changed = record.pointer("/endpoints").and_then(Value::as_object);
    for (operation, handling) in changed.into_iter().flatten() {
        let handling = handling.as_str().unwrap_or_default();
        below(
            out,
            format_args!("{} is handled as {handling}", Visible(operation)),
        );
    }
}

fn pruned(out: &mut String, record: &Value) {
    append(
        out,
        format_args!(
            "records {} to {} deleted ({}), written from {} to {}",
            number(record, "/first"),
            number(record, "/last"),
            text(record, "/reason"),
            text(record, "/oldest"),
            text(record, "/newest"),
        ),
    );
    let count = number(record, "/in_doubt_count");
    if count > 0 {
        append(out, format_args!(", {count} in doubt"));
    }
    for id in list(record, "/in_doubt") {
        let id = id.as_str().unwrap_or_default();
        below(out, format_args!("in doubt: decision {id}"));
    }
}

fn recovery(out: &mut String, record: &Value) {
    append(out, format_args!("{}", text(record, "/reason")));
    match number(record, "/refused_events") {
        0 => {}
        refused => append(out, format_args!(", {} refused", counted(refused, "event"))),
    }
    if !text(record, "/set_aside").is_empty() {
        append(
            out,
            format_args!(", set aside in {}", text(record, "/set_aside")),
        );
    }
}

/// A kind of record that has no form of its own here.
fn others(out: &mut String, record: &Value) {
    let members = record.as_object().into_iter().flatten();
    let shown: Map<String, Value> = members
        .filter(|(name, _)| !CHAIN.contains(&name.as_str()))
        .map(|(name, value)| (Visible(name).to_string(), with_clean_names(value)))
        .collect();
    append(out, format_args!("{}", Value::Object(shown)));
}

/// The same, with the names of all its members fit for a terminal.
fn with_clean_names(value: &Value) -> Value {
    match value {
        Value::Array(elements) => elements.iter().map(with_clean_names).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (Visible(name).to_string(), with_clean_names(value)))
            .collect(),
        plain => plain.clone(),
    }
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

/// The text of a member; nothing where there is none.
fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

fn number(value: &Value, pointer: &str) -> u64 {
    let found = value.pointer(pointer).and_then(Value::as_u64);
    found.unwrap_or_default()
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    let found = value.pointer(pointer).and_then(Value::as_array);
    found.map(Vec::as_slice).unwrap_or_default()
}

/// A name that is no longer than a line can take.
fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let kept: String = text.chars().take(LONGEST - 1).collect();
    format!("{kept}…")
}

/// One more line, below what the first one says.
fn below(out: &mut String, text: Arguments<'_>) {
    append(out, format_args!("\n{:>46}{text}", ""));
}

fn append(out: &mut String, text: Arguments<'_>) {
    out.write_fmt(text)
        .expect("writing to a string cannot fail");
}

const DIM: Style = Style::new().dimmed();

/// How many names of a list are shown before the rest is counted.
const MOST_LISTED: usize = 6;

/// How many objections of one decision are shown.
const MOST_OBJECTIONS: usize = 10;

/// Characters of a name.
const LONGEST: usize = 60;

/// What stands in every record, and is shown or of no interest to readers.
const CHAIN: [&str; 5] = ["kind", "prev", "seq", "synced", "timestamp"];

#[cfg(test)]
mod tests {
    use super::{Cells, render};

    #[test]
    fn where_masks_hide_all_that_names_a_token_that_is_said() {
        let target = |path: &str, erased: &[&str]| {
            let record = serde_json::json!({
                "kind": "decision", "verdict": "allow", "operation": "token.update", "erased": erased,
                "request": {"method": "PUT", "path": path},
            });
            let line = record.to_string();
            let cells = Cells::of(line.as_bytes()).unwrap();
            assert!(
                render(&line).contains(&format!("  {}  ", cells.target)),
                "{line}"
            );
            cells.target
        };
        let input = ["/input/token", "/input/change"];
        assert_eq!(
            target("/api/v2/apiTokens/x", &input),
            "PUT /api/v2/apiTokens/x"
        );
        let all = [&input[..], &["/request/path"]].concat();
        for path in ["", "-"] {
            assert_eq!(target(path, &all), "masked");
        }
    }

    #[test]
    fn what_was_denied_was_only_asked_for() {
        let line = |verdict: &str| {
            let name = serde_json::json!({"requested": "b", "current": "a"});
            let record = serde_json::json!({
                "kind": "decision", "verdict": verdict, "operation": "token.update",
                "input": {"token": {"id": "x"}, "change": {"name": name}},
            });
            render(record.to_string())
        };
        assert!(line("allow").contains(" renamed \"a\" to \"b\""));
        let denied = line("deny");
        assert!(
            denied.contains(" asked to rename \"a\" to \"b\""),
            "{denied}"
        );
    }
}
