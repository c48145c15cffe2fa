//! The commands of docs/rollout.md, as somebody pastes them.

use std::path::Path;
use std::process::Command;

use crate::pages::{JOBS, commands, paste, statuses};

/// Ports of the page, each of which becomes a free one.
const PORTS: [&str; 5] = ["9100", "8080", "8081", "8082", "8083"];

#[test]
#[ignore = "needs OpenSSL and curl"]
fn needs_openssl_the_page_about_rolling_out_does_what_it_says() {
    let (from, to) = ("## Build, sign, serve", "\n## Several bundles");
    let script = commands("docs/rollout.md", from, to, &PORTS);
    let folder = tempfile::tempdir().unwrap();
    let mut bash = Command::new("bash");
    bash.current_dir(folder.path());
    let told = paste(bash, &script, JOBS, None);
    assert_eq!(
        statuses(&told),
        ["204", "403", "204", "204", "403", "204"],
        "{told}"
    );
    for said in [
        "PASS: 1/1",
        // The sample is one that nothing is to be said about.
        "all is well (1 test run, 1 request decided as wanted)",
        "all is well (1 test run)",
        "platform.tar.gz: 5 files, sha256 ",
        "bundle platform: revision 2026-11-29, sequence 1, sha256 ",
        "its sequence is 1, and 2 was in force already",
        "\"revision\":\"2026-11-30\"",
        "bundle platform: 2026-11-30, sha256 ",
        "4 files written to then",
        "rules, settings and modes are the same",
        "1  were denied and would be allowed",
        "challenger would deny it: names denies: the name has to begin with core-",
    ] {
        assert!(told.contains(said), "{said}: {told}");
    }
}

#[test]
#[ignore = "needs OPA, OpenSSL and curl"]
fn needs_opa_the_page_about_rolling_out_says_what_opa_does_with_a_bundle() {
    let page = "docs/rollout.md";
    let made = (
        "## Build, sign, serve",
        "\nTest the policies and make the bundle",
    );
    let script = commands(page, made.0, made.1, &[]);
    let more = commands(page, "## With OPA", "\n`dtgate test`", &["8181"]);
    let folder = tempfile::tempdir().unwrap();
    let mut bash = Command::new("bash");
    bash.current_dir(folder.path());
    let opa = std::env::var("OPA").ok();
    let opa = opa.as_deref().and_then(|opa| Path::new(opa).parent());
    let told = paste(bash, &(script + &more), JOBS, opa);
    assert_eq!(told.matches("PASS: 1/1").count(), 2, "{told}");
    assert!(told.contains("{\"result\":{\"deny\":[]}}"), "{told}");
}
