//! When a member of the document is absent, in the words of whoever runs the gate.
//!
//! It guarantees that every member is here that may be absent and has a promised name; a test compares that with the
//! documents. What it means for a policy is not its question.

use super::members::OPEN;

/// The token is not there to be known: the request makes one, or is about something else.
pub(in crate::policy) const NO_TOKEN: &str = "the request is about no token that exists";
pub(in crate::policy) const UNKNOWN: &str = "the token is not known";
pub(in crate::policy) const REMOVED: &str = "the token is removed";
pub(in crate::policy) const LOOKED_UP: &str = "the lookup worked, or there was none";

/// Members, each with when it is absent beside when what it is in is absent.
const ABSENT: [(&str, &[&str]); 27] = [
    ("input.change.differs", &[NO_TOKEN, UNKNOWN, REMOVED]),
    (
        "input.change.enabled.current",
        &[
            NO_TOKEN,
            UNKNOWN,
            "Dynatrace does not tell whether the token is enabled",
        ],
    ),
    (
        "input.change.enabled.requested",
        &["the request does not say whether the token is enabled"],
    ),
    (
        "input.change.expiration.at",
        &[
            "the request asks for no expiration",
            "nobody can tell what expiration is meant",
        ],
    ),
    (
        "input.change.expiration.requested",
        &["the request asks for no expiration"],
    ),
    (
        "input.change.name.current",
        &[
            NO_TOKEN,
            UNKNOWN,
            "Dynatrace does not tell the token's name",
        ],
    ),
    (
        "input.change.name.requested",
        &["the request asks for no name"],
    ),
    (
        "input.change.personal.requested",
        &["the request does not say whether the token is personal"],
    ),
    ("input.change.scopes.added", &[UNKNOWN, REMOVED]),
    ("input.change.scopes.current", &[NO_TOKEN, UNKNOWN]),
    ("input.change.scopes.kept", &[UNKNOWN, REMOVED]),
    ("input.change.scopes.removed", &[UNKNOWN, REMOVED]),
    (
        "input.change.scopes.requested",
        &["the request asks for no scopes"],
    ),
    ("input.parsed_body", &["the request has no body"]),
    (
        "input.settings",
        &["the request writes no settings that govern tokens"],
    ),
    ("input.settings.schemas", &[]),
    ("input.token", &[NO_TOKEN]),
    ("input.token.current", &[UNKNOWN]),
    (
        "input.token.current.enabled",
        &["Dynatrace does not tell whether the token is enabled"],
    ),
    (
        "input.token.current.expiration",
        &["Dynatrace tells no expiration of the token"],
    ),
    (
        "input.token.current.id",
        &["Dynatrace does not tell the token's id"],
    ),
    (
        "input.token.current.name",
        &["Dynatrace does not tell the token's name"],
    ),
    (
        "input.token.current.owner",
        &["Dynatrace does not tell the token's owner"],
    ),
    (
        "input.token.current.personal",
        &["Dynatrace does not tell whether the token is personal"],
    ),
    ("input.token.current.scopes", &[]),
    ("input.token.lookup_error", &[LOOKED_UP]),
    (
        "input.unknown_members",
        &["the request has no other members"],
    ),
];

/// When the member that the steps lead to is absent; nothing for one that is always there, or that nobody can tell.
pub(in crate::policy) fn absences(steps: &[Option<&str>]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut path = String::new();
    for (number, step) in steps.iter().enumerate() {
        // What stands in a list is there wherever somebody walks through it.
        let Some(step) = step else { break };
        if number > 0 {
            path.push('.');
        }
        path.push_str(step);
        let here = ABSENT.iter().find(|(member, _)| *member == path);
        found.extend(
            here.iter()
                .flat_map(|(_, when)| *when)
                .map(|&when| when.to_owned()),
        );
        if OPEN.contains(&path.as_str()) {
            let below: Vec<&str> = steps
                .iter()
                .skip(number + 1)
                .map_while(|step| *step)
                .collect();
            if !below.is_empty() {
                // It is absent because it has none.
                if path == "input.unknown_members" {
                    found.clear();
                }
                found.push(below_open(&path, &below.join(".")));
            }
            break;
        }
    }
    found.dedup();
    found
}

/// Of what somebody else names.
fn below_open(within: &str, name: &str) -> String {
    match within {
        "input.attributes.request.http.headers" => format!("the request has no header {name}"),
        "input.caller.jwt.claims" => {
            format!("the caller shows no JSON Web Token, or one without the claim {name}")
        }
        "input.environment.data" => {
            format!("the configuration says no {name} of the environment")
        }
        "input.parsed_query" => format!("the query has no {name}"),
        "input.parsed_body" => format!("the body has no {name}"),
        _ => format!("the request has no member {name}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::policy::input::{Presence, members, presence};

    /// What the documents say: a member of the least of them is always there.
    #[test]
    fn what_may_be_absent_is_listed() {
        let mut absent = BTreeSet::new();
        for member in members() {
            let steps: Vec<&str> = member.split('.').collect();
            if !matches!(presence(&steps), None | Some(Presence::Always(_))) {
                absent.insert(member);
            }
        }
        // They are there with what they are in.
        absent.remove("input.token.id");
        absent.remove("input.token.known");
        let listed: BTreeSet<String> = ABSENT
            .iter()
            .map(|(member, _)| (*member).to_owned())
            .collect();
        assert_eq!(listed, absent);
        assert!(ABSENT.is_sorted());
    }

    #[test]
    fn what_is_within_is_absent_with_it() {
        let when = |path: &str| absences(&path.split('.').map(Some).collect::<Vec<_>>());
        assert_eq!(when("input.api"), [""; 0]);
        assert_eq!(when("input.token.id"), [NO_TOKEN]);
        assert_eq!(when("input.settings.schemas").len(), 1);
        assert_eq!(when("input.token.current.owner").len(), 3);
        assert_eq!(
            when("input.attributes.request.http.headers.x-team"),
            ["the request has no header x-team"]
        );
        assert_eq!(
            when("input.caller.jwt.claims.groups"),
            ["the caller shows no JSON Web Token, or one without the claim groups"]
        );
        assert_eq!(when("input.caller.certificate.dns"), [""; 0]);
        assert_eq!(
            when("input.unknown_members.a"),
            ["the request has no member a"]
        );
        assert_eq!(when("input.parsed_body.a").len(), 2);
    }
}
