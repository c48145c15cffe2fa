//! Commands of pages, as somebody pastes them.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::docs::page;

/// All commands of a page between two headings. Each of its ports becomes a free one.
pub(crate) fn commands(name: &str, from: &str, to: &str, ports: &[&str]) -> String {
    let page = page(name);
    let (_, part) = page.split_once(from).unwrap();
    let (part, _) = part.split_once(to).unwrap();
    let blocks = part.split("```sh\n").skip(1);
    let mut script: String = blocks
        .map(|block| block.split_once("```").unwrap().0)
        .collect();
    // All are held until all are known, and none is looked for within another.
    let bind = |_port: &&str| TcpListener::bind("127.0.0.1:0").unwrap();
    let listeners: Vec<TcpListener> = ports.iter().map(bind).collect();
    for (number, port) in ports.iter().enumerate() {
        script = script.replace(port, &format!("<port {number}>"));
    }
    for (number, listener) in listeners.iter().enumerate() {
        let free = listener.local_addr().unwrap().port().to_string();
        script = script.replace(&format!("<port {number}>"), &free);
    }
    script
}

/// Ends what a shell has begun.
pub(crate) const JOBS: &str = "kill $(jobs -p) || true";

/// Has a shell run a script with dtgate, and `more` programs, within reach; what it prints. `end` is run whatever fails.
pub(crate) fn paste(mut bash: Command, script: &str, end: &str, more: Option<&Path>) -> String {
    // Jobs have numbers, as in a shell of somebody's own. Whatever fails, nothing is left behind: also where the script has
    // ended some of it by itself. What it came to was said before.
    let script = format!("set -em\ntrap 'came_to=$?; set +e; {end}; exit $came_to' EXIT\n{script}");
    let program = Path::new(env!("CARGO_BIN_EXE_dtgate"));
    let mut path = format!("{}:", program.parent().unwrap().display());
    if let Some(more) = more {
        path = format!("{path}{}:", more.display());
    }
    path.push_str(&std::env::var("PATH").unwrap());
    // No pipe: what is left of it would be waited for.
    let outputs = tempfile::tempdir().unwrap();
    let [told, complaints] = ["told", "complaints"].map(|name| outputs.path().join(name));
    let [out, err] = [&told, &complaints].map(|path| File::create(path).unwrap());
    let status = bash
        .args(["-c", &script])
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .status()
        .unwrap();
    let [told, complaints] = [told, complaints].map(|path| std::fs::read_to_string(path).unwrap());
    assert!(status.success(), "{told}\n{complaints}");
    told
}

/// What the script has ended already, the end cannot end again: that is no failure, and nothing after it is left out.
#[test]
fn what_ends_a_script_changes_nothing_that_it_came_to() {
    let end = "kill 999999999; echo ended";
    let told = paste(Command::new("bash"), "echo well\n", end, None);
    assert_eq!(told, "well\nended\n");
    let fails = std::panic::catch_unwind(|| paste(Command::new("bash"), "false\n", end, None));
    assert!(fails.is_err());
}

/// The statuses that curl prints, a line each.
pub(crate) fn statuses(told: &str) -> Vec<&str> {
    let is_one = |line: &&str| line.len() == 3 && line.bytes().all(|byte| byte.is_ascii_digit());
    told.lines().filter(is_one).collect()
}
