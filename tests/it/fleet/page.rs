//! The commands of docs/fleet.md, as somebody pastes them.

use std::process::Stdio;

use crate::docs::page;
use crate::harness::policies;
use crate::postgres::{as_nobody, programs};

/// Ports of the page, each of which becomes a free one.
const PORTS: [&str; 7] = ["5433", "9100", "8001", "8002", "8101", "8102", "8080"];

/// Ends what is still there.
const END: &str =
    "kill $(jobs -p) $(cat haproxy.pid); pg_ctl --pgdata store --mode immediate stop || true";

#[test]
#[ignore = "needs PostgreSQL and HAProxy"]
fn needs_haproxy_the_page_about_several_gates_does_what_it_says() {
    let page = page("docs/fleet.md");
    let (_, part) = page.split_once("## Try it on one machine").unwrap();
    let (part, _) = part.split_once("\n## ").unwrap();
    let blocks = part.split("```sh\n").skip(1);
    let mut script: String = blocks
        .map(|block| block.split_once("```").unwrap().0)
        .collect();
    for port in PORTS {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let free = listener.local_addr().unwrap().port().to_string();
        script = script.replace(port, &free);
    }
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("here");
    std::fs::create_dir(&place).unwrap();
    // Only this user may look into the folder, and PostgreSQL runs as another one.
    let script = script.replace("-k /tmp", "-k ''").replace(
        "--policies policies",
        &format!("--policies {}", policies().display()),
    );
    // Jobs have numbers, as in a shell of somebody's own. Whatever fails, nothing is left behind.
    let script = format!("set -em\ntrap '{END}' EXIT\n{script}");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_dtgate"));
    let path = std::env::var("PATH").unwrap();
    let (mine, theirs) = (program.parent().unwrap(), programs());
    let mut bash = as_nobody("bash", &place);
    // No pipe: what is left of it would be waited for.
    let [told, complaints] = ["told", "complaints"].map(|name| folder.path().join(name));
    let [out, err] = [&told, &complaints].map(|path| std::fs::File::create(path).unwrap());
    let status = bash
        .args(["-c", &script])
        .env(
            "PATH",
            format!("{}:{}:{path}", mine.display(), theirs.display()),
        )
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .status()
        .unwrap();
    let [told, complaints] = [told, complaints].map(|path| std::fs::read_to_string(path).unwrap());
    assert!(status.success(), "{told}\n{complaints}");
    let answers: Vec<&str> = told.lines().filter(|line| line.len() == 3).collect();
    assert_eq!(answers, ["204", "204", "403", "204"], "{told}");
    for gate in ["gate-a", "gate-b"] {
        assert!(told.contains(gate), "{gate}: {told}");
    }
}
