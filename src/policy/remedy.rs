//! The largest part of a denied request that would pass.
//!
//! What the objections point at is left out, and the rest is judged again, by the same policies: a remedy is
//! never a guess. It costs an evaluation or two, on denials only, and only where few things are objected to.

use std::collections::{BTreeSet, HashSet};

use super::decision::{Decision, Effect, Remedy, Verdict};
use super::input::{Change, Expiration, Input};
use crate::dynatrace::redact::Redacted;
use crate::value::counted;

/// Looks for it; `decide` judges as the decision was made.
pub(super) fn find(
    input: &Input,
    decision: &Decision,
    decide: impl Fn(&Input) -> Decision,
) -> Option<Remedy> {
    // What an OPA-Envoy policy sees of the body is not taken apart here.
    if decision.verdict == Verdict::Allow || input.envoy.is_some() {
        return None;
    }
    let mut less = input.clone();
    let mut decision = decision.clone();
    for _ in 0..ROUNDS {
        if !leave_out(&mut less, &decision) {
            return None;
        }
        decision = decide(&less);
        if decision.verdict == Verdict::Allow {
            return Some(told(&input.change, &less.change));
        }
    }
    None
}

/// Takes what the denying violations point at out of the request. False: that is nothing, or all there is.
fn leave_out(input: &mut Input, decision: &Decision) -> bool {
    let creates = input.token.is_none();
    let requested = input.change.scopes.requested.clone().unwrap_or_default();
    let mut scopes = BTreeSet::new();
    let mut members = BTreeSet::new();
    for violation in decision.with_effect(Effect::Deny) {
        let path = violation.path.as_deref().unwrap_or_default();
        let index = path
            .strip_prefix("scopes[")
            .and_then(|rest| rest.strip_suffix(']')?.parse::<usize>().ok());
        match index.and_then(|index| requested.get(index)) {
            Some(scope) => drop(scopes.insert(scope.clone())),
            None => drop(members.insert(path)),
        }
    }
    let change = &mut input.change;
    let before = change.clone();
    if members.contains("name") && !creates {
        change.name.requested = None;
    }
    if members.contains("enabled") || members.contains("revoked") {
        change.enabled.requested = None;
    }
    // Without an expiration a new token would live for ever.
    if (members.contains("expirationDate") || members.contains("expiresIn")) && !creates {
        change.expiration = Expiration::default();
    }
    if members.contains("personalAccessToken") {
        change.personal.requested = None;
    }
    if !scopes.is_empty() {
        change.without(&scopes);
    }
    let nothing = change.name.requested.is_none()
        && change.enabled.requested.is_none()
        && change.scopes.requested.is_none();
    let needed = creates && change.scopes.requested.is_none();
    change.differs_less();
    *change != before && !nothing && !needed
}

impl Change {
    /// Without these scopes; an update that asked for no others leaves the token's as they are.
    fn without(&mut self, left_out: &BTreeSet<Redacted>) {
        let scopes = &mut self.scopes;
        let stays = |scope: &Redacted| !left_out.contains(scope);
        let Some(requested) = &mut scopes.requested else {
            return;
        };
        requested.retain(stays);
        if let Some(added) = &mut scopes.added {
            added.retain(stays);
        }
        if requested.is_empty() {
            scopes.requested = None;
            scopes.kept.clone_from(&scopes.current);
            scopes.removed = scopes.removed.as_ref().map(|_| Vec::new());
            return;
        }
        if let (Some(kept), Some(removed)) = (&mut scopes.kept, &mut scopes.removed) {
            removed.extend(kept.extract_if(.., |scope| !stays(scope)));
        }
    }

    /// What still differs after something was left out.
    fn differs_less(&mut self) {
        let scopes = &self.scopes;
        let any = |list: &Option<Vec<Redacted>>| list.as_ref().is_some_and(|list| !list.is_empty());
        let scopes = any(&scopes.added) || any(&scopes.removed);
        let (name, enabled) = (
            self.name.requested.is_some(),
            self.enabled.requested.is_some(),
        );
        if let Some(differs) = &mut self.differs {
            differs.retain(|member| match member.as_str() {
                "name" => name,
                "enabled" => enabled,
                _ => true,
            });
            differs.retain(|member| member != "scopes");
            if scopes {
                differs.push("scopes".to_owned());
            }
        }
    }
}

fn told(asked: &Change, passes: &Change) -> Remedy {
    let none = Vec::new();
    let requested = asked.scopes.requested.as_ref().unwrap_or(&none);
    let fine = passes.scopes.requested.as_ref().unwrap_or(&none);
    // A request may have ten thousand of them: not each with each.
    let mut known: HashSet<&Redacted> = fine.iter().collect();
    let left_out = requested.iter().filter(|&scope| known.insert(scope));
    let scopes: Vec<Redacted> = left_out.cloned().collect();
    let members: Vec<&'static str> = [
        (
            "the name",
            &asked.name.requested.is_some(),
            &passes.name.requested.is_some(),
        ),
        (
            "enabled",
            &asked.enabled.requested.is_some(),
            &passes.enabled.requested.is_some(),
        ),
        (
            "the expiration",
            &asked.expiration.requested.is_some(),
            &passes.expiration.requested.is_some(),
        ),
        (
            "personalAccessToken",
            &asked.personal.requested.is_some(),
            &passes.personal.requested.is_some(),
        ),
    ]
    .into_iter()
    .filter(|(_, asked, passes)| asked != passes)
    .map(|(name, _, _)| name)
    .collect();

    let mut parts: Vec<String> = scopes
        .iter()
        .take(SHOWN)
        .map(|scope| shown(scope))
        .collect();
    if scopes.len() > SHOWN {
        parts.push(counted(scopes.len() - SHOWN, "more scope"));
    }
    parts.extend(members.iter().map(|&member| member.to_owned()));
    let left_out = match parts.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    };
    let share = if scopes.is_empty() || fine.is_empty() {
        String::new()
    } else {
        let are = if fine.len() == 1 { "is" } else { "are" };
        format!("{} of {} scopes {are} fine; ", fine.len(), requested.len())
    };
    Remedy {
        text: format!("{share}leave out {left_out}, and the request passes"),
        scopes,
        members,
    }
}

/// A scope for people: as it is where it could be one, else in quotes, escaped and cut.
fn shown(scope: &str) -> String {
    if scope.len() <= LONGEST && scope.bytes().all(|byte| byte.is_ascii_graphic()) {
        return scope.to_owned();
    }
    let cut: String = scope.chars().take(LONGEST).collect();
    format!("\"{}\"", cut.escape_default())
}

/// Scopes that exist are shorter.
const LONGEST: usize = 60;

/// What is left after the first round can fall to another objection.
const ROUNDS: usize = 3;

/// How many scopes are named before the rest is counted.
const SHOWN: usize = 6;

#[cfg(test)]
mod tests;
