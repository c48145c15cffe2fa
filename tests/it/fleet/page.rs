//! The commands of docs/fleet.md, as somebody pastes them.

use crate::harness::policies;
use crate::pages::{commands, paste, statuses};
use crate::postgres::{as_nobody, programs};

/// Ports of the page, each of which becomes a free one.
const PORTS: [&str; 7] = ["5433", "9100", "8001", "8002", "8101", "8102", "8080"];

/// Ends what is still there.
const END: &str =
    "kill $(jobs -p) $(cat haproxy.pid); pg_ctl --pgdata store --mode immediate stop || true";

#[test]
#[ignore = "needs PostgreSQL and HAProxy"]
fn needs_haproxy_the_page_about_several_gates_does_what_it_says() {
    let heading = "## Try it on one machine";
    let script = commands("docs/fleet.md", heading, "\n## ", &PORTS);
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("here");
    std::fs::create_dir(&place).unwrap();
    // Only this user may look into the folder, and PostgreSQL runs as another one.
    let script = script.replace("-k /tmp", "-k ''").replace(
        "--policies policies",
        &format!("--policies {}", policies().display()),
    );
    let bash = as_nobody("bash", &place);
    let told = paste(bash, &script, END, Some(&programs()));
    assert_eq!(statuses(&told), ["204", "204", "403", "204"], "{told}");
    for gate in ["gate-a", "gate-b"] {
        assert!(told.contains(gate), "{gate}: {told}");
    }
}
