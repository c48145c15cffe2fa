//! The scopes that this version knows, as the shipped policies have them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::Deserialize;

/// Of environments: an object of scopes, each with its status.
pub const ENVIRONMENT: &str = include_str!("../../policies/dynatrace/scopes/data.json");
/// Of clusters.
pub const CLUSTER: &str = include_str!("../../policies/dynatrace/cluster_scopes/data.json");

/// Whether Dynatrace's own lists do not have an environment's scope any more.
pub fn is_legacy(scope: &str) -> bool {
    static LEGACY: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let known: BTreeMap<String, Known> = serde_json::from_str(ENVIRONMENT).unwrap_or_default();
        let legacy = known.into_iter().filter(|(_, it)| it.status == "legacy");
        legacy.map(|(scope, _)| scope).collect()
    });
    LEGACY.contains(scope)
}

#[derive(Debug, Default, Deserialize)]
struct Known {
    #[serde(default)]
    status: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_legacy_scope_is_known_as_one() {
        assert!(is_legacy("LogImport"));
        assert!(!is_legacy("metrics.read"));
        assert!(!is_legacy("no.such.scope"));
    }
}
