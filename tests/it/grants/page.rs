//! The commands of docs/grants.md, as somebody pastes them.

use std::process::Command;

use crate::harness::{copy, policies};
use crate::pages::{JOBS, commands, paste, statuses};

/// Ports of the page, each of which becomes a free one.
const PORTS: [&str; 3] = ["9100", "8080", "8081"];

#[test]
#[ignore = "needs curl"]
fn needs_curl_the_page_about_grants_does_what_it_says() {
    let heading = "## From a denial to a grant";
    let script = commands("docs/grants.md", heading, "\n## ", &PORTS);
    let folder = tempfile::tempdir().unwrap();
    copy(&policies(), &folder.path().join("policies"));
    let mut bash = Command::new("bash");
    bash.current_dir(folder.path());
    let told = paste(bash, &script, JOBS, None);
    assert_eq!(statuses(&told), ["403", "204", "403"], "{told}");
    for said in [
        "lets pass    this request once, exactly as it was denied:",
        "it can be used, once",
        "it cannot be used: it was used, by decision ",
        "passes once by grant ",
        "granted  token.update",
    ] {
        assert!(told.contains(said), "{said}: {told}");
    }
}
