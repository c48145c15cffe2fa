//! Real clients, unmodified, through the gate to the simulator: the published Python client `dt`, and Go's
//! HTTP client doing what the Terraform provider does.
//!
//! They need an interpreter and a compiler that a machine may not have, so they are ignored unless asked for:
//! `.ci/run` prepares what they need, and asks for those that can run. No test reaches the network.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Gate, SECRET, Simulator, gate, policies, serving};
use crate::tls::{certified, write};

/// The id of the token that the recordings, and these clients, change.
const MANAGED: &str = "dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA";

fn credential() -> String {
    format!("dt0c01.ST2EY72KQINMH574WMNVI7YN.{SECRET}")
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// The target directory, below which `.ci/run` puts a Python of its own.
fn target() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_dtgate"));
    program.ancestors().nth(2).unwrap().to_owned()
}

/// A Python that has `dt`.
fn python() -> PathBuf {
    python_with("dynatrace")
}

/// A Python that has a package.
pub(crate) fn python_with(package: &str) -> PathBuf {
    let own = target().join("clients/bin/python");
    let mut pythons = [own, PathBuf::from("python3")].into_iter();
    let found = pythons.find(|python| {
        let import = Command::new(python)
            .args(["-c", &format!("import {package}")])
            .output();
        import.is_ok_and(|output| output.status.success())
    });
    found.unwrap_or_else(|| {
        panic!("a Python with {package} is needed: .ci/run makes one below the target directory")
    })
}

/// The lines that a client printed, one JSON object a step.
struct Steps(Vec<Value>);

impl Steps {
    fn of(mut command: Command) -> Self {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let lines = String::from_utf8(output.stdout).unwrap();
        Self(
            lines
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
        )
    }

    fn get(&self, name: &str) -> &Value {
        let mut steps = self.0.iter();
        let step = steps.find(|step| step["step"] == name);
        step.unwrap_or_else(|| panic!("no step {name}: {:?}", self.0))
    }

    /// What `dt` gave back.
    fn result(&self, name: &str) -> &Value {
        let step = self.get(name);
        assert!(step.get("error").is_none(), "{step}");
        &step["result"]
    }

    /// The text of what `dt` raised.
    fn error(&self, name: &str) -> &str {
        let step = self.get(name);
        step["error"]
            .as_str()
            .unwrap_or_else(|| panic!("it should have failed: {step}"))
    }
}

/// The decisions about tokens in the journal: operation, verdict, and the status that was answered.
fn decisions(gate: &Gate) -> Vec<(String, String, Option<u64>)> {
    let records = gate.records();
    let text = |record: &Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
    records
        .iter()
        .filter(|record| record["kind"] == "decision")
        .map(|record| {
            let outcome = records.iter().find(|outcome| {
                outcome["kind"] == "outcome" && outcome["decision_id"] == record["decision_id"]
            });
            let status = outcome.and_then(|outcome| outcome["status"].as_u64());
            (text(record, "operation"), text(record, "verdict"), status)
        })
        .filter(|(operation, ..)| operation.starts_with("token."))
        .collect()
}

fn decision(operation: &str, verdict: &str, status: Option<u64>) -> (String, String, Option<u64>) {
    (operation.to_owned(), verdict.to_owned(), status)
}

#[test]
#[ignore = "needs Python with the package dt"]
fn needs_python_the_published_python_client_works_and_shows_why_it_was_denied() {
    let simulator = Simulator::start();
    let gate = gate(simulator.address);
    let mut command = Command::new(python());
    command
        .arg(clients().join("dt_client.py"))
        .arg(format!("http://{}", gate.address))
        .arg(format!("http://{}", simulator.address))
        .arg(credential())
        // A proxy of this machine is none of the test's business.
        .env("NO_PROXY", "*");
    let steps = Steps::of(command);

    let created = steps.result("create");
    let id = created["id"].as_str().unwrap();
    assert_eq!(created["token"], id);
    assert_eq!(created["expires"], true);
    let read = steps.result("get");
    assert_eq!(read["id"], id);
    assert_eq!(read["name"], "payments-prod-ci");
    assert_eq!(read["scopes"], json!(["metrics.read"]));
    assert!(read["created"].is_string(), "{read}");
    assert_eq!(*steps.result("put"), 204);
    let changed = steps.result("get after put");
    assert_eq!(changed["name"], "payments-prod-cd");
    assert_eq!(changed["enabled"], false);
    assert_eq!(changed["scopes"], json!(["metrics.read", "logs.ingest"]));
    assert_eq!(steps.result("get after denial"), changed);

    for (name, word) in [
        ("create forbidden scope", "WriteConfig"),
        ("create bad name", "metrics_token"),
        ("put forbidden scope", "WriteConfig"),
    ] {
        let error = steps.error(name);
        for part in ["<Response [403]>", "Denied by dtgate: ", word] {
            assert!(error.contains(part), "{name}: {part} is not in: {error}");
        }
    }

    let listed = steps.result("list").as_array().unwrap();
    assert!(listed.len() > 200, "{} tokens", listed.len());
    assert!(listed.iter().all(|token| token["scopes"].is_array()));
    let selected = steps.result("list selected").as_array().unwrap();
    assert_eq!(selected.len(), 1, "{selected:?}");
    assert_eq!(selected[0]["id"], id);
    assert_eq!(steps.result("lookup")["id"], "dt0c01.A");
    assert_eq!(*steps.result("delete"), 204);
    assert!(steps.error("get after delete").contains("<Response [404]>"));
    // Whether a rotation is judged is for the shipped policies to say: either the client gets both
    // tokens, or it reads who denied it.
    let rotation = steps.get("rotation");
    let denied = rotation["error"].as_str().unwrap_or_default();
    assert!(
        rotation["result"] == true || denied.contains("Denied by dtgate: "),
        "{rotation}"
    );

    assert_eq!(
        decisions(&gate),
        [
            decision("token.create", "allow", Some(201)),
            decision("token.update", "allow", Some(204)),
            decision("token.create", "deny", None),
            decision("token.create", "deny", None),
            decision("token.update", "deny", None),
            decision("token.delete", "allow", Some(204)),
        ]
    );
}

/// Go, with all that it keeps below the target directory.
pub(crate) fn go() -> Command {
    let below = target().join("clients-go");
    let mut command = Command::new("go");
    command
        .env("GOCACHE", below.join("cache"))
        .env("GOPATH", below.join("path"))
        .env("GOTOOLCHAIN", "local")
        .env("GOPROXY", "off")
        .env("GOTELEMETRY", "off");
    command
}

/// Builds the Go client.
fn go_client(directory: &Path) -> PathBuf {
    let built = directory.join("client");
    let output = go()
        .args(["build", "-o"])
        .arg(&built)
        .arg(".")
        .current_dir(clients().join("go"))
        .env("GOFLAGS", "-mod=mod")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    built
}

fn go_steps(client: &Path, base: &str, what: &str, ca: Option<&Path>) -> Steps {
    let mut command = Command::new(client);
    command.args([base, &credential(), what]);
    if let Some(ca) = ca {
        command.env("DTGATE_CA", ca);
    }
    Steps::of(command)
}

/// The life of one token as Terraform leads it.
fn assert_life(steps: &Steps, gate: &Gate, proto: &str) {
    let status = |name: &str| steps.get(name)["status"].as_u64().unwrap();
    let body = |name: &str| &steps.get(name)["body"];
    for step in &steps.0 {
        assert_eq!(step["proto"], proto, "{step}");
    }
    assert_eq!(status("create"), 201);
    assert!(body("create")["token"].is_string());
    assert_eq!(status("disable"), 204);
    assert_eq!(body("read")["enabled"], false);
    assert_eq!(body("read")["name"], "payments-prod-tf");
    assert_eq!(status("update"), 204);
    assert_eq!(body("read again")["name"], "payments-prod-tf2");
    assert_eq!(body("read again")["scopes"], json!(["metrics.read"]));

    assert_eq!(status("widen"), 403);
    let error = &body("widen")["error"];
    assert_eq!(error["code"], 403);
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("Denied by dtgate: "), "{message}");
    assert!(
        error["constraintViolations"]
            .to_string()
            .contains("WriteConfig")
    );
    assert_eq!(body("read after denial")["scopes"], json!(["metrics.read"]));

    assert_eq!(status("list"), 200);
    let listed = body("list")["apiTokens"].as_array().unwrap();
    assert!(
        listed
            .iter()
            .any(|token| token["id"] == body("create")["id"])
    );
    assert_eq!(status("delete"), 204);
    assert_eq!(status("read after delete"), 404);
    assert_eq!(
        decisions(gate),
        [
            decision("token.create", "allow", Some(201)),
            decision("token.update", "allow", Some(204)),
            decision("token.update", "allow", Some(204)),
            decision("token.update", "deny", None),
            decision("token.delete", "allow", Some(204)),
        ]
    );
}

#[test]
#[ignore = "needs Go"]
fn needs_go_gos_client_leads_a_token_through_its_life_as_terraform_does() {
    let directory = tempfile::tempdir().unwrap();
    let client = go_client(directory.path());
    let simulator = Simulator::start();
    let plain = gate(simulator.address);
    let base = format!("http://{}", plain.address);
    assert_life(&go_steps(&client, &base, "life", None), &plain, "HTTP/1.1");

    // Over TLS it speaks HTTP/2.
    let simulator = Simulator::start();
    let certified = certified();
    write(directory.path(), &certified);
    let certificate = directory.path().join("certificate.pem");
    let key = directory.path().join("key.pem");
    let mut command = serving(&directory);
    command
        .arg("--upstream")
        .arg(format!("http://{}", simulator.address))
        .arg("--policies")
        .arg(policies())
        .arg("--tls-certificate")
        .arg(&certificate)
        .arg("--tls-key")
        .arg(&key);
    let tls = Gate::spawn(directory, command);
    let base = format!("https://{}", tls.address);
    let steps = go_steps(&client, &base, "life", Some(&certificate));
    assert_life(&steps, &tls, "HTTP/2.0");
}

/// Go turns a PUT that is redirected into a GET, and takes the login page for success.
#[test]
#[ignore = "needs Go"]
fn needs_go_a_login_page_is_never_success_for_gos_client() {
    let directory = tempfile::tempdir().unwrap();
    let client = go_client(directory.path());
    let simulator = Simulator::redirecting();
    // A policy that asks for the token as it is would deny before anything is sent.
    let blind = tempfile::tempdir().unwrap();
    let rego = "package dtgate.blind\n\ndeny contains \"never\" if false\n";
    std::fs::write(blind.path().join("blind.rego"), rego).unwrap();
    let arguments = ["--policies", blind.path().to_str().unwrap()];
    let gate = Gate::start(tempfile::tempdir().unwrap(), simulator.address, &arguments);
    // Without the gate it does just that.
    let base = format!("http://{}", simulator.address);
    let fooled = go_steps(&client, &base, "update", None);
    let fooled = fooled.get("update");
    assert_eq!(
        (&fooled["status"], &fooled["path"]),
        (&json!(200), &json!("/ui/login"))
    );

    let base = format!("http://{}", gate.address);
    let steps = go_steps(&client, &base, "update", None);
    let update = steps.get("update");
    assert_eq!(update["status"], 502, "{update}");
    assert_eq!(update["path"], format!("/api/v2/apiTokens/{MANAGED}"));
    let message = update["body"]["error"]["message"].as_str().unwrap();
    assert!(message.contains("redirect"), "{message}");
    assert_eq!(
        decisions(&gate),
        [decision("token.update", "allow", Some(302))]
    );
}
