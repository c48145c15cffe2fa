//! One record, judged again and compared with what was decided then.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Options;
use super::record::{self, Read, Record};
use super::tally::{Change, Found, PERHAPS, Report};
use crate::audit::index::token_of;
use crate::audit::masks::Masks;
use crate::audit::tail::{caller, name};
use crate::dynatrace::redact::Redactor;
use crate::policy::{
    Effect, Input, POLICY_ERROR, Policy, Verdict, Violation, input, members_of_mask,
};

/// The policies that judge now, with what they read of what a journal may lack.
pub(super) struct Candidate<'a> {
    policy: &'a Policy,
    all: BTreeSet<&'a str>,
    of_envoy: BTreeSet<&'a str>,
    of_lookup: BTreeSet<&'a str>,
    of_recent: BTreeSet<&'a str>,
    redactor: Redactor,
    later: Option<Later<'a>>,
}

/// Modes and exceptions begin and end after a record was written: what counts is what becomes of its like from now on.
struct Later<'a> {
    now: Timestamp,
    /// The policies that are in force: what they themselves begin or end to do is no change.
    in_force: Option<&'a Policy>,
}

/// Policies that cannot judge a record, each with the first reason.
type Silent<'a> = BTreeMap<&'a str, String>;

/// How those who asked are called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Asker {
    /// By what the record says of them.
    AsTold,
    /// By their address: whatever else they have shown, they may have invented it, or it is another one each time.
    ByAddress,
}

impl<'a> Candidate<'a> {
    pub(super) fn new(policy: &'a Policy) -> Self {
        let all: BTreeSet<&str> = policy.names().collect();
        let readers = |members: &[&str]| {
            let readers = members.iter().flat_map(|member| {
                let steps: Vec<&str> = member.split('.').collect();
                policy.readers(&steps, None)
            });
            readers.filter(|policy| all.contains(policy)).collect()
        };
        Self {
            policy,
            of_envoy: readers(&input::OF_ENVOY),
            of_lookup: readers(&input::LOOKED_UP_FOR),
            of_recent: readers(&[input::RECENT]),
            all,
            redactor: Redactor::default(),
            later: None,
        }
    }

    /// Compares also what both sets make of a request now, and whenever one of their modes or exceptions begins or ends.
    pub(super) fn also_from(self, now: Timestamp, in_force: Option<&'a Policy>) -> Self {
        Self {
            later: Some(Later { now, in_force }),
            ..self
        }
    }

    pub(super) fn policy(&self) -> &Policy {
        self.policy
    }

    /// Judges a line, if it is a decision that is wanted, and adds what was found.
    pub(super) fn judge(&self, line: &[u8], options: &Options, report: &mut Report) {
        self.judge_of(Asker::AsTold, line, options, report);
    }

    /// The same of one whose asker has shown more, or less, than the line says.
    pub(super) fn judge_of(&self, by: Asker, line: &[u8], options: &Options, report: &mut Report) {
        match record::read(line) {
            Read::Decision(record) => self.judge_decision(by, &record, line, options, report),
            Read::Unread(reason, value) => {
                // What is masked keeps those from judging who read it, and nobody else.
                if let Some(whole) = record::with_defaults(&value)
                    && let Read::Decision(record) = record::read(&whole)
                {
                    return self.judge_decision(by, &record, line, options, report);
                }
                let text = |member: &str| {
                    let member = value.get(member).and_then(Value::as_str);
                    member.unwrap_or_default()
                };
                let is_masked = ["erased", "masked", "pseudonyms"]
                    .iter()
                    .any(|list| value.get(list).is_some());
                // Whether a condition holds of it nobody can say.
                if options.wanted.has_time(text("timestamp")) {
                    let seq = value.get("seq").and_then(Value::as_u64).unwrap_or_default();
                    report.decision(seq, text("timestamp"));
                    let shape = if is_masked { MASKED_SHAPE } else { SHAPE };
                    report.not_replayed(format!("{shape}: {reason}"));
                }
            }
            Read::Damaged => report.damaged += 1,
            Read::Start => report.key(line),
            Read::Other => {}
        }
    }

    fn judge_decision(
        &self,
        by: Asker,
        record: &Record<'_>,
        line: &[u8],
        options: &Options,
        report: &mut Report,
    ) {
        let wanted = &options.wanted;
        if !wanted.has_time(&record.timestamp) {
            return;
        }
        wanted.look(record, &mut report.met);
        match wanted.has(record, line) {
            Some(true) => self.compare(by, record, line, options, report),
            Some(false) => {}
            None => {
                report.decision(record.seq, &record.timestamp);
                report.not_replayed(PERHAPS.to_owned());
            }
        }
    }

    fn compare(
        &self,
        by: Asker,
        record: &Record<'_>,
        line: &[u8],
        options: &Options,
        report: &mut Report,
    ) {
        report.decision(record.seq, &record.timestamp);
        let (Some(input), Some(verdict)) = (&record.input, record.verdict) else {
            let reason = if record.masks().is_within("input") {
                ERASED
            } else {
                REFUSED
            };
            return report.not_replayed(reason.to_owned());
        };
        let silent = self.silent(record, input, line);
        if !silent.is_empty() && self.all.iter().all(|policy| silent.contains_key(policy)) {
            let reasons: BTreeSet<&String> = silent.values().collect();
            let reason = reasons.into_iter().next().cloned().unwrap_or_default();
            return report.not_replayed(reason);
        }
        if !silent.is_empty() && record.known() == Known::Verdict {
            return report.not_replayed(MASKED_VIOLATIONS.to_owned());
        }
        for (policy, reason) in &silent {
            report.not_by((*policy).to_owned(), reason.clone());
        }
        report.replayed += 1;
        if record.bundles.policies.revision != self.policy.revision() {
            report.of_other_policies += 1;
        }
        let decision = self.policy.replay(input);
        let is_heard = |violation: &&Violation| !silent.contains_key(violation.policy.as_str());
        let before = record.result.violations.iter().filter(is_heard);
        let before: Vec<&Violation> = before.collect();
        let was = match record.grant {
            _ if !silent.is_empty() => verdict_of(&before),
            None => verdict,
            // What a person let pass was denied by the policies.
            Some(_) => {
                report.granted += 1;
                Verdict::Deny
            }
        };
        let known = record.known();
        if decision.violations.is_empty() && before.is_empty() && was == Verdict::Allow {
            report.same += 1;
            return;
        }
        // As the gate writes them.
        let heard = decision.violations.iter().filter(is_heard);
        let now: Vec<_> = heard.map(|it| self.redactor.all(it)).collect();
        let now: Vec<&Violation> = now.iter().map(|violation| &**violation).collect();
        let is_failure = |it: &&Violation| it.code.as_deref() == Some(POLICY_ERROR);
        report.failed += u64::from(now.iter().any(is_failure));
        let differs = Differs::of(was, &before, &now, known);
        let differs = match differs.or_else(|| self.later(input, &before, &now, known)) {
            Some(differs) => differs,
            None if alike(&before, &now, known) => {
                report.same += 1;
                return;
            }
            None => Differs::by(Change::Violations, &before, &now, known),
        };
        let value: Value = serde_json::from_slice(line).unwrap_or_default();
        let told = value.get("caller").unwrap_or(&Value::Null);
        let seen = value.pointer("/input/caller").unwrap_or(&Value::Null);
        let id = value.get("decision_id").and_then(Value::as_str);
        let short = name(told).or_else(|| name(seen));
        let address = (by == Asker::ByAddress).then(|| format!("address {}", record.requested_by));
        let found = Found {
            change: differs.change,
            seq: record.seq,
            timestamp: &record.timestamp,
            decision_id: id.unwrap_or_default(),
            operation: &record.operation,
            environment: &input.environment.name,
            token: token(&value),
            asked: address.clone().unwrap_or_else(|| caller(&value)),
            caller: address
                .or(short)
                .unwrap_or_else(|| record.requested_by.to_string()),
            by_policy: differs.by_policy,
        };
        report.found(found, options.examples);
    }

    /// What becomes otherwise now, or at a moment that is to come. That something is denied later is no news: who writes
    /// from when a policy is enforced means that.
    fn later(
        &self,
        input: &Input,
        before: &[&Violation],
        now: &[&Violation],
        known: Known,
    ) -> Option<Differs> {
        let Later {
            now: from,
            in_force,
        } = self.later.as_ref()?;
        if known == Known::Verdict {
            return None;
        }
        let owned = |violations: &[&Violation]| -> Vec<Violation> {
            violations.iter().copied().cloned().collect()
        };
        let (before, now) = (owned(before), owned(now));
        let mut moments = self.policy.moments(input, *from);
        if let Some(in_force) = in_force {
            moments.extend(in_force.moments(input, *from));
        }
        let mut moments = std::iter::once(*from).chain(moments);
        moments.find_map(|moment| {
            let before = match in_force {
                Some(in_force) => in_force.applied_at(&before, input, moment),
                None => before.clone(),
            };
            let now = self.policy.applied_at(&now, input, moment);
            let (before, now): (Vec<&Violation>, Vec<&Violation>) =
                (before.iter().collect(), now.iter().collect());
            let mut differs = Differs::of(verdict_of(&before), &before, &now, known)?;
            if moment == *from {
                return Some(differs);
            }
            let from_then_on = format!(", from {moment} on");
            for says in differs.by_policy.values_mut() {
                says.push_str(&from_then_on);
            }
            Some(differs).filter(|differs| differs.change == Change::NewAllow)
        })
    }

    /// The policies that cannot judge this record, because it lacks what they read.
    fn silent(&self, record: &Record<'_>, input: &Input, line: &[u8]) -> Silent<'a> {
        let mut silent = Silent::new();
        let mut add = |readers: &mut dyn Iterator<Item = &'a str>, reason: &dyn Fn() -> String| {
            for policy in readers {
                silent.entry(policy).or_insert_with(reason);
            }
        };
        if input.envoy.is_none() {
            add(&mut self.of_envoy.iter().copied(), &|| NO_ENVOY.to_owned());
        }
        if input.caller.recent.is_none() {
            let why = || NO_RECENT.to_owned();
            add(&mut self.of_recent.iter().copied(), &why);
        }
        if input.was_not_looked_up() {
            add(&mut self.of_lookup.iter().copied(), &|| {
                NO_LOOKUP.to_owned()
            });
        }
        for (pointers, what) in [
            (&record.erased, "erased"),
            (&record.masked, "masked"),
            (&record.pseudonyms, "a pseudonym"),
        ] {
            // Of an input that is masked as a whole nobody can say anything.
            if pointers.iter().any(|it| it == "/input") {
                add(&mut self.policy.names(), &|| format!("its input is {what}"));
            }
            for pointer in pointers.iter().filter(|it| it.starts_with("/input/")) {
                let reason = || format!("a member that it reads is {what}: {}", generic(pointer));
                for member in members_of_mask(pointer) {
                    add(&mut self.readers(&member, input), &reason);
                }
            }
        }
        for member in record::cut(line) {
            let reason = || CUT.to_owned();
            add(&mut self.readers(&member, input), &reason);
        }
        silent
    }

    /// The policies that cannot say what becomes of this request without this member.
    fn readers(&self, member: &[String], input: &Input) -> impl Iterator<Item = &'a str> + use<'a> {
        let in_force = self.later.as_ref().and_then(|later| later.in_force);
        let applied = in_force.map(|policy| policy.applied_by(member, Some(input)));
        let readers = self.policy.readers(member, Some(input)).into_iter();
        readers.chain(applied.into_iter().flatten())
    }
}

/// A change, and what each policy says that makes it.
struct Differs {
    change: Change,
    by_policy: BTreeMap<String, String>,
}

impl Differs {
    /// `None`: the verdict is the same.
    fn of(was: Verdict, before: &[&Violation], now: &[&Violation], known: Known) -> Option<Self> {
        match (was, verdict_of(now)) {
            (Verdict::Allow, Verdict::Deny) => {
                Some(Self::by(Change::NewDenial, before, now, known))
            }
            (Verdict::Deny, Verdict::Allow) => Some(Self::by(Change::NewAllow, before, now, known)),
            _ => None,
        }
    }

    fn by(change: Change, before: &[&Violation], now: &[&Violation], known: Known) -> Self {
        Self {
            change,
            by_policy: by_policy(change, before, now, known),
        }
    }
}

/// What a record still says of the objections of then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Known {
    All,
    /// Not every text.
    Policies,
    /// Some may not be there.
    Verdict,
}

impl Record<'_> {
    fn known(&self) -> Known {
        let all = [&self.erased, &self.masked, &self.pseudonyms];
        let mut known = Known::All;
        let pointers = all.into_iter().flatten();
        for member in pointers.flat_map(|pointer| members_of_mask(pointer)) {
            let mut steps = member.iter().map(String::as_str);
            if steps.next() == Some("result") {
                let steps: Vec<&str> = steps.collect();
                known = match (steps.as_slice(), known) {
                    // By these an objection does what it does.
                    ([] | [_] | [_, _] | [_, _, "policy" | "mode" | "rule" | "exception"], _)
                    | (_, Known::Verdict) => Known::Verdict,
                    _ => Known::Policies,
                };
            }
        }
        known
    }
}

/// A pointer with its numbers left out, so that it is one reason for all of a list.
fn generic(pointer: &str) -> String {
    let steps = pointer.split('/').map(|step| match step.parse::<u64>() {
        Ok(_number) => "*",
        Err(_no_number) => step,
    });
    steps.collect::<Vec<_>>().join("/")
}

fn verdict_of(violations: &[&Violation]) -> Verdict {
    let denies = |violation: &&Violation| violation.effect() == Effect::Deny;
    if violations.iter().any(denies) {
        Verdict::Deny
    } else {
        Verdict::Allow
    }
}

/// Whether they say the same, in any order.
fn alike(before: &[&Violation], now: &[&Violation], known: Known) -> bool {
    let is_alike = |before: &Violation, now: &Violation| is_alike(before, now, known);
    known == Known::Verdict
        || before.len() == now.len()
            && before
                .iter()
                .all(|one| now.iter().any(|other| is_alike(one, other)))
            && now
                .iter()
                .all(|one| before.iter().any(|other| is_alike(other, one)))
}

/// Texts that were cut in the record are compared as far as they are there.
fn is_alike(before: &Violation, now: &Violation, known: Known) -> bool {
    let is_same_policy =
        (&before.policy, before.mode, before.rule) == (&now.policy, now.mode, now.rule);
    if before == now || known != Known::All && is_same_policy {
        return true;
    }
    let same_or_none = |before: Option<&str>, now: Option<&str>| match (before, now) {
        (Some(before), Some(now)) => same(before, now),
        (None, None) => true,
        _ => false,
    };
    let has_cut = [&before.message]
        .into_iter()
        .chain(&before.path)
        .chain(&before.code);
    let mut has_cut = has_cut.map(|text| record::is_cut(text));
    (has_cut.any(|is_cut| is_cut) || before.details.values().any(has_cut_text))
        && is_same_policy
        && same(&before.message, &now.message)
        && same_or_none(before.path.as_deref(), now.path.as_deref())
        && same_or_none(before.code.as_deref(), now.code.as_deref())
        && same_members(&before.details, &now.details)
}

/// Whether a text of then, which may have been cut, is the one of now.
fn same(before: &str, now: &str) -> bool {
    let begins = |(kept, _): (&str, &str)| now.starts_with(kept);
    before == now || record::is_cut(before) && before.rsplit_once("… (").is_some_and(begins)
}

fn same_members(before: &Map<String, Value>, now: &Map<String, Value>) -> bool {
    let is_there = |(name, one): (&String, &Value)| {
        let is_it = |(other_name, other): (&String, &Value)| {
            same(name, other_name) && same_value(one, other)
        };
        match now.get(name) {
            Some(other) => same_value(one, other),
            None => record::is_cut(name) && now.iter().any(is_it),
        }
    };
    before.len() == now.len() && before.iter().all(is_there)
}

fn same_value(before: &Value, now: &Value) -> bool {
    match (before, now) {
        (Value::String(before), Value::String(now)) => same(before, now),
        (Value::Array(before), Value::Array(now)) => {
            let mut pairs = before.iter().zip(now);
            before.len() == now.len() && pairs.all(|(one, other)| same_value(one, other))
        }
        (Value::Object(before), Value::Object(now)) => same_members(before, now),
        _ => before == now,
    }
}

/// Whether a text within it was cut.
fn has_cut_text(value: &Value) -> bool {
    match value {
        Value::String(text) => record::is_cut(text),
        Value::Array(values) => values.iter().any(has_cut_text),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| record::is_cut(name) || has_cut_text(value)),
        _ => false,
    }
}

/// Per policy that makes the difference, what it says now, or said.
fn by_policy(
    change: Change,
    before: &[&Violation],
    now: &[&Violation],
    known: Known,
) -> BTreeMap<String, String> {
    let is_new = |one: &Violation| !before.iter().any(|other| is_alike(other, one, known));
    let is_gone = |one: &Violation| !now.iter().any(|other| is_alike(one, other, known));
    let denies = |violation: &Violation| violation.effect() == Effect::Deny;
    let mut found = BTreeMap::new();
    let mut add = |violation: &Violation, said: &str| {
        let (does, mode) = (violation.does(), violation.mode);
        let says = format!("{said} {does} ({mode}): {}", violation.message);
        found.entry(violation.policy.clone()).or_insert(says);
    };
    for violation in now.iter().filter(|one| is_new(one)) {
        let counts = match change {
            Change::NewDenial => denies(violation),
            Change::NewAllow => false,
            Change::Violations => true,
        };
        if counts {
            add(violation, "now");
        }
    }
    for violation in before.iter().filter(|one| is_gone(one)) {
        let counts = match change {
            Change::NewDenial => false,
            Change::NewAllow => denies(violation),
            Change::Violations => true,
        };
        if counts {
            add(violation, "no longer");
        }
    }
    found
}

/// The name and the public id of the token that it is about, as far as they are known.
fn token(record: &Value) -> String {
    let at = |pointer| record.pointer(pointer).and_then(Value::as_str);
    let name = at("/input/token/current/name").or_else(|| at("/input/change/name/requested"));
    let text = |pointer| at(pointer).unwrap_or_default();
    let (told, path) = (text("/input/token/id"), text("/request/path"));
    let id = token_of(&Masks::of(record), text("/operation"), told, path);
    match (name, &*id) {
        (Some(name), "") => name.to_owned(),
        (Some(name), id) => format!("{name} ({id})"),
        (None, id) => id.to_owned(),
    }
}

const REFUSED: &str = "refused before policies saw it: there is no input";
const ERASED: &str = "its input is masked";
const SHAPE: &str = "its members are not those of this version";
const MASKED_SHAPE: &str = "a member that must be there is masked";
const NO_ENVOY: &str =
    "it reads the request in the shape of OPA-Envoy, which the policies of then did not read";
const NO_LOOKUP: &str =
    "it reads the token as it is, which was not looked up for the policies of then";
const NO_RECENT: &str =
    "it reads what the caller did before, which was not counted for the policies of then";
const CUT: &str = "a text that it reads was cut, because the record was to be short";
const MASKED_VIOLATIONS: &str =
    "what its policies said is masked, and not all of them can judge it again";
