//! `dtgate audit history`: what became of one token, from its creation to its removal.

mod hidden;
mod line;
mod scopes;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::ExitCode;

use anstyle::Style;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};

use super::beside::NotShown;
use super::opened::note;
use super::query::{Form, each, ended, record};
use super::source::{Asking, Source};
use super::table::{Table, terminal};
use super::times::{Shown, Span, Times};
use super::{beside, pseudonyms};
use crate::audit::event;
use crate::audit::index::{Filter, Pattern};
use crate::audit::tail::{Cells, Otherwise};
use crate::cli::print_json;
use crate::store::{Found as Decided, Key, Lines, Moment};
use crate::trail::csv;
use crate::trail::told::{Token, Who, asked};
use crate::value::{Visible, counted};
use hidden::Hidden;
use line::Line;
pub(super) use scopes::SETTLES;
use scopes::{Found, Tokens, What};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct History {
    /// Public id or name of the token
    #[arg(value_name = "TOKEN", value_parser = NonEmptyStringValueParser::new())]
    token: String,
    #[command(flatten)]
    from: Asking,
    #[command(flatten)]
    span: Span,
    /// Environment
    #[arg(long, value_name = "NAME")]
    environment: Vec<Pattern>,
    /// Show what was denied, and what changed nothing, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    times: Times,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Form::Pretty)]
    format: Form,
}

/// One change, or what was asked.
struct Step {
    key: Key,
    /// Among those of several gates.
    at: Moment,
    cells: Cells,
    who: Who,
    token: Token,
    /// What else is told of it: a token may have very many, and some are large.
    record: Value,
    answer: (String, Style),
    /// What a challenger would have decided otherwise.
    otherwise: Option<Otherwise>,
    /// It came about, as far as anybody knows.
    happened: Happened,
    no_op: bool,
    /// When its outcome was written.
    ended: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happened {
    Yes,
    No,
    Perhaps,
}

impl History {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let source = self.from.find()?.open()?;
        let found = steps(&source, &self.token, &self.environment, MOST)?;
        found.say_missing();
        let Steps { ids, all, .. } = found;
        let shown = self.times.shown();
        let span = self.span.read(&shown)?;
        let missing = source.gaps(None, None)?;
        let has_gates = source.has_several_gates()?;
        let asked = Filter {
            since: span.0,
            until: span.1,
            environment: self.environment.clone(),
            ..Filter::default()
        };
        beside::say(&source, &asked)?;
        beside::keys(&source)?;
        let (mut lines, mut hidden) = (Vec::new(), Hidden::default());
        let mut tokens = Tokens::new(&missing);
        let mut doubtful = BTreeSet::new();
        for step in &all {
            // What was before the time that is asked for tells which scopes there were.
            let seen = tokens.see(step);
            if !is_within(&step.cells.timestamp, span) {
                continue;
            }
            if step.happened == Happened::Perhaps {
                doubtful.insert(step.key.clone());
            }
            if let Some(ended) = seen.found.as_ref().and_then(Found::ends) {
                doubtful.remove(&ended);
            }
            lines.extend(seen.found.map(Line::Found));
            let is_denied = step.cells.verdict != "allow";
            if self.all || !(is_denied || step.no_op) {
                lines.push(Line::Step(step, seen.after));
            } else if is_denied {
                hidden.denied += 1;
            } else {
                hidden.unchanging += 1;
            }
        }
        match self.format {
            Form::Json => {
                for line in &lines {
                    let mut json = line.to_json();
                    if let (true, Some(members)) = (source.is_store(), json.as_object_mut()) {
                        members.insert("gate".to_owned(), line.gate().into());
                    }
                    print_json(out, &json)?;
                }
                return Ok(ExitCode::SUCCESS);
            }
            Form::Csv => {
                let gate = |gate: &str| source.is_store().then(|| Visible(gate).to_string());
                let with = |name: &str, cells: Vec<String>| {
                    gate(name).into_iter().chain(cells).collect::<Vec<_>>()
                };
                csv::line(out, &with("gate", line::titles()))?;
                for line in &lines {
                    csv::line(out, &with(line.gate(), line.cells()))?;
                }
                return Ok(ExitCode::SUCCESS);
            }
            Form::Pretty => {}
        }
        if lines.is_empty() {
            let token = Visible(&self.token);
            let place = if source.is_store() {
                "store"
            } else {
                "journal"
            };
            writeln!(out, "No change of {token} is in the {place}.")?;
        } else {
            table(out, &lines, (has_gates, ids.len() > 1), &shown)?;
        }
        hidden.doubtful = doubtful.len();
        hidden.say(out)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Everything about a token.
struct Steps {
    /// Those that it had.
    ids: BTreeSet<String>,
    /// The oldest first.
    all: Vec<Step>,
    /// Some that are indexed cannot be read.
    not_shown: NotShown,
    /// There are older ones.
    is_cut: bool,
}

/// As many as there is room for, the newest before all others.
fn steps(
    source: &Source,
    token: &str,
    environment: &[Pattern],
    most: Most,
) -> anyhow::Result<Steps> {
    let mut names = BTreeSet::from([token.to_owned()]);
    let mut seen = BTreeSet::new();
    let mut ids = BTreeSet::new();
    let mut steps = Vec::new();
    let (mut not_shown, mut is_cut) = (NotShown::default(), false);
    let mut room = most.bytes;
    loop {
        let filter = Filter {
            token: names.iter().cloned().map(Pattern::Exactly).collect(),
            environment: environment.to_vec(),
            ..Filter::default()
        };
        let filter = pseudonyms::added(filter, source.keys())?;
        let known = names.len();
        let page = source.find(&filter, None, most.requests)?;
        is_cut |= page.more;
        let mut found = page.decisions;
        found.retain(|it| seen.insert(it.key()));
        for some in found.chunks(AT_ONCE) {
            if room == 0 {
                is_cut = true;
                break;
            }
            let torn = each(source, some, |decided, lines| {
                let Some(step) = Step::read(decided, lines) else {
                    return Ok(false);
                };
                room = room.saturating_sub(bytes(lines));
                // What was denied gave no name to anything.
                if step.cells.verdict == "allow" {
                    ids.extend(step.ids().map(str::to_owned));
                }
                steps.push(step);
                Ok(true)
            })?;
            not_shown.extend(torn);
        }
        // Rotation gives a new id: what has it is the same token.
        names.extend(ids.iter().take(MOST_IDS).cloned());
        is_cut |= room == 0 && names.len() > known;
        if names.len() == known || room == 0 {
            break;
        }
    }
    // Of one journal, by the numbers: its records have no moments.
    steps.sort_by(|one, other| (one.at, &one.key).cmp(&(other.at, &other.key)));
    Ok(Steps {
        ids,
        all: steps,
        not_shown,
        is_cut,
    })
}

impl Steps {
    /// Says which requests are not among them.
    fn say_missing(&self) {
        self.not_shown.say();
        if self.is_cut {
            let read = counted(self.all.len(), "request");
            note(&format!(
                "there are more than the {read} of this answer, most of them older: scopes count from there"
            ));
        }
        if self.ids.len() > MOST_IDS {
            let known = counted(self.ids.len(), "id");
            note(&format!(
                "{known} belong to it: by {MOST_IDS} of them requests were looked for that have no name"
            ));
        }
    }
}

/// What later records of a token tell of its changes in doubt, by the number of the decision.
pub(super) fn told_later(
    source: &Source,
    token: &str,
) -> anyhow::Result<BTreeMap<u64, (event::Found, String)>> {
    let Steps {
        all,
        not_shown,
        is_cut,
        ..
    } = steps(source, token, &[], MOST)?;
    let gaps = source.gaps(None, None)?;
    // What cannot be read may be a change of this token.
    if gaps.more_missing > 0 || gaps.unread > 0 || !not_shown.is_empty() || is_cut {
        return Ok(BTreeMap::new());
    }
    let mut tokens = Tokens::new(&gaps);
    let found = all.iter().filter_map(|step| tokens.see(step).found);
    let ended = found
        .filter(|found| !found.is_beside_gap)
        .filter_map(|found| {
            let what = match found.what {
                What::CarriedOut => event::Found::Done,
                What::NotCarriedOut => event::Found::NotDone,
                What::Elsewhere { .. } | What::Otherwise => return None,
            };
            let why = format!("record {} found it so", found.by.seq);
            Some((found.since.seq, (what, why)))
        });
    Ok(ended.collect())
}

impl Step {
    fn read(found: &Decided, lines: &Lines) -> Option<Self> {
        let line = lines.decision.as_ref()?;
        let cells = Cells::of(line)?;
        let outcome = record(lines.outcome.as_ref());
        let settled = record(lines.settled.as_ref());
        let answer = ended(&cells, outcome.as_ref(), settled.as_ref());
        let otherwise = record(lines.challenger.as_ref()).map(|it| Otherwise::of(&it));
        let mut record: Value = serde_json::from_slice(line).unwrap_or_default();
        Some(Self {
            key: found.key(),
            at: found.at,
            who: Who::of(&record),
            token: Token::of(&record, outcome.as_ref()),
            record: told_further(&mut record),
            happened: happened(&cells, outcome.as_ref(), settled.as_ref()),
            ended: outcome
                .as_ref()
                .and_then(|it| it["timestamp"].as_str().map(str::to_owned)),
            otherwise,
            no_op: found.decided.no_op,
            cells,
            answer,
        })
    }

    /// Masks took away or replaced what stands there.
    fn is_masked(&self, pointer: &str) -> bool {
        let lists =
            ["erased", "masked"].map(|name| self.record.get(name).and_then(Value::as_array));
        let mut places = lists.into_iter().flatten().flatten();
        places.any(|place| {
            let place = place.as_str().unwrap_or_default();
            place.starts_with(pointer) || pointer.starts_with(place)
        })
    }

    fn scopes(&self, pointer: &str) -> Option<Vec<String>> {
        let list = self.record.pointer(pointer)?.as_array()?;
        let texts = list.iter().filter_map(Value::as_str);
        Some(texts.map(|text| Visible(text).to_string()).collect())
    }

    /// The ids that the token had and got.
    fn ids(&self) -> impl Iterator<Item = &str> {
        let about = self.record.pointer("/input/token/id");
        let about = about.and_then(Value::as_str);
        let ids = about.into_iter().chain([&*self.token.made]);
        ids.filter(|id| !id.is_empty())
    }

    /// The scopes that the token had when it was looked up; `None`: nobody looked, or they are masked.
    fn scopes_before(&self) -> Option<Vec<String>> {
        let mut places = [
            "/input/token/current/scopes",
            "/input/change/scopes/current",
        ]
        .into_iter();
        places.find_map(|place| self.scopes(place).filter(|_| !self.is_masked(place)))
    }

    /// The scopes that the token has then; `None`: the same as before.
    fn scopes_after(&self) -> Option<Vec<String>> {
        if self.cells.operation.ends_with(".delete") {
            return Some(Vec::new());
        }
        let requested = self.scopes("/input/change/scopes/requested");
        requested.or_else(|| self.scopes("/input/change/scopes/current"))
    }

    /// Whether it would have made a token, and did not.
    fn is_no_creation(&self) -> bool {
        self.cells.operation.ends_with(".create") && self.happened == Happened::No
    }

    /// What was done, in a few words.
    fn what(&self) -> String {
        let is_allowed = self.cells.verdict == "allow";
        let word = match self.cells.operation.rsplit('.').next() {
            Some("create") => "created",
            Some("delete") => "removed",
            Some("update") => "",
            _ => &self.cells.operation,
        };
        if is_allowed && self.happened == Happened::No {
            return self.not_done(word);
        }
        let mut parts: Vec<String> = Vec::new();
        if !word.is_empty() {
            parts.push(match &*self.token.made {
                "" => word.to_owned(),
                made => format!("{word} as {made}"),
            });
        }
        parts.extend(asked(&self.cells.changes, is_allowed));
        if parts.is_empty() {
            parts.push("changes nothing".to_owned());
        }
        let what = parts.join("; ");
        if is_allowed {
            what
        } else {
            format!("denied: {what}")
        }
    }

    /// What nobody denied, and Dynatrace did not do.
    fn not_done(&self, word: &str) -> String {
        let changes = asked(&self.cells.changes, false).join("; ");
        let what = match word {
            "created" | "removed" => format!("not {word}"),
            "" => "not carried out".to_owned(),
            operation => format!("{operation} not carried out"),
        };
        match &*changes {
            "" => what,
            changes => format!("{what}: {changes}"),
        }
    }

    /// The id of the token that it is about.
    fn about(&self) -> String {
        self.token.any_id().to_owned()
    }

    fn revision(&self) -> String {
        let revision = self.record.pointer("/bundles/policies/revision");
        let revision = revision.and_then(Value::as_str).unwrap_or_default();
        Visible(revision).to_string()
    }

    /// Under which policies, and what they had to say.
    fn rules(&self) -> String {
        let short: String = self.revision().chars().take(8).collect();
        let mut parts = vec![short];
        parts.extend(self.cells.objections.iter().cloned());
        parts.extend((!self.cells.grant.is_empty()).then(|| self.cells.grant.clone()));
        parts.extend(self.otherwise.as_ref().map(Otherwise::short));
        parts.join("; ")
    }
}

/// What is told of a record besides what its step has.
fn told_further(record: &mut Value) -> Value {
    let mut taken = |place| record.pointer_mut(place).map(Value::take);
    json!({
        "input": {
            "token": {"id": taken("/input/token/id"), "current": {"scopes": taken("/input/token/current/scopes")}},
            "change": {"scopes": taken("/input/change/scopes")},
        },
        "bundles": {"policies": {"revision": taken("/bundles/policies/revision")}},
        "grant": taken("/grant"),
        "erased": taken("/erased"),
        "masked": taken("/masked"),
    })
}

/// How long they are.
fn bytes(lines: &Lines) -> usize {
    let Lines {
        decision,
        outcome,
        settled,
        challenger,
    } = lines;
    let all = [decision, outcome, settled, challenger];
    all.into_iter().flatten().map(Vec::len).sum()
}

/// One token can have had several ids, and one name several tokens, in several environments.
fn table(
    out: &mut impl Write,
    lines: &[Line<'_>],
    (has_gates, has_ids): (bool, bool),
    shown: &Shown,
) -> anyhow::Result<()> {
    let mut environments = lines.iter().filter_map(Line::environment);
    let first = environments.next();
    let with = line::With {
        gates: has_gates,
        ids: has_ids,
        environments: environments.any(|it| Some(it) != first),
    };
    let mut table = Table::new(&line::columns(with));
    for line in lines {
        table.add(line.row(shown, with));
    }
    table.show(out, terminal())?;
    Ok(())
}

/// Whether a record is of the time that is asked for; one that has none is of every time.
fn is_within(timestamp: &str, (since, until): (Option<i64>, Option<i64>)) -> bool {
    let Ok(moment) = timestamp.parse::<jiff::Timestamp>() else {
        return true;
    };
    let ms = moment.as_millisecond();
    since.is_none_or(|since| ms >= since) && until.is_none_or(|until| ms < until)
}

fn happened(cells: &Cells, outcome: Option<&Value>, settled: Option<&Value>) -> Happened {
    if cells.verdict != "allow" {
        return Happened::No;
    }
    match settled.and_then(|record| record["found"].as_str()) {
        Some("done") => return Happened::Yes,
        Some("not_done") => return Happened::No,
        _ => {}
    }
    match outcome.map(|outcome| (outcome["outcome"].as_str(), outcome["status"].as_u64())) {
        Some((Some("answered"), Some(..400))) => Happened::Yes,
        Some((Some("answered" | "failed"), _)) => Happened::No,
        _ => Happened::Perhaps,
    }
}

/// How much is read of one token.
#[derive(Clone, Copy, Debug)]
struct Most {
    requests: usize,
    /// Of their records. Less is kept of each.
    bytes: usize,
}

const MOST: Most = Most {
    requests: 100_000,
    bytes: 512 << 20,
};
/// Requests after which the room is looked at.
const AT_ONCE: usize = 256;
/// Ids that one token can have had.
const MOST_IDS: usize = 64;
const EXAMPLES: &str = "Example: who gave which scopes to the token payments-cd in November?
  dtgate audit history payments-cd --since 2026-11-01 --until 2026-12-01 --absolute";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::index::{FILE, Index};

    #[test]
    fn of_very_many_requests_the_newest_are_read() {
        let journal = tempfile::tempdir().unwrap();
        let lines = (1..=600).map(|seq| {
            let record = json!({
                "seq": seq, "kind": "decision", "timestamp": "2026-11-24T10:00:00.000Z", "verdict": "allow",
                "decision_id": uuid::Uuid::from_u128(seq << 64).to_string(), "operation": "token.update",
                "input": {"token": {"id": "ci"}, "change": {"scopes": {"requested": ["logs.read"]}}},
                "grant": {"id": "g"}, "request": {"path": "/api"},
            });
            record.to_string() + "\n"
        });
        let text: String = lines.collect();
        std::fs::write(journal.path().join("00000000000000000001.jsonl"), text).unwrap();
        let mut index = Index::open(journal.path(), &journal.path().join(FILE)).unwrap();
        index.catch_up(|_| true).unwrap();
        let source = Source::Journal {
            index: Box::new(index),
            journal: journal.path().to_owned(),
        };
        let read = |requests, bytes| {
            let found = steps(&source, "ci", &[], Most { requests, bytes }).unwrap();
            let first = found.all.first().map(|step| step.key.seq);
            (found.all.len(), first, found.is_cut)
        };
        assert_eq!(read(1000, MOST.bytes), (600, Some(1), false));
        assert_eq!(read(10, MOST.bytes), (10, Some(591), true));
        assert_eq!(read(1000, 1), (AT_ONCE, Some(345), true));
        let found = steps(&source, "ci", &[], MOST).unwrap();
        let kept = &found.all[0].record;
        assert_eq!(kept["input"]["token"]["id"], "ci");
        assert_eq!(
            kept["input"]["change"]["scopes"]["requested"][0],
            "logs.read"
        );
        assert_eq!(kept["grant"]["id"], "g");
        assert_eq!(kept.get("request"), None);
    }
}
