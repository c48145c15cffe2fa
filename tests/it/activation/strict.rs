//! What passes the gate before policies are in force only seemingly: later, elsewhere, after a restart, or by mistake.

use std::fs;

use serde_json::json;

use super::{BOTH, Files, MORE, ONE, grant, printed, refused, request, said, scopes, status};
use crate::harness::{Gate, TOKEN, eventually, serving};

impl Files {
    fn is_wrong(&self, wanted: &str) {
        let checked = self.check();
        let said = said(&checked);
        assert!(
            !checked.status.success() && said.contains(wanted),
            "{wanted}: {checked:?}"
        );
    }

    fn is_right(&self) {
        let checked = self.check();
        assert!(checked.status.success(), "{checked:?}");
    }
}

#[test]
fn what_has_to_be_denied_is_denied_later_as_well_and_whatever_time_a_document_says() {
    let files = Files::new(&scopes(BOTH), "requests = 'REQUESTS'");
    files.write("requests/deny/config.http", &request("WriteConfig"));
    files.is_right();
    files.write(
        "policies/data.yaml",
        "modes: {scopes: [{mode: dry_run, from: \"2199-01-01\"}]}\n",
    );
    files.is_wrong(
        "config.http: it has to be denied, and no policy denies it from 2199-01-01T00:00:00Z on",
    );
    files.write(
        "policies/data.yaml",
        "exceptions:\n- {policy: scopes, token: d5836312-5790-4e80-afcf-09971954c3ea, reason: a, ticket: b, from: \"2198-01-01\", until: \"2199-01-01\"}\n",
    );
    files.is_wrong("no policy denies it from 2198-01-01");
    fs::remove_file(files.path("requests/deny/config.http")).unwrap();
    let document = json!({
        "operation": "token.update", "api": "v1", "environment": {"name": "default"},
        "change": {"scopes": {"requested": ["WriteConfig"]}}, "time": "2019-01-01T00:00:00.000Z",
    });
    files.write("requests/deny/config.json", &document.to_string());
    files.is_right();
    files.write(
        "policies/data.yaml",
        "modes: {scopes: [{mode: dry_run, from: \"2020-01-01\"}]}\n",
    );
    files.is_wrong("config.json: it has to be denied, and no policy denies it");
}

#[test]
fn what_has_to_be_denied_is_denied_in_every_environment_that_it_can_be_for() {
    let files = Files::new(&scopes(BOTH), "");
    files.write("requests/deny/config.http", &request("WriteConfig"));
    let requests = files.path("requests").display().to_string();
    files.write(
        "dtgate.toml",
        &format!(
            "policies.activation.requests = '{requests}'\n\
             [environments.dev]\nhosts = [\"dev.example\"]\nupstream.url = \"http://127.0.0.1:1\"\n\
             [environments.prod]\nhosts = [\"prod.example\"]\nupstream.url = \"http://127.0.0.1:1\"\n"
        ),
    );
    files.is_right();
    files.write(
        "policies/data.yaml",
        "modes: {scopes: [{mode: dry_run, environment: prod}]}\n",
    );
    files.is_wrong("no policy denies it (in environment prod)");
    // It can be for one alone.
    let of_dev = request("WriteConfig").replace("Host: dtgate", "Host: dev.example");
    files.write("requests/deny/config.http", &of_dev);
    files.is_right();
}

#[test]
fn a_mistake_in_a_request_is_no_denial_and_what_is_in_no_folder_is_told() {
    let files = Files::new(&scopes(BOTH), "requests = 'REQUESTS'");
    let broken = request("WriteConfig").replace("]}", "]");
    files.write("requests/deny/config.http", &broken);
    files.is_wrong("config.http: no policy is asked: it is refused before");
    fs::remove_file(files.path("requests/deny/config.http")).unwrap();
    files.write("requests/refused/config.http", &broken);
    files.is_right();
    files.write("requests/refused/whole.http", &request("WriteConfig"));
    files.is_wrong(
        "whole.http: it has to be refused before any policy is asked, and policies judge it",
    );
    fs::remove_file(files.path("requests/refused/whole.http")).unwrap();
    for name in ["denied", "Deny", "allowed"] {
        fs::create_dir(files.path("requests").join(name)).unwrap();
        files.is_wrong(&format!(
            "{name}: nothing is read here but the directories deny, allow and refused"
        ));
        fs::remove_dir(files.path("requests").join(name)).unwrap();
    }
    files.write("requests/notes.txt", "");
    files.is_wrong("notes.txt: nothing is read here");
}

#[test]
fn a_check_says_in_json_that_requests_are_decided_otherwise() {
    let files = Files::new(&scopes(ONE), "requests = 'REQUESTS'");
    files.write("requests/deny/tokens.http", &request("apiTokens.write"));
    let mut check = crate::harness::program();
    check.args(["check", "--format", "json", "--config"]);
    check
        .arg(files.path("dtgate.toml"))
        .arg("--policies")
        .arg(files.path("policies"));
    let checked = check.output().unwrap();
    assert_eq!(checked.status.code(), Some(1));
    let told: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(told["ok"], json!(false));
    let said = told["problems"][0].as_str().unwrap();
    assert!(said.contains("tokens.http: it has to be denied"), "{said}");
}

#[test]
fn strangers_do_not_hide_the_decisions_that_new_policies_are_measured_by() {
    let files = Files::new(&scopes(ONE), "replay = 3");
    let gate = files.gate();
    for _ in 0..3 {
        assert_eq!(grant(&gate, "metrics.read"), 204);
    }
    // No policy sees these.
    for _ in 0..10 {
        assert_eq!(gate.send("PUT", TOKEN, "{").status, 400);
    }
    files.write("policies/scopes.rego", &scopes(MORE));
    let said = refused(&gate, "too many denials");
    assert!(
        said.contains("would deny 3 of the newest 3 decisions"),
        "{said}"
    );
    assert!(said.contains("\nasked for by "), "{said}");
    assert_eq!(grant(&gate, "metrics.read"), 204);
}

#[test]
fn links_to_devices_and_pipes_neither_stop_nor_fill_a_gate() {
    let files = Files::new(&scopes(ONE), "requests = 'REQUESTS'");
    files.write("requests/deny/config.http", &request("WriteConfig"));
    let gate = files.gate();
    std::os::unix::fs::symlink("/dev/zero", files.path("requests/deny/zero.http")).unwrap();
    let said = refused(&gate, "a device");
    assert!(said.contains("zero.http: it is no regular file"), "{said}");
    fs::remove_file(files.path("requests/deny/zero.http")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(files.path("policies/more.rego"))
        .status();
    assert!(made.unwrap().success());
    eventually("a pipe is told", || {
        let last = &status(&gate)["reload"]["last"]["error"];
        let said = last.as_str().unwrap_or_default();
        said.contains("more.rego").then_some(())
    });
    fs::remove_file(files.path("policies/more.rego")).unwrap();
    files.write("policies/scopes.rego", &scopes(BOTH));
    eventually("the policies are in force", || {
        (grant(&gate, "apiTokens.write") == 403).then_some(())
    });
}

#[test]
fn a_restart_does_not_put_in_force_what_was_refused() {
    let files = Files::new(&scopes(BOTH), "");
    let test = "package dtgate.scopes_test\n\nimport data.dtgate.scopes\n\ntest_denied if {\n\tcount(scopes.deny) == 1 with input.change.scopes.requested as [\"apiTokens.write\"]\n}\n";
    files.write("policies/scopes_test.rego", test);
    let gate = files.gate();
    assert_eq!(grant(&gate, "apiTokens.write"), 403);
    files.write("policies/scopes.rego", &scopes(ONE));
    refused(&gate, "the tests fail");
    // What was in force is in the journal's directory.
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().join("journal/policies");
    fs::create_dir_all(&kept).unwrap();
    let own = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(directory.path().join("journal"), own).unwrap();
    for entry in fs::read_dir(gate.journal().join("policies")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), kept.join(entry.file_name())).unwrap();
    }
    drop(gate);
    let command = || {
        let mut command = serving(&directory);
        command.arg("--config").arg(files.path("dtgate.toml"));
        command.arg("--policies").arg(files.path("policies"));
        let upstream = format!("http://{}", files.upstream.address);
        command.args(["--upstream", &upstream]);
        command
    };
    let started = command().output().unwrap();
    let told = said(&started);
    assert!(!started.status.success(), "{told}");
    assert!(
        told.contains("these policies were never in force here")
            && told.contains("do not pass their tests"),
        "{told}"
    );
    // Those that were in force are.
    files.write("policies/scopes.rego", &scopes(BOTH));
    let command = command();
    let gate = Gate::spawn(directory, command);
    assert_eq!(grant(&gate, "apiTokens.write"), 403);
}

/// Each test is quick enough, and together they are not.
#[test]
fn tests_that_take_too_long_together_keep_policies_from_being_in_force() {
    let files = Files::new(&scopes(ONE), "");
    let configuration = fs::read_to_string(files.path("dtgate.toml")).unwrap();
    files.write(
        "dtgate.toml",
        &format!("reload.test_timeout = \"200ms\"\n{configuration}"),
    );
    let gate = files.gate();
    let head = "package dtgate.scopes_test\n\nimport data.dtgate.scopes\n".to_owned();
    let tests = (0..20).map(|number| {
        format!(
            "\ntest_{number} if count([a | some a in numbers.range(1, 20000); a % 7 == {number}]) >= 0\n"
        )
    });
    let slow: Vec<String> = std::iter::once(head).chain(tests).collect();
    files.write("policies/scopes_test.rego", &slow.concat());
    let told = refused(&gate, "its tests take too long");
    assert!(
        told.contains(" of 20 tests were done after 200ms") && told.contains("reload.test_timeout"),
        "{told}"
    );
    let limit = "dtgate_limit_reached_total{limit=\"tests\"}";
    assert_eq!(crate::tls::clients::metric(&gate, limit), 1);
    let checked = files.check();
    assert!(
        said(&checked).contains("tests were done after 200ms")
            || printed(&checked).contains("tests were done after 200ms"),
        "{checked:?}"
    );
}

/// The name of an entrypoint is as many directories.
#[test]
fn requests_can_have_to_be_denied_by_an_entrypoint() {
    let files = Files::new(&scopes(ONE), "requests = 'REQUESTS'");
    let configuration = fs::read_to_string(files.path("dtgate.toml")).unwrap();
    files.write(
        "dtgate.toml",
        &format!("policies.entrypoints = [\"envoy/authz/allow\"]\n{configuration}"),
    );
    let allow = |scope: &str| {
        format!(
            "package envoy.authz\n\ndefault allow := false\n\nallow if not \"{scope}\" in input.change.scopes.requested\n"
        )
    };
    files.write("policies/envoy.rego", &allow("metrics.read"));
    files.write(
        "requests/deny/envoy/authz/allow/metrics.http",
        &request("metrics.read"),
    );
    files.write("requests/deny/scopes/config.http", &request("WriteConfig"));
    files.is_right();
    files.write("policies/envoy.rego", &allow("logs.read"));
    files.is_wrong("envoy/authz/allow has to deny it, and does not");
    // A link back to where it stands.
    std::os::unix::fs::symlink(
        files.path("requests/deny"),
        files.path("requests/deny/envoy/up"),
    )
    .unwrap();
    files.is_wrong("directories within each other");
}

#[test]
fn a_check_says_that_an_answer_of_an_entrypoint_cannot_be_sent() {
    let files = Files::new(&scopes(ONE), "");
    let configuration = fs::read_to_string(files.path("dtgate.toml")).unwrap();
    files.write(
        "dtgate.toml",
        &format!("policies.entrypoints = [\"envoy/authz/allow\"]\n{configuration}"),
    );
    let answer = |status: u16| {
        format!(
            "package envoy.authz\n\nallow := {{\"allowed\": false, \"http_status\": {status}}}\n"
        )
    };
    files.write("policies/envoy.rego", &answer(401));
    let told = "envoy/authz/allow: the answer that it writes cannot be sent";
    assert!(!printed(&files.check()).contains("cannot be sent"));
    files.write("policies/envoy.rego", &answer(200));
    let checked = files.check();
    assert!(printed(&checked).contains(told), "{checked:?}");
}
