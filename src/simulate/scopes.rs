//! The scopes this simulator knows, from `scopes.json` beside this file.
//!
//! Data, not code: Dynatrace adds and removes names without a version bump. It knows no token.

use std::{collections::HashMap, sync::LazyLock};

use serde::Deserialize;

use super::{UnknownScopes, reply::Violation};

#[derive(Deserialize)]
struct Entry {
    description: String,
    assignable: Assignable,
}

/// In which version of the API a request may put the scope on a token.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Assignable {
    Always,
    /// Only system tokens carry it.
    Never,
    /// In no enumeration any more, but the vendor's own v1 example still grants it and gets a 204.
    V1,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

static CATALOGUE: LazyLock<HashMap<String, Entry>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("scopes.json")).expect("the embedded scope list is valid")
});

/// `apiTokens.read (Read API tokens)`, as Dynatrace names a scope in its refusals.
pub(super) fn described(scope: &str) -> String {
    match CATALOGUE.get(scope) {
        Some(entry) => format!("{scope} ({})", entry.description),
        None => scope.to_owned(),
    }
}

/// What a requested list becomes on the token: each scope once, and no unknown one.
pub(super) fn accepted(
    requested: &[String],
    version: Version,
    unknown: UnknownScopes,
) -> Result<Vec<String>, Vec<Violation>> {
    let mut scopes: Vec<String> = Vec::with_capacity(requested.len());
    let mut violations = Vec::new();
    for (index, scope) in requested.iter().enumerate() {
        if assignable(scope, version) {
            if !scopes.contains(scope) {
                scopes.push(scope.clone());
            }
        } else if unknown == UnknownScopes::Refuse {
            let message = format!("'{scope}' is not a scope that can be assigned.");
            violations.push(Violation::body(format!("scopes[{index}]"), message));
        }
    }
    if violations.is_empty() {
        Ok(scopes)
    } else {
        Err(violations)
    }
}

fn assignable(scope: &str, version: Version) -> bool {
    match CATALOGUE.get(scope).map(|entry| &entry.assignable) {
        Some(Assignable::Always) => true,
        Some(Assignable::V1) => version == Version::V1,
        Some(Assignable::Never) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_scope_is_named_with_its_description() {
        assert_eq!(
            described("apiTokens.write"),
            "apiTokens.write (Write API tokens)"
        );
        assert_eq!(described("no.such"), "no.such");
    }

    #[test]
    fn the_scopes_of_old_examples_are_assignable_in_v1_only() {
        let legacy = names(&["LogImport", "MaintenanceWindows"]);
        let kept = |version| accepted(&legacy, version, UnknownScopes::Drop).unwrap();
        assert_eq!(kept(Version::V1), legacy);
        assert!(kept(Version::V2).is_empty());
    }

    #[test]
    fn unknown_scopes_are_dropped_or_refused_and_duplicates_collapse() {
        let requested = names(&[
            "metrics.read",
            "metrics.Read",
            "ViewDashboard",
            "metrics.read",
        ]);
        assert_eq!(
            accepted(&requested, Version::V2, UnknownScopes::Drop).unwrap(),
            names(&["metrics.read"])
        );
        let violations = accepted(&requested, Version::V2, UnknownScopes::Refuse).unwrap_err();
        let paths: Vec<_> = violations.iter().map(Violation::path).collect();
        assert_eq!(paths, ["scopes[1]", "scopes[2]"]);
    }
}
