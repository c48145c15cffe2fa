//! What is tested is what is shipped: building the tests must not give crates of the program further features.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Crates that have more features in the tests' build, and why that does not matter.
const ACCEPTED: &[(&str, &str)] = &[
    (
        "clap",
        "divan: `env` is for arguments that ask for it, and `wrap_help` for terminals",
    ),
    ("clap_builder", "as clap"),
    (
        "regex-syntax",
        "proptest: `default` is the name of the two features that the program has",
    ),
    (
        "rustix",
        "tempfile and the width of terminals: further functions, no others",
    ),
    (
        "tokio",
        "the tests' own `test-util`: clocks that a test may stop",
    ),
];

/// The features of each crate, its versions together.
fn features(edges: &str) -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--offline", "--locked", "--prefix", "none"])
        .args(["--edges", edges, "--format", "{p}|{f}"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut crates: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        // tokio v1.54.1|bytes,default (*)
        let (package, features) = line.split_once('|').unwrap();
        let name = package.split(' ').next().unwrap();
        let features = features.trim_end_matches(" (*)").split(',');
        let known = crates.entry(name.to_owned()).or_default();
        known.extend(features.filter(|name| !name.is_empty()).map(str::to_owned));
    }
    crates
}

#[test]
fn the_tests_build_adds_no_feature_to_a_crate_of_the_program() {
    let (shipped, tested) = (features("normal"), features("normal,dev"));
    assert!(shipped.contains_key("regorus") && !shipped.contains_key("proptest"));
    let added: BTreeMap<&str, Vec<&String>> = shipped
        .iter()
        .filter_map(|(name, features)| {
            let added: Vec<&String> = tested.get(name)?.difference(features).collect();
            (!added.is_empty()).then_some((name.as_str(), added))
        })
        .collect();
    let accepted: BTreeSet<&str> = ACCEPTED.iter().map(|(name, _)| *name).collect();
    let found: BTreeSet<&str> = added.keys().copied().collect();
    assert_eq!(
        found, accepted,
        "policies and requests could be read otherwise in tests than in production: {added:#?}"
    );
}
