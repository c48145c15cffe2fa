//! Bundles that are made here are taken by OPA, and those of OPA here.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::{Works, changed, names_are, status, unpacked};
use crate::harness::{Gate, Upstream, eventually, program};

fn run(arguments: &[&str], folder: &Path) -> Output {
    program()
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    texts.concat()
}

/// What was in force is given back with what the bundle said of itself: the way back after a bad release.
#[test]
fn a_bundle_that_was_in_force_can_be_built_again() {
    let works = Works::new();
    works.configuration(&["platform"]);
    works.put("platform.tar.gz", &works.bundle("names", "a", 7));
    let upstream = Upstream::lenient();
    let directory = tempfile::tempdir().unwrap();
    let command = works.serving(&upstream, &directory);
    let gate = Gate::spawn(directory, command);
    let revision = gate.records()[0]["revision"].as_str().unwrap().to_owned();
    let journal = gate.journal().display().to_string();
    let folder = works.0.path();
    let shown = [
        "policies",
        "show",
        &revision,
        "--extract",
        "then",
        "--journal",
        &journal,
    ];
    let shown = run(&shown, folder);
    assert!(shown.status.success(), "{shown:?}");
    let manifest = std::fs::read(works.path("then/.manifest")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(
        (&manifest["roots"], &manifest["revision"]),
        (&json!(["dtgate/names"]), &json!("a"))
    );
    let built = [
        "build",
        "then",
        "--sequence",
        "8",
        "--signing-key",
        "key.pem",
        "--signing-alg",
        "ES256",
        "--output",
        "again.tar.gz",
    ];
    let built = run(&built, folder);
    assert!(built.status.success(), "{built:?}");
    works.put(
        "platform.tar.gz",
        &std::fs::read(works.path("again.tar.gz")).unwrap(),
    );
    eventually("it is in force", || {
        let told = status(&gate);
        let bundle = &told["policies"]["bundles"][0];
        let is_it = bundle["sequence"] == 8 && bundle["revision"] == "a";
        (is_it && told["reload"]["last"]["ok"] == true).then_some(())
    });
}

/// `policies list` shows what a gate with this configuration loads.
#[test]
fn the_policies_of_a_configuration_are_listed_with_their_revision() {
    let works = Works::new();
    works.configuration(&["platform", "team"]);
    works.put("platform.tar.gz", &works.bundle("names", "a", 1));
    works.put("team.tar.gz", &works.bundle("others", "b", 1));
    let listed = run(
        &[
            "policies",
            "list",
            "--config",
            "dtgate.toml",
            "--format",
            "json",
        ],
        works.0.path(),
    );
    let text = said(&listed);
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<&Value> = rows.iter().map(|row| &row["policy"]).collect();
    assert_eq!(names, ["names", "others"], "{text}");
    let plain = run(
        &["policies", "list", "--config", "dtgate.toml"],
        works.0.path(),
    );
    for row in &rows {
        let revision = row["revision"].as_str().unwrap();
        assert!(said(&plain).contains(&format!("revision {revision}")));
    }
    for bundle in [
        "bundle platform, revision a, sequence 1",
        "bundle team, revision b, sequence 1",
    ] {
        assert!(said(&plain).contains(bundle), "{plain:?}");
    }
}

#[test]
fn a_bundle_is_made_checked_tested_and_asked() {
    let works = Works::new();
    let folder = works.0.path();
    works.write("policies/names.rego", &names_are("names", "a"));
    works.write(
        "policies/names_test.rego",
        "package dtgate.names_test\n\nimport data.dtgate.names\n\ntest_b if count(names.deny) == 1 with input.change.name.requested as \"b\"\n",
    );
    works.write("policies/data.yaml", "modes:\n  names: warn\n");
    works.write("policies/more/settings.json", "{\"a\": 1.5}");
    works.write(
        "policies/.manifest",
        "{\"revision\": \"from the file\", \"metadata\": {\"team\": \"core\", \"dtgate\": {\"sequence\": 1}}}",
    );
    let made = run(
        &["build", "--sequence", "2", "--output", "one.tar.gz"],
        folder,
    );
    assert!(made.status.success(), "{made:?}");
    let one = std::fs::read(works.path("one.tar.gz")).unwrap();
    let digest = said(&made);
    assert!(
        digest.starts_with("one.tar.gz: 4 files, sha256 "),
        "{digest}"
    );
    // The same bytes, whenever it is made.
    run(
        &["build", "--sequence", "2", "--output", "two.tar.gz"],
        folder,
    );
    assert_eq!(one, std::fs::read(works.path("two.tar.gz")).unwrap());
    let files = unpacked(&one);
    let manifest: Value = serde_json::from_slice(&files[".manifest"]).unwrap();
    let wanted = json!({
        "revision": "from the file", "roots": [""], "rego_version": 1,
        "metadata": {"team": "core", "dtgate": {"sequence": 2}},
    });
    assert_eq!(manifest, wanted);
    let data: Value = serde_json::from_slice(&files["data.json"]).unwrap();
    assert_eq!(
        data,
        json!({"modes": {"names": "warn"}, "more": {"a": 1.5}})
    );

    let check = said(&run(&["check", "--policies", "one.tar.gz"], folder));
    assert!(check.starts_with("1 policy: names\n"), "{check}");
    assert!(
        check.contains("bundle one.tar.gz: revision from the file, sequence 2, sha256 "),
        "{check}"
    );
    let tested = run(&["test", "one.tar.gz"], folder);
    assert!(
        tested.status.success() && said(&tested).contains("PASS: 1/1"),
        "{tested:?}"
    );
}

#[test]
fn what_cannot_be_made_into_a_bundle_is_refused() {
    let works = Works::new();
    let folder = works.0.path();
    works.write("policies/names.rego", &names_are("names", "a"));
    works.write("policies/data.yaml", "modes:\n  names: warn\n");
    for (arguments, wanted) in [
        (
            &["build", "--root", "dtgate/other"][..],
            "lies beyond the roots of the bundle",
        ),
        (&["build", "nowhere"], "there is no such directory"),
        (&["build", "policies", "policies"], "is already defined by"),
        (
            &["build", "--signing-key", "public.pem"],
            "signing: public.pem: it holds no private key",
        ),
        (
            &["build", "--signing-key", "key.pem"],
            "signing: key.pem: it is no key for RS256: it is one for --signing-alg ES256 (the default is RS256)",
        ),
        (
            &["build", "--output", "nowhere/b.tar.gz"],
            "there is no such directory: make it",
        ),
    ] {
        let refused = run(arguments, folder);
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        assert!(
            said(&refused).contains(wanted),
            "{arguments:?}: {refused:?}"
        );
    }
    works.write(
        "policies/broken.rego",
        "package dtgate.broken\n\ndeny contains {\n",
    );
    let refused = said(&run(&["build"], folder));
    assert!(refused.contains("policies/broken.rego:"), "{refused}");
}

#[test]
fn where_there_are_bundles_the_default_directory_is_not_read() {
    let works = Works::new();
    let folder = works.0.path();
    works.put("platform.tar.gz", &works.bundle("names", "a", 1));
    works.configuration(&["platform"]);
    works.write("policies/z.rego", &names_are("z", "a"));
    let check = |more: &[&str]| {
        let arguments = [&["check", "--config", "dtgate.toml"], more].concat();
        said(&run(&arguments, folder))
    };
    assert!(
        check(&[]).starts_with("1 policy: names\n"),
        "{}",
        check(&[])
    );
    let both = check(&["--policies", "policies"]);
    assert!(both.starts_with("2 policies: names, z\n"), "{both}");
    let json = check(&["--format", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["bundles"][0]["name"], "platform");
    assert_eq!(json["bundles"][0]["digest"].as_str().unwrap().len(), 64);
}

fn opa() -> Command {
    Command::new(std::env::var("OPA").unwrap_or_else(|_| "opa".to_owned()))
}

fn succeeded(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    said(&output)
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_each_takes_the_bundles_of_the_other() {
    let works = Works::new();
    let folder = works.0.path();
    works.write("source/names.rego", &names_are("names", "a"));
    works.write(
        "source/names_test.rego",
        "package dtgate.names_test\n\nimport data.dtgate.names\n\ntest_b if count(names.deny) == 1 with input.change.name.requested as \"b\"\n",
    );
    works.write(
        "source/data.json",
        "{\"texts\": [\"<&>\\u2028\\u0001ü\", 1.0, 1e3, -0], \"a\": {\"z\": 1, \"b\": [null, true]}}",
    );
    works.write(
        "source/.manifest",
        "{\"revision\": \"r\", \"roots\": [\"dtgate\", \"texts\", \"a\"]}",
    );
    // Ours, signed: OPA tests it, and takes the signature.
    let ours = [
        "build",
        "source",
        "--signing-alg",
        "ES256",
        "--signing-key",
        "key.pem",
        "--output",
        "ours.tar.gz",
    ];
    assert!(run(&ours, folder).status.success());
    let tested =
        succeeded(
            opa()
                .current_dir(folder)
                .args(["test", "--bundle", "ours.tar.gz", "--verbose"]),
        );
    assert!(tested.contains("PASS: 1/1"), "{tested}");
    let verified = |bundle: &str| {
        let mut opa = opa();
        opa.current_dir(folder);
        opa.args([
            "build",
            "--bundle",
            bundle,
            "--verification-key",
            "public.pem",
            "--signing-alg",
            "ES256",
        ]);
        opa.args(["--signing-key", "key.pem", "--output", "theirs.tar.gz"]);
        opa.output().unwrap()
    };
    let made = verified("ours.tar.gz");
    assert!(made.status.success(), "{made:?}");
    // Ours, changed: OPA takes it as little as we do.
    let ours = std::fs::read(works.path("ours.tar.gz")).unwrap();
    let wrong = changed(&ours, |files| {
        files.insert(
            "names.rego".to_owned(),
            names_are("names", "b").into_bytes(),
        );
    });
    works.put("wrong.tar.gz", &wrong);
    assert!(!verified("wrong.tar.gz").status.success());
    works.configuration(&["wrong"]);
    let refused = said(&run(&["check", "--config", "dtgate.toml"], folder));
    assert!(refused.contains("it is not what was signed"), "{refused}");
    // Theirs, signed by `opa build` just now.
    verified("ours.tar.gz");
    works.configuration(&["theirs"]);
    let check = said(&run(&["check", "--config", "dtgate.toml"], folder));
    assert!(
        check.contains("bundle theirs: revision r, sha256 "),
        "{check}"
    );
}

/// They are a bundle for OPA as well: it refuses data beyond the roots.
#[test]
#[ignore = "needs OPA"]
fn needs_opa_the_shipped_policies_are_a_bundle() {
    let works = Works::new();
    let folder = works.0.path();
    let policies = crate::harness::policies();
    for arguments in [
        vec!["build", "--output", "b.tar.gz", "--bundle"],
        vec!["check", "--strict", "--bundle"],
        vec!["test", "--bundle"],
    ] {
        succeeded(opa().current_dir(folder).args(arguments).arg(&policies));
    }
    assert!(run(&["test", "b.tar.gz"], folder).status.success());
}
