//! What a record is looked for by. Every index of records (that of `SQLite`, that of the store) means the same by it,
//! because it is said here once.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::fill::signed;
use super::named::{hidden, in_path};
use super::row::{Caller, Objects, Row, Texts, Violation};
use super::tables::{Kind, List};
use super::words;
use crate::audit::Ending;
use crate::audit::masks::Masks;

pub use super::claims::{claims_asked, words_of};
pub use super::texts::within;
pub use super::words::{GRANTED, mark};

/// What is known of one record.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    pub seq: u64,
    pub kind: String,
    /// Milliseconds since 1970; `None`: it has no time.
    pub at: Option<i64>,
    pub about: About,
}

/// What a record tells.
#[derive(Clone, Debug, PartialEq)]
pub enum About {
    Decision(Box<Decision>),
    Outcome(Outcome),
    Settled(Settled),
    Challenged(Challenged),
    /// Anything else, also what is about a decision that did not come before it.
    Other,
}

/// By what a decision is found. No text is empty, none is longer than [`within`] leaves it, none is in a list twice, and
/// none has a null character, which not every store takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    pub id: Option<String>,
    pub is_allowed: bool,
    pub operation: String,
    pub environment: Option<String>,
    pub caller: Option<String>,
    pub client: Option<String>,
    pub revision: Option<String>,
    pub is_no_op: bool,
    /// Subject, SPIFFE id, fingerprint.
    pub certificate: Vec<String>,
    /// Issuer and subject.
    pub claim: Vec<String>,
    pub team: Vec<String>,
    /// Ids and names of the token that it is about.
    pub token: Vec<String>,
    pub scope: Vec<String>,
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub policy: Vec<String>,
    pub code: Vec<String>,
    pub words: Vec<String>,
}

/// How a decision ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub of: u64,
    pub ended: &'static str,
    /// The credential that it made.
    pub made: Option<String>,
    /// By which the decision is found, too.
    pub words: Vec<String>,
}

/// What was found out about a decision in doubt.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    pub of: u64,
    pub found: String,
}

/// What a challenger would have done otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Challenged {
    pub of: u64,
    pub differs: &'static str,
}

/// Of which form the facts are that [`of`] tells: another number wherever something else is told of a record. Who keeps
/// facts knows by it which of them would be told otherwise today.
pub const FORM: u32 = 1;

/// Of which form the facts were that the build told which wrote a `start` record; 0: it did not say. `None`: it is no such
/// record.
pub fn form_of_start(line: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Said {
        kind: String,
        #[serde(default)]
        form: u64,
    }
    let said: Said = serde_json::from_slice(line).ok()?;
    (said.kind == "start").then_some(said.form)
}

/// What every build has told of a decision, at least. What comes between this and what is told today, some build has told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Least {
    pub token: Vec<String>,
    pub words: Vec<String>,
    /// It was said to change nothing, by the record's own word alone.
    pub is_no_op: bool,
}

/// What is told of it at least.
pub fn least(line: &[u8]) -> Least {
    let Some(row) = Row::read(line) else {
        return Least::default();
    };
    let (certificate, claim) = (certificate(&row), claim(&row));
    let [id, current, before, requested, ..] = names(&row, &Masks::default());
    let names = [&*id, &*current, &*before, &*requested];
    let mut text = words::Text::default();
    told_first(&row, &names, &certificate, &claim, &mut text);
    let differs = row.input.0.change.0.differs.map(RawValue::get);
    Least {
        token: texts(names),
        words: single(text),
        is_no_op: differs.is_some_and(|list| list.trim_ascii() == "[]"),
    }
}

/// The facts of a line; `None`: it is no record that could be looked for.
pub fn of(line: &[u8]) -> Option<Facts> {
    let row = Row::read(line)?;
    let seq = row.seq.0?;
    let about = match &*row.kind.0 {
        "decision" => About::Decision(Box::new(decision(&row))),
        "outcome" => about_earlier(&row, seq).map_or(About::Other, |of| {
            About::Outcome(Outcome {
                of,
                ended: ended(&row),
                made: kept(&row.credential.0.id.0),
                words: single(told(&row)),
            })
        }),
        "settled" => about_earlier(&row, seq).map_or(About::Other, |of| {
            About::Settled(Settled {
                of,
                found: text(&row.found.0),
            })
        }),
        "challenger" => about_earlier(&row, seq).map_or(About::Other, |of| {
            About::Challenged(Challenged {
                of,
                differs: differs(&row),
            })
        }),
        _ => About::Other,
    };
    Some(Facts {
        seq,
        kind: text(&row.kind.0),
        at: row.millis(),
        about,
    })
}

/// The words of a question: each has to be there. `true`: it is only how a word begins.
pub fn asked(text: &str) -> Vec<(String, bool)> {
    let terms = words::terms(text).into_iter();
    terms.map(|(word, open)| (cut(&word), open)).collect()
}

fn decision(row: &Row<'_>) -> Decision {
    let (told, seen) = callers(row);
    let (certificate, claim) = (certificate(row), claim(row));
    let masks = row.masks();
    let names = names(row, &masks);
    let names = names.each_ref().map(|name| &**name);
    let scopes = &row.input.0.change.0.scopes.0;
    let objections = members(List::Objections, row.result.0.violations);
    let (policy, code): (Vec<_>, Vec<_>) = objections
        .into_iter()
        .partition(|(kind, _)| *kind == Kind::Policy);
    let list = |list, raw| texts(members(list, raw).iter().map(|(_, text)| text));
    Decision {
        id: kept(&row.decision_id.0),
        is_allowed: is_allowed(row),
        operation: text(operation(row)),
        environment: kept(environment(row)),
        caller: kept(caller(row)),
        client: kept(&row.requested_by.0),
        revision: kept(&row.bundles.0.policies.0.revision.0),
        is_no_op: row.is_no_op(&masks),
        certificate: texts(certificate),
        claim: texts(claim),
        team: list(List::Teams, teams(told, seen)),
        token: texts(names),
        scope: list(List::Scopes, scopes.requested),
        added: list(List::Scopes, scopes.added),
        removed: list(List::Scopes, scopes.removed),
        policy: texts(policy.iter().map(|(_, text)| text)),
        code: texts(code.iter().map(|(_, text)| text)),
        words: single(searched(row, &masks, &names, &certificate, &claim)),
    }
}

/// The words of a text, each once.
fn single(text: words::Text) -> Vec<String> {
    let text = text.done().to_ascii_lowercase();
    let words = words::words(&text).filter(|it| *it != words::CUT);
    unique(words.map(cut))
}

/// What a text is kept as; an empty one is not.
fn kept(it: &str) -> Option<String> {
    (!it.is_empty()).then(|| text(it))
}

fn text(text: &str) -> String {
    within(text).replace('\0', "\u{fffd}")
}

fn texts(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
    unique(texts.into_iter().filter_map(|text| kept(text.as_ref())))
}

fn unique(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    texts.filter(|text| seen.insert(text.clone())).collect()
}

/// A word as it is kept.
fn cut(word: &str) -> String {
    within(word).into_owned()
}

/// The caller as the record tells it, and as policies saw it.
pub(super) fn callers<'a, 'b>(row: &'b Row<'a>) -> (&'b Caller<'a>, &'b Caller<'a>) {
    (&row.caller.0, &row.input.0.caller.0)
}

/// Subject, SPIFFE id and fingerprint.
pub(super) fn certificate<'b>(row: &'b Row<'_>) -> [&'b str; 3] {
    let (told, seen) = callers(row);
    let (told, seen) = (&told.certificate.0, &seen.certificate.0);
    [
        Row::either(&told.subject, &seen.subject),
        Row::either(&told.spiffe_id, &seen.spiffe_id),
        Row::either(&told.fingerprint, &seen.fingerprint),
    ]
}

/// Issuer and subject.
pub(super) fn claim<'b>(row: &'b Row<'_>) -> [&'b str; 2] {
    let (told, seen) = callers(row);
    let (told, seen) = (&told.jwt.0, &seen.jwt.0);
    [
        Row::either(&told.issuer, &seen.issuer),
        Row::either(&told.subject, &seen.subject),
    ]
}

/// Its public id.
pub(super) fn caller<'b>(row: &'b Row<'_>) -> &'b str {
    let (told, seen) = callers(row);
    Row::either(&told.id, &seen.token.0.id)
}

pub(super) fn environment<'b>(row: &'b Row<'_>) -> &'b str {
    Row::either(&row.input.0.environment.0.name, &row.environment)
}

pub(super) fn is_allowed(row: &Row<'_>) -> bool {
    row.verdict.0 == "allow"
}

/// How a request ended: what nobody knows of is unknown, and an answer that does not tell is unclear.
pub(super) fn ended(row: &Row<'_>) -> &'static str {
    match Ending::of(&row.outcome.0, row.status.0) {
        Ending::Done | Ending::Refused => "answered",
        Ending::NotSent => "failed",
        Ending::Unclear => "unclear",
        Ending::Unknown => "unknown",
    }
}

/// In what a challenger differs from the decision.
pub(super) fn differs(row: &Row<'_>) -> &'static str {
    match &*row.differs.0 {
        "would_deny" => "would_deny",
        "would_allow" => "would_allow",
        "failed" => "failed",
        "timed_out" => "timed_out",
        _ => "violations",
    }
}

/// The decision that a record is about. What is about a later record is about none.
pub(super) fn about_earlier(row: &Row<'_>, seq: u64) -> Option<u64> {
    row.decision_seq.0.filter(|of| signed(*of) < signed(seq))
}

/// What a decision is found by, besides the members that have a column of their own.
pub(super) fn names<'a>(row: &'a Row<'_>, masks: &Masks) -> [Cow<'a, str>; 6] {
    let (token, change) = (&row.input.0.token.0, &row.input.0.change.0);
    [
        Cow::Borrowed(&token.id.0),
        Cow::Borrowed(&token.current.0.name.0),
        Cow::Borrowed(&change.name.0.current.0),
        Cow::Borrowed(&change.name.0.requested.0),
        Cow::Borrowed(&token.current.0.id.0),
        in_path(row, masks).unwrap_or_default(),
    ]
}

/// Its name; that of the input, where the record itself has none.
pub(super) fn operation<'a>(row: &'a Row<'_>) -> &'a str {
    if row.operation.0.is_empty() {
        "unknown"
    } else {
        &row.operation.0
    }
}

pub(super) fn teams<'a>(told: &Caller<'a>, seen: &Caller<'a>) -> Option<&'a RawValue> {
    told.teams.or(seen.teams)
}

/// What a list is found by.
pub(super) fn members(list: List, raw: Option<&RawValue>) -> Vec<(Kind, String)> {
    let Some(raw) = raw.map(RawValue::get).filter(|raw| *raw != "[]") else {
        return Vec::new();
    };
    if list == List::Objections {
        let found: Objects<Violation<'_>> = serde_json::from_str(raw).unwrap_or_default();
        let members = found.0.iter().flat_map(|violation| {
            [
                (Kind::Policy, violation.policy.0.to_string()),
                (Kind::Code, violation.code.0.to_string()),
            ]
        });
        return members.filter(|(_, text)| !text.is_empty()).collect();
    }
    let kind = match list {
        List::Teams => Kind::Team,
        _ => Kind::Scope,
    };
    let texts: Texts<'_> = serde_json::from_str(raw).unwrap_or_default();
    let texts = texts.0.into_iter();
    texts.map(|text| (kind, text.into_owned())).collect()
}

/// What the words of a decision begin with: so much of them has been told since the first build.
fn told_first(
    row: &Row<'_>,
    names: &[&str],
    certificate: &[&str],
    claim: &[&str],
    text: &mut words::Text,
) {
    for part in names.iter().chain(certificate).chain(claim) {
        text.add(part);
    }
    text.add(&row.error.0);
    text.add(&row.request.0.path.0);
    let violations = row.result.0.violations.map(RawValue::get);
    if let Some(raw) = violations.filter(|raw| *raw != "[]") {
        let found: Objects<Violation<'_>> = serde_json::from_str(raw).unwrap_or_default();
        for violation in &found.0 {
            text.add(&violation.message.0);
            text.add(&violation.exception.0.ticket.0);
        }
    }
}

/// The words of a decision.
pub(super) fn searched(
    row: &Row<'_>,
    masks: &Masks,
    names: &[&str],
    certificate: &[&str],
    claim: &[&str],
) -> words::Text {
    let mut text = words::Text::default();
    told_first(row, names, certificate, claim, &mut text);
    super::claims::add(row, &mut text);
    for hidden in hidden(row, masks) {
        text.mark(&mark(hidden));
    }
    let grant = &row.grant.0;
    if !grant.id.0.is_empty() {
        text.mark(GRANTED);
        for part in [
            &grant.id,
            &grant.ticket,
            &grant.requested_by,
            &grant.approved_by,
            &grant.reason,
        ] {
            text.add(&part.0);
        }
    }
    text
}

/// The words that an outcome adds to those of its decision.
pub(super) fn told(outcome: &Row<'_>) -> words::Text {
    let mut text = words::Text::default();
    text.add(&outcome.detail.0);
    text
}

#[cfg(test)]
mod tests;
