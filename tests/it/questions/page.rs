//! The commands of docs/ask.md, as somebody pastes them.

use std::process::Command;

use crate::harness::{copy, policies};
use crate::pages::{JOBS, commands, paste};

/// Ports of the page, each of which becomes a free one.
const PORTS: [&str; 3] = ["9100", "8080", "8081"];

#[test]
#[ignore = "needs curl"]
fn needs_curl_the_page_about_questions_does_what_it_says() {
    let script = commands("docs/ask.md", "## Try it", "\n## ", &PORTS);
    let folder = tempfile::tempdir().unwrap();
    copy(&policies(), &folder.path().join("policies"));
    let mut bash = Command::new("bash");
    bash.current_dir(folder.path());
    let told = paste(bash, &script, JOBS, None);
    for said in [
        "\"code\": \"name-pattern\"",
        "\"decision\": false",
        "\"policy\": \"forbidden_scopes\"",
        "leave out WriteConfig, and the request passes",
    ] {
        assert!(told.contains(said), "{said}: {told}");
    }
    assert!(!told.contains("unreadable-request"), "{told}");
}
