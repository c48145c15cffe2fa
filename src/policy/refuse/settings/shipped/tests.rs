use std::path::Path;

use crate::policy::bundle::tests::problems;

const SCOPES: &str = r#"{"WriteConfig": {"status": "current", "class": "admin-like"}, "metrics.read": {"class": "read"}}"#;

/// What is said about the settings of these policies.
fn said(settings: &str) -> Vec<String> {
    let policies = ["escalation", "forbidden_scopes", "minting"].map(|name| {
        let text = format!("package dtgate.{name}\n\ndeny contains \"x\" if input.api == \"v9\"\n");
        (format!("{name}.rego"), text)
    });
    let mut files: Vec<(&str, &str)> = policies
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    files.extend([
        ("data.yaml", settings),
        ("dynatrace/scopes/data.json", SCOPES),
    ]);
    problems(&files)
}

#[test]
fn a_name_that_nothing_has_is_refused_where_it_stands() {
    for (settings, wanted) in [
        (
            "guardrails:\n  forbidden_scopes:\n    - WriteConfig\n    - WritConfig\n",
            "data.yaml:4:7: data.guardrails.forbidden_scopes.1: \"WritConfig\" is no scope that Dynatrace is known to have: did you \
             mean WriteConfig?; list one that is new in guardrails.known_scopes.extra too",
        ),
        (
            "guardrails:\n  escalation:\n    mint_classes: [mnt, read]\n",
            "data.yaml:3:20: data.guardrails.escalation.mint_classes.0: \"mnt\" is no class of scopes",
        ),
        (
            "guardrails:\n  escalation:\n    teams:\n      a:\n        scopes: [metrics.raed]\n",
            "data.yaml:5:18: data.guardrails.escalation.teams.a.scopes.0: \"metrics.raed\" is no scope that Dynatrace is known to \
             have: did you mean metrics.read?",
        ),
        (
            "guardrails:\n  minting:\n    callers:\n      installer.downlod: ['*']\n",
            "data.yaml:4:7: data.guardrails.minting.callers.installer.downlod: \"installer.downlod\" is no operation: did you mean \
             installer.download?; `dtgate endpoints` lists them",
        ),
    ] {
        let said = said(settings);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with(wanted), "{wanted}: {said:?}");
    }
}

#[test]
fn names_that_something_has_are_fine() {
    let settings = "guardrails:\n  forbidden_scopes: [WriteConfig, brand.new]\n  known_scopes: {extra: [brand.new]}\n  \
                    escalation: {mint_classes: [read], teams: {a: {scopes: [metrics.read], classes: [admin-like]}}}\n  \
                    minting: {callers: {installer.download: ['*']}}\n";
    assert_eq!(said(settings), [""; 0]);
    // Of the wrong type: the policy says so.
    assert_eq!(
        said("guardrails: {forbidden_scopes: 1, escalation: [], minting: {callers: x}}"),
        [""; 0]
    );
}

#[test]
fn the_shipped_settings_are_fine() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    crate::policy::Bundle::load(shipped).unwrap();
}
