//! What became of one token: every request about it, the oldest first, and which scopes it had after each.

mod scopes;
mod words;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::ended::{Ended, ending};
use super::read::{NotShown, each, record};
use super::told::{Token, Who, asked};
use super::{Error, Known, Source, known_as};
use crate::audit::Ending;
use crate::audit::index::{Filter, Hidden, Pattern, Veil, is_public};
use crate::audit::masks::Masks;
use crate::audit::pseudonym::{KnownKeys, is_pseudonym};
use crate::audit::tail::{Cells, Otherwise};
use crate::store::{Found as Decided, Key, Lines, Moment};
use crate::value::{Visible, counted};

pub use scopes::{After, Found, SETTLES, Seen, Tokens, What};
pub use words::{list, said};

/// One change, or what was asked.
#[derive(Debug)]
pub struct Step {
    pub key: Key,
    /// Among those of several gates.
    pub at: Moment,
    pub cells: Cells,
    pub who: Who,
    pub token: Token,
    /// What else is told of it: a token may have very many, and some are large.
    pub record: Value,
    masks: Masks,
    pub answer: Ended,
    /// What a challenger would have decided otherwise.
    pub otherwise: Option<Otherwise>,
    /// It came about, as far as anybody knows.
    pub happened: Happened,
    pub no_op: bool,
    /// When its outcome was written.
    pub ended: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    Yes,
    No,
    Perhaps,
}

/// Everything about a token.
#[derive(Debug)]
pub struct Steps {
    /// Those that it had.
    pub ids: BTreeSet<String>,
    /// The oldest first.
    pub all: Vec<Step>,
    /// Some that are indexed cannot be read.
    pub not_shown: NotShown,
    /// There are older ones.
    pub is_cut: bool,
    /// Changes since the first of them of which masks have hidden whose they are: they may be of this token.
    pub hidden: Vec<Key>,
    /// The same of those of which one id of the token is there, and masks have hidden the other one.
    pub half_hidden: Vec<Key>,
    /// What the pseudonyms of its ids stand for.
    pub known: Known,
}

/// As many as there is room for, the newest before all others.
pub fn steps(
    source: &Source,
    token: &str,
    environment: &[Pattern],
    most: Most,
) -> Result<Steps, Error> {
    let mut names = BTreeSet::from([token.to_owned()]);
    let mut seen = BTreeSet::new();
    let mut ids = BTreeSet::new();
    let mut steps = Vec::new();
    let (mut not_shown, mut is_cut) = (NotShown::default(), false);
    let mut room = most.bytes;
    let keys = source.keys().map(KnownKeys::of).transpose()?;
    let mut known = Known::default();
    loop {
        known.add(keys.as_ref(), &names);
        let filter = Filter {
            token: names.iter().cloned().map(Pattern::Exactly).collect(),
            environment: environment.to_vec(),
            ..Filter::default()
        };
        let filter = match source.keys() {
            Some(journal) => known_as(filter, journal)?,
            None => filter,
        };
        let before = names.len();
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
                    return Ok::<_, Error>(false);
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
        let mut others = other_ids(&steps, |id| {
            let mut either = [id, known.id(id)].into_iter();
            either.any(|id| names.contains(id) || ids.contains(id))
        });
        ids.append(&mut others);
        // Rotation gives a new id: what has it is the same token.
        names.extend(ids.iter().take(MOST_IDS).cloned());
        is_cut |= room == 0 && names.len() > before;
        if names.len() == before || room == 0 {
            break;
        }
    }
    known.add(keys.as_ref(), &ids);
    let ids = known.ids(&ids);
    // Of one journal, by the numbers: its records have no moments.
    steps.sort_by(|one, other| (one.at, &one.key).cmp(&(other.at, &other.key)));
    let since = steps.first().and_then(Step::millis);
    let hidden = |what| hidden(source, since, environment, (what, Veil::Mask));
    let mut half_hidden = Vec::new();
    for what in half_hidden_from(&ids) {
        half_hidden.extend(hidden(what)?);
    }
    // What is one of its steps is known to be of it.
    half_hidden.retain(|key| !seen.contains(key));
    Ok(Steps {
        hidden: hidden(Hidden::Token)?,
        half_hidden,
        known,
        ids,
        all: steps,
        not_shown,
        is_cut,
    })
}

/// By which other ids Dynatrace knows tokens that are looked for: the lookup of a denied request tells that, too.
fn other_ids(steps: &[Step], is_known: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let denied = steps.iter().filter(|it| it.cells.verdict != "allow");
    let tokens = denied.map(|it| &it.token);
    let tokens = tokens.filter(|it| !it.also.is_empty());
    let others = tokens.flat_map(|it| {
        let also = is_known(&it.id).then_some(&it.also);
        also.into_iter().chain(is_known(&it.also).then_some(&it.id))
    });
    others.cloned().collect()
}

/// What may be hidden of a change of a token with these ids, so that none of them is in its record: the other id, where
/// only one is known.
pub fn half_hidden_from(ids: &BTreeSet<String>) -> Vec<Hidden> {
    let (mut public, mut others) = (false, false);
    for id in ids {
        public |= is_public(id);
        others |= !is_public(id);
    }
    match (public, others) {
        (true, false) => vec![Hidden::ByOtherId],
        (false, true) => vec![Hidden::ByPublicId],
        // No id is known that it could have besides; or none at all.
        (true, true) | (false, false) => Vec::new(),
    }
}

/// Changes that may be of any token: those in the environments that are asked for, and those of which masks have hidden in
/// which they were.
pub fn hidden(
    source: &Source,
    since: Option<i64>,
    environment: &[Pattern],
    what: (Hidden, Veil),
) -> Result<Vec<Key>, Error> {
    let in_these = Filter {
        since,
        allowed: Some(true),
        environment: environment.to_vec(),
        hidden: vec![what],
        ..Filter::default()
    };
    let mut asked = vec![in_these.clone()];
    if !environment.is_empty() {
        let mut in_any = in_these;
        in_any.environment.clear();
        in_any.hidden.push((Hidden::Environment, Veil::Mask));
        asked.push(in_any);
    }
    let mut keys = BTreeSet::new();
    for filter in asked {
        let page = source.find(&filter, None, MOST.requests)?;
        keys.extend(page.decisions.iter().map(Decided::key));
    }
    Ok(keys.into_iter().collect())
}

impl Steps {
    /// An id of it is known by its pseudonym only: what is recorded under the id itself is not among its steps.
    pub fn is_in_part(&self) -> bool {
        self.ids.iter().any(|id| is_pseudonym(id))
    }

    /// What to tell whoever asked: which requests are not among them.
    pub fn missing(&self) -> Vec<String> {
        let cut = self.is_cut.then(|| {
            let read = counted(self.all.len(), "request");
            format!(
                "there are more than the {read} of this answer, most of them older: scopes count from there"
            )
        });
        let ids = (self.ids.len() > MOST_IDS).then(|| {
            let known = counted(self.ids.len(), "id");
            format!(
                "{known} belong to it: by {MOST_IDS} of them requests were looked for that have no name"
            )
        });
        let hidden = (!self.hidden.is_empty()).then(|| {
            let changes = counted(self.hidden.len(), "change");
            format!(
                "of {changes} since then masks have hidden which token it was about: it may be this one, and what is said to be \
                 changed elsewhere may be of them"
            )
        });
        let half_hidden = (!self.half_hidden.is_empty()).then(|| {
            let changes = counted(self.half_hidden.len(), "change");
            format!(
                "of {changes} since then masks have hidden the other id of the token: it may be this one, and what is said to \
                 be changed elsewhere may be of them"
            )
        });
        let in_part = self.is_in_part().then(|| {
            "an id of it is known by a pseudonym only: changes under the id itself are not among these, and what is said to be \
             changed elsewhere may be of them"
                .to_owned()
        });
        let all = [
            self.not_shown.said(),
            cut,
            ids,
            hidden,
            half_hidden,
            in_part,
        ];
        all.into_iter().flatten().collect()
    }
}

impl Step {
    fn read(found: &Decided, lines: &Lines) -> Option<Self> {
        let line = lines.decision.as_ref()?;
        let cells = Cells::of(line)?;
        let outcome = record(lines.outcome.as_ref());
        let settled = record(lines.settled.as_ref());
        let answer = Ended::of(&cells, outcome.as_ref(), settled.as_ref());
        let otherwise = record(lines.challenger.as_ref()).map(|it| Otherwise::of(&it));
        let mut record: Value = serde_json::from_slice(line).unwrap_or_default();
        Some(Self {
            key: found.key(),
            at: found.at,
            who: Who::of(&record),
            token: Token::of(&record, outcome.as_ref()),
            masks: Masks::of(&record),
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

    /// When it was written, in milliseconds since 1970.
    fn millis(&self) -> Option<i64> {
        let time: jiff::Timestamp = self.cells.timestamp.parse().ok()?;
        Some(time.as_millisecond())
    }

    fn scopes(&self, pointer: &str) -> Option<Vec<String>> {
        let list = self.record.pointer(pointer)?.as_array()?;
        let texts = list.iter().filter_map(Value::as_str);
        Some(texts.map(|text| Visible(text).to_string()).collect())
    }

    /// The ids that the token had and got.
    fn ids(&self) -> impl Iterator<Item = &str> {
        self.token.ids()
    }

    /// The scopes that the token had when it was looked up; `None`: nobody looked, or they are masked.
    fn scopes_before(&self) -> Option<Vec<String>> {
        let places = [
            ("input.token.current.scopes", "/input/token/current/scopes"),
            (
                "input.change.scopes.current",
                "/input/change/scopes/current",
            ),
        ];
        let mut shown = places
            .into_iter()
            .filter(|(member, _)| !self.masks.hide(member));
        shown.find_map(|(_, place)| self.scopes(place))
    }

    /// The scopes that it would give the token; `None`: it says nothing of them.
    fn scopes_asked(&self) -> Option<Vec<String>> {
        if self.cells.operation.ends_with(".delete") {
            return Some(Vec::new());
        }
        self.scopes("/input/change/scopes/requested")
    }

    /// Masks have hidden whether it would give the token other scopes, or which.
    fn hides_scopes(&self) -> bool {
        self.masks.hide("input.change.scopes") && !self.cells.operation.ends_with(".delete")
    }

    /// Whether it would have made a token, and did not.
    fn is_no_creation(&self) -> bool {
        self.cells.operation.ends_with(".create") && self.happened == Happened::No
    }

    /// What was done, in a few words.
    pub fn what(&self) -> String {
        let is_allowed = self.cells.verdict == "allow";
        let word = match (self.cells.operation.rsplit('.').next(), is_allowed) {
            (Some("create"), true) => "created",
            (Some("delete"), true) => "removed",
            (Some("create"), false) => "asked to create",
            (Some("delete"), false) => "asked to remove",
            (Some("update"), _) => "",
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
            let nothing = if self.no_op {
                "changes nothing"
            } else {
                "no change that the record tells"
            };
            parts.push(nothing.to_owned());
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
    pub fn about(&self) -> String {
        self.token.any_id().to_owned()
    }

    pub fn revision(&self) -> String {
        let revision = self.record.pointer("/bundles/policies/revision");
        let revision = revision.and_then(Value::as_str).unwrap_or_default();
        Visible(revision).to_string()
    }

    /// Under which policies, and what they had to say.
    pub fn rules(&self) -> String {
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
            "token": {"current": {"scopes": taken("/input/token/current/scopes")}},
            "change": {"scopes": taken("/input/change/scopes")},
        },
        "bundles": {"policies": {"revision": taken("/bundles/policies/revision")}},
        "grant": taken("/grant"),
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

fn happened(cells: &Cells, outcome: Option<&Value>, settled: Option<&Value>) -> Happened {
    if cells.verdict != "allow" {
        return Happened::No;
    }
    match settled.and_then(|record| record["found"].as_str()) {
        Some("done") => return Happened::Yes,
        Some("not_done") => return Happened::No,
        _ => {}
    }
    match outcome.map(ending) {
        Some(Ending::Done) => Happened::Yes,
        Some(Ending::Refused | Ending::NotSent) => Happened::No,
        Some(Ending::Unclear | Ending::Unknown) | None => Happened::Perhaps,
    }
}

/// How much is read of one token.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    pub requests: usize,
    /// Of their records. Less is kept of each.
    pub bytes: usize,
}

pub const MOST: Most = Most {
    requests: 100_000,
    bytes: 512 << 20,
};
/// Requests after which the room is looked at.
const AT_ONCE: usize = 256;
/// Ids that one token can have had.
const MOST_IDS: usize = 64;
#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::audit::index::{FILE, Index};

    /// An index of a journal of these lines.
    fn source_of(journal: &Path, lines: String) -> Source {
        std::fs::write(journal.join("00000000000000000001.jsonl"), lines).unwrap();
        let mut index = Index::open(journal, &journal.join(FILE)).unwrap();
        index.catch_up(|_| true).unwrap();
        Source::Journal {
            index: Box::new(index),
            journal: journal.to_owned(),
        }
    }

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
        let source = source_of(journal.path(), lines.collect());
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
        assert_eq!(found.all[0].about(), "ci");
        assert_eq!(
            kept["input"]["change"]["scopes"]["requested"][0],
            "logs.read"
        );
        assert_eq!(kept["grant"]["id"], "g");
        assert_eq!(kept.get("request"), None);
    }

    /// Each changes what the one before did, nobody looked the token up, and nobody knows what became of any.
    #[test]
    fn what_very_many_changes_in_doubt_may_have_left_is_kept_once() {
        let journal = tempfile::tempdir().unwrap();
        let lines = (1..=400).map(|seq| {
            let scopes = ["a", "b", "c"].get(seq % 3).unwrap();
            let record = json!({
                "seq": seq, "kind": "decision", "timestamp": "2026-11-24T10:00:00.000Z", "verdict": "allow",
                "decision_id": uuid::Uuid::from_u128((seq as u128) << 64).to_string(), "operation": "token.update",
                "input": {"token": {"id": "ci"}, "change": {"scopes": {"requested": [scopes]}}},
            });
            record.to_string() + "\n"
        });
        let source = source_of(journal.path(), lines.collect());
        let found = steps(&source, "ci", &[], MOST).unwrap();
        let mut tokens = Tokens::new(&crate::audit::index::Gaps::default(), found.known);
        for step in &found.all {
            tokens.see(step);
        }
        assert_eq!(tokens.others(), 3);
    }
}
