//! What the token had, and what it would have: scopes by class, and the other members.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::Value;

use crate::audit::masks::Masks;
use crate::console::Asked;
use crate::console::row::cut;
use crate::trail::told::scopes;

/// What becomes of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Added,
    Removed,
    Kept,
    /// What the token has is not known.
    Asked,
}

pub(super) fn html(asked: &Asked<'_>, record: &Value, operation: &str) -> Markup {
    let members = members(asked, record, operation);
    let mut found = found(record, operation);
    let more = found.len().saturating_sub(MOST);
    found.truncate(MOST);
    let classes = classes(asked, &found);
    html! {
        @if !members.is_empty() {
            div.wide role="region" aria-label="What would change" tabindex="0" {
                table {
                    thead { tr { th scope="col" { "Member" } th scope="col" { "As it was" } th scope="col" { "As asked for" } } }
                    tbody {
                        @for (member, before, after) in &members {
                            tr { th scope="row" { (member) } td { (before) } td { (after) } }
                        }
                    }
                }
            }
        }
        @for (class, scopes) in &classes {
            h3 { "Scopes" @if !class.is_empty() { ": " (cut(class)) } }
            ul.scopes {
                @for (scope, what) in scopes {
                    li class=(what.class()) { (cut(scope)) span.hidden { (what.word()) } }
                }
            }
        }
        @if more > 0 { p { "and " (more) " more scopes: the record has them all." } }
    }
}

/// Name, enabled and expiry, where the record says something about them. No blank: it would read as emptied.
fn members(
    asked: &Asked<'_>,
    record: &Value,
    operation: &str,
) -> Vec<(&'static str, String, String)> {
    let told = |member: &str, place: &str| {
        let told = match record.pointer(&format!("/{}", place.replace('.', "/"))) {
            None | Some(Value::Null) => return None,
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let told = if member == "name" {
            asked.viewer.sees(&told)
        } else {
            &told
        };
        Some(cut(told))
    };
    // Where it is hidden, nobody knows whether there was any.
    let masks = Masks::of(record);
    let or = |told: Option<String>, place: &str, word: &str| match told {
        Some(told) => told,
        None if masks.hide(place) => "masked".to_owned(),
        None => word.to_owned(),
    };
    let was = if operation.ends_with(".create") {
        "none"
    } else {
        "not known"
    };
    let becomes = if operation.ends_with(".delete") {
        "removed"
    } else {
        "not in the request"
    };
    let rows = [
        ("name", "Name"),
        ("enabled", "Enabled"),
        ("expiration", "Expires"),
        ("personal", "Personal"),
    ];
    let rows = rows.into_iter().filter_map(|(member, title)| {
        let [current, requested] =
            ["current", "requested"].map(|of| format!("input.change.{member}.{of}"));
        let (before, after) = (told(member, &current), told(member, &requested));
        let is_told = before.is_some() || after.is_some();
        is_told.then(|| {
            let known = || told(member, &format!("input.token.current.{member}"));
            let before = or(before.or_else(known), &current, was);
            (title, before, or(after, &requested, becomes))
        })
    });
    rows.collect()
}

fn found(record: &Value, operation: &str) -> Vec<(String, What)> {
    let [added, removed, current, requested] =
        ["added", "removed", "current", "requested"].map(|which| scopes(record, which));
    let had = match &*current {
        [] => {
            let token = record.pointer("/input/token/current/scopes");
            let token = token.and_then(Value::as_array).into_iter().flatten();
            token.filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => current,
    };
    let is_known = record.pointer("/input/change/scopes/added").is_some();
    let all = |scopes: Vec<String>, what: What| scopes.into_iter().map(move |it| (it, what));
    if operation.ends_with(".delete") {
        return all(had, What::Removed).collect();
    }
    if !is_known {
        return all(requested, What::Asked).collect();
    }
    let kept: Vec<String> = had.into_iter().filter(|it| !removed.contains(it)).collect();
    let all_of_it = all(added, What::Added).chain(all(removed, What::Removed));
    all_of_it.chain(all(kept, What::Kept)).collect()
}

/// By the class that the policies' data gives each scope.
fn classes(asked: &Asked<'_>, found: &[(String, What)]) -> BTreeMap<String, Vec<(String, What)>> {
    let policy = asked.gate.policies.as_ref().map(|policies| policies());
    let known = policy
        .as_ref()
        .and_then(|it| it.data("dynatrace")?.get("scopes"));
    let class = |scope: &str| {
        let known = known.and_then(|scopes| scopes.get(scope)?.get("class")?.as_str());
        known.unwrap_or_default().to_owned()
    };
    let mut classes: BTreeMap<String, Vec<(String, What)>> = BTreeMap::new();
    for (scope, what) in found {
        let of_class = classes.entry(class(scope)).or_default();
        of_class.push((scope.clone(), *what));
    }
    classes
}

impl What {
    fn class(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Kept => "kept",
            Self::Asked => "asked",
        }
    }

    /// For whoever does not see the colour.
    fn word(self) -> &'static str {
        match self {
            Self::Added => " added",
            Self::Removed => " removed",
            Self::Kept => " kept",
            Self::Asked => " asked for",
        }
    }
}

/// Scopes that are shown.
const MOST: usize = 200;
