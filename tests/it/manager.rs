//! What a service manager hears from the gate, by the protocol of systemd; and the commands by which packages and
//! containers know it: health, manual pages, completions.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::Resource;
use tempfile::TempDir;

use crate::harness::{GOOD, Gate, TOKEN, Upstream, eventually, gate, program, serving};
use crate::tls::{certified, write};

const POLICY: &str =
    "package dtgate.names\n\ndeny contains \"no\" if input.change.name.requested == \"no\"\n";

/// A manager that hears a gate, which reads files again only when it is told to.
struct Manager {
    socket: UnixDatagram,
    gate: Gate,
    _upstream: Upstream,
}

impl Manager {
    fn start(environment: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path();
        let socket = UnixDatagram::bind(place.join("notify")).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_mins(2)))
            .unwrap();
        std::fs::create_dir(place.join("policies")).unwrap();
        std::fs::write(place.join("policies/names.rego"), POLICY).unwrap();
        std::fs::write(place.join("dtgate.toml"), "[reload]\nwatch = false\n").unwrap();
        let upstream = Upstream::lenient();
        let mut command = serving(&directory);
        command
            .args(["--upstream", &format!("http://{}", upstream.address)])
            .args(["--config", "dtgate.toml", "--policies", "policies"])
            .current_dir(place)
            .env("NOTIFY_SOCKET", place.join("notify"))
            .envs(environment.iter().copied());
        Self {
            socket,
            gate: Gate::spawn(directory, command),
            _upstream: upstream,
        }
    }

    fn next(&self) -> String {
        let mut bytes = [0; 1024];
        let length = self.socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// The next word that is no sign of life.
    fn hears(&self) -> String {
        loop {
            let said = self.next();
            if said != "WATCHDOG=1\n" {
                return said;
            }
        }
    }
}

#[test]
fn a_manager_hears_when_the_gate_serves_reloads_and_ends_and_that_it_lives() {
    let mut manager = Manager::start(&[("WATCHDOG_USEC", "30000")]);
    let said = manager.hears();
    assert!(
        said.starts_with("READY=1\nSTATUS=serving, generation 0, policies "),
        "{said}"
    );
    assert_eq!(manager.gate.send("PUT", TOKEN, GOOD).status, 204);
    for _ in 0..3 {
        assert_eq!(manager.next(), "WATCHDOG=1\n");
    }
    let file = manager.gate.directory.path().join("policies/names.rego");
    let changed = POLICY.replace("\"no\"", "\"never\"");
    let broken = "package dtgate.names\n\ndeny {";
    for (text, status) in [
        (POLICY, "serving, generation 0, policies "),
        (&changed, "serving, generation 1, policies "),
        (broken, "serving, generation 1, policies "),
        (&changed, "serving, generation 1, policies "),
    ] {
        std::fs::write(&file, text).unwrap();
        manager.gate.signal("HUP");
        let begun = manager.hears();
        let moment = begun.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(
            moment.lines().next().unwrap().parse::<u64>().unwrap() > 0,
            "{begun}"
        );
        let mut done = manager.hears();
        if done.starts_with("STATUS=") {
            // Files that were refused are gone.
            done = manager.hears();
        }
        assert!(
            done.starts_with(&format!("READY=1\nSTATUS={status}")),
            "{done}"
        );
        assert_eq!(done.contains("refused"), text == broken, "{done}");
    }
    manager.gate.signal("TERM");
    assert_eq!(manager.hears(), "STOPPING=1\nSTATUS=draining\n");
    assert!(manager.gate.wait().success());
}

#[test]
fn no_sign_of_life_is_given_for_somebody_else() {
    let mut manager = Manager::start(&[("WATCHDOG_USEC", "1"), ("WATCHDOG_PID", "1")]);
    assert!(manager.next().starts_with("READY=1\n"));
    assert_eq!(manager.gate.send("PUT", TOKEN, GOOD).status, 204);
    manager.gate.signal("TERM");
    assert_eq!(manager.next(), "STOPPING=1\nSTATUS=draining\n");
    assert!(manager.gate.wait().success());
    manager.socket.set_nonblocking(true).unwrap();
    assert!(manager.socket.recv(&mut [0; 64]).is_err());
}

/// A worker that hangs cannot be made from outside, and a program that hangs as a whole can.
#[test]
fn a_gate_that_hangs_gives_no_sign_of_life() {
    let manager = Manager::start(&[("WATCHDOG_USEC", "3000")]);
    assert!(manager.hears().starts_with("READY=1\n"));
    assert_eq!(manager.next(), "WATCHDOG=1\n");
    manager.gate.signal("STOP");
    let state = format!("/proc/{}/stat", manager.gate.child.id());
    eventually("it hangs", || {
        let stat = std::fs::read_to_string(&state).unwrap();
        stat.rsplit(") ")
            .next()
            .unwrap()
            .starts_with('T')
            .then_some(())
    });
    manager.socket.set_nonblocking(true).unwrap();
    while manager.socket.recv(&mut [0; 64]).is_ok() {}
    // It would have said so hundreds of times.
    manager.socket.set_nonblocking(false).unwrap();
    manager
        .socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    assert!(manager.socket.recv(&mut [0; 64]).is_err());
    manager.gate.signal("CONT");
    manager
        .socket
        .set_read_timeout(Some(Duration::from_mins(2)))
        .unwrap();
    assert_eq!(manager.next(), "WATCHDOG=1\n");
}

fn health(arguments: &[&str]) -> Output {
    program().arg("health").args(arguments).output().unwrap()
}

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "needs Linux, where a running program can be limited"
)]
fn health_says_whether_the_gate_lives_and_whether_it_is_ready() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    let admin = gate.admin.to_string();
    let alive = health(&["--admin", &admin]);
    assert_eq!(
        (alive.status.code(), &*alive.stdout),
        (Some(0), &b"{\"alive\":true}\n"[..])
    );
    assert_eq!(
        health(&["--admin", &admin, "--ready"]).status.code(),
        Some(0)
    );
    // Who listens everywhere is asked here.
    let config = gate.directory.path().join("health.toml");
    std::fs::write(
        &config,
        format!("[admin]\nlisten = \"0.0.0.0:{}\"\n", gate.admin.port()),
    )
    .unwrap();
    assert_eq!(
        health(&["--config", config.to_str().unwrap()])
            .status
            .code(),
        Some(0)
    );

    gate.limit(Resource::Fsize, Some(0));
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 500);
    assert_eq!(health(&["--admin", &admin]).status.code(), Some(0));
    let trouble = health(&["--admin", &admin, "--ready"]);
    assert_eq!(trouble.status.code(), Some(1), "{trouble:?}");
    assert!(
        String::from_utf8_lossy(&trouble.stdout).contains("\"ready\":false"),
        "{trouble:?}"
    );
    drop(gate);
    let nobody = health(&["--admin", &admin]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&nobody.stderr).contains("nobody answers at 127.0.0.1:"),
        "{nobody:?}"
    );
}

/// The address of a gate whose operators come by TLS, and a configuration for `health` to ask it by.
fn asks(gate: &Gate, folder: &TempDir) -> Output {
    let place = folder.path().to_str().unwrap();
    let text = format!(
        "[admin]\nlisten = '{}'\n[admin.tls.files]\ncertificate = '{place}/certificate.pem'\nkey = '{place}/key.pem'\n",
        gate.admin
    );
    let config = folder.path().join("health.toml");
    std::fs::write(&config, text).unwrap();
    health(&["--config", config.to_str().unwrap(), "--ready"])
}

/// A gate whose operators come by TLS, with what else its `[admin.tls]` has, and the folder of its certificate.
fn by_tls(more: &str) -> (Gate, TempDir, Upstream) {
    let own = tempfile::tempdir().unwrap();
    write(own.path(), &certified());
    let upstream = Upstream::lenient();
    let place = own.path().to_str().unwrap();
    let text = format!(
        "[admin.tls.files]\ncertificate = '{place}/certificate.pem'\nkey = '{place}/key.pem'\n{more}"
    );
    let gate = crate::wire::configured(upstream.address, &text);
    (gate, own, upstream)
}

/// The files on disk may be newer than what is in force, refused, or gone: the gate is as good as before.
#[test]
fn health_calls_no_good_gate_dead_for_what_is_on_its_disk() {
    let (gate, own, _upstream) = by_tls("");
    let answer = asks(&gate, &own);
    assert_eq!(answer.status.code(), Some(0), "{answer:?}");
    assert!(
        String::from_utf8_lossy(&answer.stdout).contains("\"ready\":true"),
        "{answer:?}"
    );
    // Another one, with a key that does not belong to it, nothing, and nonsense.
    let other = tempfile::tempdir().unwrap();
    write(other.path(), &certified());
    assert_eq!(asks(&gate, &other).status.code(), Some(0));
    std::fs::remove_file(other.path().join("certificate.pem")).unwrap();
    assert_eq!(asks(&gate, &other).status.code(), Some(0));

    let admin = gate.admin.to_string();
    let config = other.path().join("health.toml");
    for text in ["[admin.tls", "", "[listener]\nnonsense = 1\n"] {
        std::fs::write(&config, text).unwrap();
        let config = config.to_str().unwrap();
        let answer = health(&["--config", config, "--admin", &admin, "--ready"]);
        assert_eq!(answer.status.code(), Some(0), "{text}: {answer:?}");
    }
    // Its own files, and a plain gate.
    drop(gate);
    let upstream = Upstream::lenient();
    let plain = crate::harness::gate(upstream.address);
    assert_eq!(asks(&plain, &own).status.code(), Some(0));
}

#[test]
fn health_says_what_is_wrong_with_its_configuration_when_nobody_answers() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("health.toml");
    std::fs::write(&config, "[admin.tls").unwrap();
    let answer = health(&["--config", config.to_str().unwrap(), "--admin", &address]);
    assert_eq!(answer.status.code(), Some(1));
    let said = String::from_utf8_lossy(&answer.stderr);
    assert!(
        said.contains("nobody answers at") && said.contains("health.toml"),
        "{said}"
    );
}

/// A gate that refuses whoever has no certificate is alive. Whether it is ready, nobody knows.
#[test]
fn health_takes_a_gate_for_alive_that_wants_a_certificate_of_it() {
    let clients = tempfile::tempdir().unwrap();
    write(clients.path(), &certified());
    let ca = clients.path().join("certificate.pem");
    for (more, ready) in [("", 1), ("required = false\n", 0)] {
        let text = format!("[admin.tls.clients]\nca = '{}'\n{more}", ca.display());
        for version in ["", "min_version = '1.3'\n"] {
            let tls = format!("[admin.tls]\n{version}{text}");
            let (gate, own, _upstream) = by_tls(&tls);
            let admin = gate.admin.to_string();
            let config = own.path().join("none.toml");
            std::fs::write(&config, "").unwrap();
            let config = config.to_str().unwrap();
            let alive = health(&["--config", config, "--admin", &admin]);
            assert_eq!(alive.status.code(), Some(0), "{alive:?}");
            let answer = asks(&gate, &own);
            assert_eq!(answer.status.code(), Some(ready), "{answer:?}");
            let said = String::from_utf8_lossy(&answer.stderr);
            assert!(
                ready == 0 || said.contains("wants a certificate of operators"),
                "{said}"
            );
        }
    }
}

/// Somebody who is no gate, or says nothing.
#[test]
fn health_is_not_misled_and_does_not_wait_for_ever() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = socket.local_addr().unwrap();
    let output = health(&["--admin", &address.to_string()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let upstream = Upstream::answering_all(|_| b"HELLO\r\n".to_vec());
    let output = health(&["--admin", &upstream.address.to_string()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("that is no gate"),
        "{output:?}"
    );
}

/// The commands, as the program's own help lists them.
fn commands() -> BTreeSet<String> {
    let output = program().arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let listed = help
        .split("Commands:\n")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    let names = listed
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names
        .filter(|name| !name.is_empty() && *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let folder = tempfile::tempdir().unwrap();
    let mut man = program();
    let output = man.arg("man").arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let page =
        |name: &str| std::fs::read_to_string(folder.path().join(format!("{name}.1"))).unwrap();
    let names = commands();
    assert!(names.len() > 10);
    let first = page("dtgate");
    for name in names {
        assert!(
            first.contains(&format!("dtgate\\-{name}(1)")),
            "{name}: {first}"
        );
        assert!(page(&format!("dtgate-{name}")).contains(".TH "), "{name}");
    }
    assert!(page("dtgate-audit-verify").contains("\\-\\-journal"));
    assert!(page("dtgate-serve").contains("\\-\\-upstream\\-ca"));
    let printed = program().arg("man").output().unwrap();
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), first);
    let nowhere = program().args(["man", "/does/not/exist"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(1), "{nowhere:?}");
}

#[test]
fn each_shell_gets_a_script_that_knows_all_commands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = program().args(["completions", shell]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let script = String::from_utf8(output.stdout).unwrap();
        for name in commands() {
            assert!(script.contains(&name), "{shell}: {name}");
        }
        assert!(script.contains("upstream-ca"), "{shell}");
    }
}

/// bash itself takes the script, and completes by it.
#[test]
fn bash_completes_commands() {
    let script = "eval \"$($0 completions bash)\"; COMP_WORDS=(dtgate se); COMP_CWORD=1; _dtgate dtgate se dtgate; echo \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    let output = bash
        .args(["-c", script])
        .arg(env!("CARGO_BIN_EXE_dtgate"))
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "serve",
        "{output:?}"
    );
}
