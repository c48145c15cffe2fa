//! The commands of docs/rollout.md, as somebody pastes them.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::docs::page;

/// Ports of the page, each of which becomes a free one.
const PORTS: [&str; 5] = ["9100", "8080", "8081", "8082", "8083"];

#[test]
#[ignore = "needs OpenSSL and curl"]
fn needs_openssl_the_page_about_rolling_out_does_what_it_says() {
    let page = page("docs/rollout.md");
    let (_, part) = page.split_once("## Build, sign, serve").unwrap();
    let (part, _) = part.split_once("\n## Several bundles").unwrap();
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
    // Jobs have numbers, as in a shell of somebody's own. Whatever fails, nothing is left behind.
    let script = format!("set -em\ntrap 'kill $(jobs -p) || true' EXIT\n{script}");
    let program = Path::new(env!("CARGO_BIN_EXE_dtgate"));
    let path = std::env::var("PATH").unwrap();
    // No pipe: what is left of it would be waited for.
    let outputs = tempfile::tempdir().unwrap();
    let [told, complaints] = ["told", "complaints"].map(|name| outputs.path().join(name));
    let [out, err] = [&told, &complaints].map(|path| std::fs::File::create(path).unwrap());
    let status = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.path())
        .env(
            "PATH",
            format!("{}:{path}", program.parent().unwrap().display()),
        )
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .status()
        .unwrap();
    let [told, complaints] = [told, complaints].map(|path| std::fs::read_to_string(path).unwrap());
    assert!(status.success(), "{told}\n{complaints}");
    let answers: Vec<&str> = told.lines().filter(|line| line.len() == 3).collect();
    assert_eq!(
        answers,
        ["204", "403", "204", "204", "403", "204"],
        "{told}"
    );
    for said in [
        "PASS: 1/1",
        "platform.tar.gz: 5 files, sha256 ",
        "bundle platform: revision 2026-11-29, sequence 1, sha256 ",
        "its sequence is 1, and 2 was in force already",
        "\"revision\":\"2026-11-30\"",
        "1  were denied and would be allowed",
        "challenger would deny it: names denies: the name has to begin with payments-",
    ] {
        assert!(told.contains(said), "{said}: {told}");
    }
}
