//! What became of one token: every request about it, the oldest first, and which scopes it had after each.

mod scopes;
mod uncertain;
mod words;

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::ended::{Ended, How, ending};
use super::read::{NotShown, each, record};
use super::told::{Token, Who, asked};
use super::{Error, Known, Source, known_as};
use crate::audit::Ending;
use crate::audit::index::{Filter, Hidden, Pattern, Veil, hidden_of};
use crate::audit::masks::Masks;
use crate::audit::pseudonym::KnownKeys;
use crate::audit::tail::{Cells, Otherwise};
use crate::store::{Found as Decided, Key, Lines, Moment};
use crate::value::{Visible, counted};

use uncertain::{Around, Place, older};

pub use scopes::{After, Found, SETTLES, Seen, Tokens, What};
pub use uncertain::{Mark, Order, Uncertain, Why};
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
    ended: Option<String>,
    /// Masks have hidden in which environment it was.
    pub hides_environment: bool,
    /// It names the token by another id, and masks have hidden the public one.
    hides_public_id: bool,
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
    /// Where else changes of the token may be.
    pub uncertain: Uncertain,
    /// What the pseudonyms of its ids stand for.
    known: Known,
    /// There are more ids than were looked for.
    has_more_ids: bool,
}

/// As many as there is room for, the newest before all others.
pub fn steps(
    source: &Source,
    token: &str,
    environment: &[Pattern],
    most: Most,
) -> Result<Steps, Error> {
    let mut names = BTreeSet::from([token.to_owned()]);
    let mut read = Read::default();
    let mut ids = BTreeSet::new();
    let mut room = most.bytes;
    let keys = source.keys().map(KnownKeys::of).transpose()?;
    let mut known = Known::default();
    let is_all = loop {
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
        read.page(source, &filter, most.requests, &mut room)?;
        // What was denied gave no name to anything.
        let allowed = read.steps.iter().filter(|it| it.cells.verdict == "allow");
        ids.extend(allowed.flat_map(Step::ids).map(str::to_owned));
        let mut others = other_ids(&read.steps, |id| {
            let mut either = [id, known.id(id)].into_iter();
            either.any(|id| names.contains(id) || ids.contains(id))
        });
        ids.append(&mut others);
        // Rotation gives a new id: what has it is the same token.
        names.extend(ids.iter().take(MOST_IDS).cloned());
        read.is_cut |= room == 0 && names.len() > before;
        if names.len() == before || room == 0 {
            break names.len() == before;
        }
    };
    let has_more_ids = !ids.is_subset(&names);
    known.add(keys.as_ref(), &ids);
    let ids = known.ids(&ids);
    let mut steps = read.steps;
    // Of one journal, by the numbers: its records have no moments.
    steps.sort_by(|one, other| (one.at, &one.key).cmp(&(other.at, &other.key)));
    let around = Around {
        source,
        environment,
        names: &names,
        ids: &ids,
        steps: &steps,
        seen: &read.seen,
    };
    let uncertain = around.uncertain(read.gone, has_more_ids || !is_all)?;
    Ok(Steps {
        uncertain,
        known,
        ids,
        all: steps,
        not_shown: read.not_shown,
        is_cut: read.is_cut,
        has_more_ids,
    })
}

/// What was read of a token.
#[derive(Default)]
struct Read {
    steps: Vec<Step>,
    seen: BTreeSet<Key>,
    not_shown: NotShown,
    is_cut: bool,
    /// What is not among the steps, because it cannot be read, or there was no room for it.
    gone: Vec<Place>,
}

impl Read {
    /// What a filter finds, the newest first, as far as there is room.
    fn page(
        &mut self,
        source: &Source,
        filter: &Filter,
        most: usize,
        room: &mut usize,
    ) -> Result<(), Error> {
        let page = source.find(filter, None, most)?;
        if let Some(oldest) = page.decisions.last().filter(|_| page.more) {
            self.is_cut = true;
            self.gone.push(older(oldest));
        }
        let mut found = page.decisions;
        found.retain(|it| self.seen.insert(it.key()));
        for some in found.chunks(AT_ONCE) {
            if *room == 0 {
                self.is_cut = true;
                self.gone.extend(some.first().map(older));
                break;
            }
            let torn = each(source, some, |decided, lines| {
                let Some(step) = Step::read(decided, lines) else {
                    self.gone.push(Place::of(decided, Why::Gone));
                    return Ok::<_, Error>(false);
                };
                *room = room.saturating_sub(bytes(lines));
                self.steps.push(step);
                Ok(true)
            })?;
            self.not_shown.extend(torn);
        }
        Ok(())
    }
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

impl Steps {
    /// To follow its tokens from step to step.
    pub fn tokens(&self) -> Tokens<'_> {
        Tokens::new(&self.uncertain, &self.known)
    }

    /// What to tell whoever asked: which requests are not among them.
    pub fn missing(&self) -> Vec<String> {
        let cut = self.is_cut.then(|| {
            let read = counted(self.all.len(), "request");
            format!(
                "there are more than the {read} of this answer, most of them older: scopes count from there"
            )
        });
        let ids = self.has_more_ids.then(|| {
            let known = counted(self.ids.len(), "id");
            format!(
                "{known} belong to it: by {MOST_IDS} of them requests were looked for that have no name"
            )
        });
        let in_part = self.uncertain.in_part().map(|why| {
            let id = match why {
                Why::OnlyPseudonym => "an id of it is known by a pseudonym only",
                _ => "masks have hidden the public id of it",
            };
            format!(
                "{id}: changes under the id itself are not among these, and what is said to be changed elsewhere, or carried out, \
                 may be of them. Ask by that id to see them"
            )
        });
        let mut all = vec![self.not_shown.said(), cut, ids];
        all.extend(HIDING.map(|(why, says, then)| {
            let count = self.uncertain.count(why);
            let changes = counted(count, "change");
            (count > 0).then(|| format!("of {changes} {says}: {then}"))
        }));
        all.push(in_part);
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
        let masks = Masks::of(&record);
        let hidden = if masks.is_empty() {
            Vec::new()
        } else {
            hidden_of(line)
        };
        let hides = |what| hidden.contains(&(what, Veil::Mask));
        Some(Self {
            key: found.key(),
            at: found.at,
            who: Who::of(&record),
            token: Token::of(&record, outcome.as_ref()),
            hides_environment: hides(Hidden::Environment),
            hides_public_id: hides(Hidden::ByOtherId),
            masks,
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
        let time: Timestamp = self.cells.timestamp.parse().ok()?;
        Some(time.as_millisecond())
    }

    /// Nobody answered, and somebody found out that it was done.
    pub fn is_settled(&self) -> bool {
        self.happened == Happened::Yes && self.answer.how == How::Otherwise
    }

    /// When nothing more was heard of it; `None`: nobody knows.
    pub fn ended(&self) -> Option<Timestamp> {
        let ended = self.ended.as_ref().unwrap_or(&self.cells.timestamp);
        ended.parse().ok()
    }

    /// Where it stands.
    pub fn mark(&self) -> Mark {
        Mark {
            order: (self.at, self.key.clone()),
            ms: self.millis(),
        }
    }

    /// The record as one that makes others uncertain.
    fn place(&self, why: Why) -> Place {
        let Mark { order, ms } = self.mark();
        Place {
            first: Some(order.clone()),
            last: order,
            until: ms,
            why,
        }
    }

    /// It may come into force, and nobody knows with which scopes.
    fn hides_doubt(&self) -> bool {
        self.happened == Happened::Perhaps && self.hides_scopes()
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

/// What changes hide that may be of the token, and what follows.
const HIDING: [(Why, &str, &str); 4] = [
    (
        Why::Masked,
        "since then masks have hidden which token it was about",
        UNSURE,
    ),
    (
        Why::HalfMasked,
        "since then masks have hidden the other id of the token",
        UNSURE,
    ),
    (
        Why::Named,
        "since then a pseudonym stands for an id of the token, and a key of pseudonyms is missing",
        "it may be this one. Put the key back from a copy",
    ),
    (
        Why::Environment,
        "of this token masks have hidden in which environment it was",
        "it counts for none, and may be of any. Leave /input/environment out of the masks, and later ones have it",
    ),
];
const UNSURE: &str =
    "it may be this one, and what is said to be changed elsewhere, or carried out, may be of it";

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
        let mut tokens = found.tokens();
        for step in &found.all {
            tokens.see(step);
        }
        assert_eq!(tokens.others(), 3);
    }
}
