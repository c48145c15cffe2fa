//! The lines of a history, in all forms.

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use crate::cli::audit::query::style;
use crate::cli::audit::table::Cell;
use crate::cli::audit::times::Shown;
use crate::trail::history::{After, Found, Happened, Step, What, list, said};
use crate::trail::told::{self, scopes as scopes_of};
use crate::value::Visible;

pub(super) enum Line<'a> {
    Step(&'a Step, After),
    Found(Found),
}

/// The columns that not every table needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct With {
    pub(super) gates: bool,
    pub(super) ids: bool,
    pub(super) environments: bool,
}

/// Of the table for people.
pub(super) fn columns(with: With) -> Vec<(&'static str, usize)> {
    let mut columns = vec![("WHEN", 10)];
    columns.extend(with.gates.then_some(("GATE", 6)));
    columns.push(("#", 4));
    if with.environments {
        columns.push(("ENVIRONMENT", 8));
    }
    if with.ids {
        columns.push(("TOKEN", 12));
    }
    columns.extend([("BY", 12), ("WHAT", 16), ("ANSWER", 6), ("RULES", 8)]);
    columns.push(("SCOPES AFTER IT", 12));
    columns
}

/// Of the table for spreadsheets.
pub(super) fn titles() -> Vec<String> {
    let all = [&TITLES[..], &told::TITLES, &MORE].concat();
    all.into_iter().map(str::to_owned).collect()
}

impl Line<'_> {
    pub(super) fn row(&self, shown: &Shown, with: With) -> Vec<Cell> {
        match self {
            Self::Step(step, after) => step_row(step, after, shown, with),
            Self::Found(found) => found_row(found, shown, with),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Step(step, after) => step_json(step, after),
            Self::Found(found) => found_json(found),
        }
    }

    pub(super) fn gate(&self) -> &str {
        match self {
            Self::Step(step, _) => &step.key.gate,
            Self::Found(found) => &found.by.gate,
        }
    }

    pub(super) fn environment(&self) -> &str {
        match self {
            Self::Step(step, _) => &step.cells.environment,
            Self::Found(found) => &found.environment,
        }
    }

    /// For spreadsheets.
    pub(super) fn cells(&self) -> Vec<String> {
        match self {
            Self::Step(step, after) => step_cells(step, after),
            Self::Found(found) => {
                let what = found.words(&found.since_timestamp, &found.timestamp);
                let (added, removed) = found.scopes_changed();
                let known = [
                    ("time", found.timestamp.clone()),
                    ("environment", found.environment.clone()),
                    ("found_by", found.by.seq.to_string()),
                    ("token", found.token.clone()),
                    ("what", what),
                    ("scopes_added", added.join(" ")),
                    ("scopes_removed", removed.join(" ")),
                    ("scopes_after", found.scopes.join(" ")),
                    ("unsure", found.is_unsure.to_string()),
                ];
                let cells = titles().into_iter().map(|title| {
                    let cell = known.iter().find(|(name, _)| *name == title);
                    cell.map_or_else(String::new, |(_, text)| text.clone())
                });
                cells.collect()
            }
        }
    }
}

fn step_cells(step: &Step, after: &After) -> Vec<String> {
    let first = [
        step.cells.timestamp.clone(),
        step.cells.seq.to_string(),
        step.cells.decision_id.clone(),
        step.cells.verdict.clone(),
        step.cells.operation.clone(),
        step.cells.environment.clone(),
        step.about(),
        step.token.made.clone(),
        step.who.short(),
    ];
    let scopes = |which: &str| scopes_of(&step.record, which).join(" ");
    let rest = [
        step.what(),
        scopes("requested"),
        scopes("added"),
        scopes("removed"),
        step.answer.text.clone(),
        match step.happened {
            Happened::Yes => "true".to_owned(),
            Happened::No => "false".to_owned(),
            Happened::Perhaps => String::new(),
        },
        step.revision(),
        step.cells.objections.join("; "),
        match after {
            After::Known(scopes) if !scopes.is_empty() => scopes.join(" "),
            other => said(other),
        },
        step.otherwise
            .as_ref()
            .map_or_else(String::new, |it| it.differs.clone()),
        step.otherwise
            .as_ref()
            .map_or_else(String::new, |it| it.objections.join("; ")),
        String::new(),
        String::new(),
    ];
    [&first[..], &step.who.cells(), &rest].concat()
}

fn step_row(step: &Step, after: &After, shown: &Shown, with: With) -> Vec<Cell> {
    let what = Cell {
        text: step.what(),
        style: match step.happened {
            Happened::Yes => Style::new(),
            Happened::No => Style::new().dimmed(),
            Happened::Perhaps => AnsiColor::Yellow.on_default(),
        },
    };
    let (answer, style) = (step.answer.text.clone(), style(&step.answer));
    let mut row = vec![
        Cell {
            text: shown.of(&step.cells.timestamp),
            style: Style::new().dimmed(),
        },
        step.cells.seq.to_string().into(),
    ];
    if with.gates {
        row.insert(1, Visible(&step.key.gate).to_string().into());
    }
    if with.environments {
        row.push(step.cells.environment.clone().into());
    }
    if with.ids {
        row.push(step.about().into());
    }
    let is_allowed = step.cells.verdict == "allow";
    row.extend([
        step.who.short().into(),
        what,
        Cell {
            text: if is_allowed {
                answer
            } else {
                "denied".to_owned()
            },
            style,
        },
        step.rules().into(),
        said(after).into(),
    ]);
    row
}

fn found_row(found: &Found, shown: &Shown, with: With) -> Vec<Cell> {
    // Both often were as many days ago.
    let (from, to) = (
        shown.whole(&found.since_timestamp),
        shown.whole(&found.timestamp),
    );
    let mut row = vec![
        Cell {
            text: shown.of(&found.timestamp),
            style: Style::new().dimmed(),
        },
        "".into(),
    ];
    if with.gates {
        row.push("".into());
    }
    if with.environments {
        row.push(found.environment.clone().into());
    }
    if with.ids {
        row.push(found.token.clone().into());
    }
    row.extend([
        "".into(),
        Cell {
            text: found.words(&from, &to),
            style: AnsiColor::Yellow.on_default(),
        },
        "".into(),
        "".into(),
        list(&found.scopes).into(),
    ]);
    row
}

fn step_json(step: &Step, after: &After) -> Value {
    let scopes = match after {
        After::Known(scopes) => Some(scopes),
        After::NotKnown | After::Doubt(..) => None,
    };
    let mut line = json!({
        "seq": step.cells.seq,
        "timestamp": step.cells.timestamp,
        "decision_id": step.cells.decision_id,
        "verdict": step.cells.verdict,
        "operation": step.cells.operation,
        "environment": step.cells.environment,
        "token": step.about(),
        "made_id": step.token.made,
        "caller": step.who.short(),
        "caller_id": step.who.credential,
        "brokered": step.who.is_brokered,
        "teams": step.who.teams,
        "jwt_issuer": step.who.issuer,
        "jwt_subject": step.who.subject,
        "certificate": step.who.certificate,
        "client": step.who.client,
        "what": step.what(),
        "scopes_requested": scopes_of(&step.record, "requested"),
        "scopes_added": scopes_of(&step.record, "added"),
        "scopes_removed": scopes_of(&step.record, "removed"),
        "answer": step.answer.text,
        "happened": match step.happened {
            Happened::Yes => Value::Bool(true),
            Happened::No => Value::Bool(false),
            Happened::Perhaps => Value::Null,
        },
        "revision": step.record.pointer("/bundles/policies/revision"),
        "objections": step.cells.objections,
        "grant": step.record.get("grant"),
        "scopes_after": scopes,
        "challenger": step.otherwise.as_ref().map(|it| {
            json!({"differs": it.differs, "objections": it.objections})
        }),
    });
    if let (After::Doubt(done, before), Some(members)) = (after, line.as_object_mut()) {
        members.insert("scopes_if_done".to_owned(), json!(done));
        members.insert("scopes_if_not_done".to_owned(), json!(before));
    }
    line
}

/// It has no `seq`: it is no record.
fn found_json(found: &Found) -> Value {
    let elsewhere = matches!(found.what, What::Elsewhere { .. });
    let (added, removed) = found.scopes_changed();
    json!({
        "found_by": found.by.seq,
        "timestamp": found.timestamp,
        "environment": found.environment,
        "token": found.token,
        "what": found.words(&found.since_timestamp, &found.timestamp),
        "since": found.since.seq,
        "since_timestamp": found.since_timestamp,
        "elsewhere": elsewhere || found.what == What::Otherwise,
        "carried_out": found.ends().map(|(_, is_done)| is_done),
        "unsure": found.is_unsure,
        "added": added,
        "removed": removed,
        "scopes_after": found.scopes,
    })
}

/// Before the columns of the caller.
const TITLES: [&str; 9] = [
    "time",
    "seq",
    "decision_id",
    "verdict",
    "operation",
    "environment",
    "token",
    "made_id",
    "caller",
];

/// Behind them.
const MORE: [&str; 13] = [
    "what",
    "scopes_requested",
    "scopes_added",
    "scopes_removed",
    "answer",
    "happened",
    "revision",
    "objections",
    "scopes_after",
    "challenger",
    "challenger_objections",
    "found_by",
    "unsure",
];
