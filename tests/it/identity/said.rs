//! What operators and callers are told about identity and brokering: at the start, in the journal, at `/status`, and in
//! the answer to a caller who has proven nothing.

use serde_json::{Value, json};

use super::{BROKERED, DATA, JWT, Making, PUBLIC, SECRET, TLS, naming, telling};
use crate::harness::{Answered, eventually, program};
use crate::tls::clients::{ask, client};

fn challenges(answer: &Answered) -> Vec<&str> {
    let fields = answer.headers.iter();
    let challenges = fields.filter(|(name, _)| name == "www-authenticate");
    challenges.map(|(_, value)| value.as_str()).collect()
}

#[test]
fn who_has_proven_nothing_is_told_what_the_gate_believes() {
    let stand = Making::before(telling()).start(&[TLS, JWT, BROKERED]);
    let nobody = client(&stand.gate, None);
    let answer = ask(&nobody, stand.gate.address, b"", &naming("payments", &[])).unwrap();
    assert_eq!(answer.status, 401);
    let message = answer.message();
    assert!(
        message.contains(
            "the request proves nothing: show a client certificate, or send a JSON Web Token of the issuer ci \
             (Authorization: Bearer TOKEN), or send a JSON Web Token of the issuer field (x-dtgate-token: TOKEN); or show a \
             credential of your own for Dynatrace (Authorization: Api-Token TOKEN)"
        ),
        "{message}"
    );
    // Where issuers are, and whose the gate's credential is, is not for strangers.
    assert!(!message.contains("https://") && !message.contains("GATEPUBLIC"));
    assert_eq!(
        challenges(&answer),
        ["Api-Token realm=\"Dynatrace\"", "Bearer realm=\"dtgate\""]
    );
    let record = stand.gate.records().pop().unwrap();
    assert_eq!(record["operation"], "token.update", "{record}");

    // Without brokering it is as it was.
    let stand = Making::before(telling()).start(&[JWT]);
    let answer = stand.name("payments", &[]);
    assert_eq!(answer.status, 401);
    assert!(
        answer
            .message()
            .contains("send the header Authorization: Api-Token TOKEN"),
        "{answer:?}"
    );
    assert_eq!(challenges(&answer), ["Api-Token realm=\"Dynatrace\""]);
}

#[test]
fn whom_the_gate_believes_and_what_it_lends_is_in_the_log_in_the_journal_and_at_status() {
    let brokered = format!("{BROKERED}traffic = 'reads'\nteams = ['payments']\n");
    let stand = Making::before(telling()).start(&[TLS, JWT, &brokered]);
    let credentials = json!([{
        "environment": "default", "kind": "file", "id": PUBLIC, "traffic": "reads", "teams": ["payments"],
    }]);
    let start = stand.gate.records().remove(0);
    assert_eq!(start["kind"], "start");
    assert_eq!(start["credentials"], credentials, "{start}");
    assert_eq!(start["client_certificates"], "optional");
    assert_eq!(
        start["issuers"],
        json!([
            {"name": "ci", "issuer": "https://ci.example", "audience": ["dtgate"], "header": "authorization"},
            {"name": "field", "issuer": "https://field.example", "audience": ["dtgate"], "header": "x-dtgate-token"},
        ])
    );
    let status = stand.status();
    assert_eq!(status["credentials"], credentials, "{status}");
    assert_eq!(status["client_certificates"], "optional");
    let log = stand.gate.log();
    for (message, word) in [
        ("need no credential for Dynatrace", PUBLIC),
        (
            "JSON Web Tokens of an issuer are believed",
            "https://ci.example",
        ),
        ("client certificates are believed", "optional"),
    ] {
        let said = |line: &str| line.contains(message) && line.contains(word);
        assert!(log.lines().any(said), "{message}: {log}");
    }
    stand.hides(&[SECRET]);

    // A reload that lends another one says which.
    let other = PUBLIC.replace("GATE", "NEXT");
    stand.write("gate.token", &format!("{other}.{SECRET}\n"));
    stand.gate.signal("HUP");
    let reload = eventually("the credential is another one", || {
        let mut records = stand.gate.records().into_iter();
        records.find(|record| record["kind"] == "reload")
    });
    assert_eq!(reload["changed"], json!(["credential"]), "{reload}");
    assert_eq!(reload["credentials"][0]["id"], json!(other), "{reload}");
    assert_eq!(reload["issuers"], start["issuers"]);
    assert_eq!(stand.status()["credentials"][0]["id"], json!(other));

    // A gate that believes nobody has nothing to say.
    let making = Making::before(telling());
    making.file("policies/data.yaml", "{}\n");
    let stand = making.start(&[]);
    let start = stand.gate.records().remove(0);
    for member in ["credentials", "client_certificates", "issuers"] {
        assert_eq!(start[member], Value::Null, "{start}");
    }
}

#[test]
fn a_reload_that_would_lend_the_credential_to_nobody_changes_nothing() {
    let teams = format!("{BROKERED}teams = ['payments']\n");
    let stand = Making::before(telling()).start(&[JWT, &teams]);
    let bearer = stand.bearer(json!({}));
    assert_eq!(
        stand.name("payments", &[("Authorization", &bearer)]).status,
        204
    );
    let renamed = DATA.replace("name: payments", "name: payment");
    stand.write("policies/data.yaml", &renamed);
    stand.gate.signal("HUP");
    let last = eventually("the files are read again", || {
        let last = stand.status()["reload"]["last"].clone();
        (!last.is_null()).then_some(last)
    });
    assert_eq!(last["ok"], false, "{last}");
    let error = last["error"].as_str().unwrap();
    assert!(
        error.contains("credential.teams.0: no caller belongs to a team \"payments\"")
            && error.contains("did you mean \"payment\"?"),
        "{error}"
    );
    assert_eq!(
        stand.name("payments", &[("Authorization", &bearer)]).status,
        204
    );
}

/// What `check` says of the configuration of a gate, with its exit code.
fn check(making: &Making, configuration: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let text = format!("{configuration}\n[upstream]\nurl = 'http://127.0.0.1:1'\n");
    making.file("dtgate.toml", &text);
    let output = program()
        .current_dir(making.directory.path())
        .args(["check", "--config", "dtgate.toml", "--compare", "1"])
        .args(arguments)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn check_says_what_lets_in_the_whole_world_or_nobody() {
    let making = Making::new();
    let github = "[identity.jwt.github]\nissuer = 'https://token.actions.githubusercontent.com'\n\
                  audience = 'dtgate'\ndiscovery = true\n";
    let open = format!("{BROKERED}{JWT}{github}");
    let (code, said) = check(&making, &open, &[]);
    assert_eq!(code, Some(0), "{said}");
    let wanted = "warning: dtgate.toml:1:2: credential: everybody in the world with an account at GitHub may use it";
    assert!(said.contains(wanted), "{said}");
    let (code, said) = check(&making, &open, &["--strict", "--format", "json"]);
    assert_eq!(code, Some(1), "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    let place = json!(["dtgate.toml", 1, 2, "error"]);
    let found = said["diagnostics"].as_array().unwrap().iter();
    let mut found = found.map(|it| json!([it["file"], it["row"], it["column"], it["severity"]]));
    assert!(found.any(|it| it == place), "{said}");

    let closed = format!("{BROKERED}teams = ['payments']\n{JWT}{github}");
    let (code, said) = check(&making, &closed, &["--strict"]);
    assert_eq!(code, Some(0), "{said}");

    // A team by certificates, and nobody is asked for one.
    let machines = format!("{DATA}  - name: machines\n    certificates:\n      - dns: a.example\n");
    making.file("policies/data.yaml", &machines);
    let (code, said) = check(&making, JWT, &[]);
    assert_eq!(code, Some(0), "{said}");
    let wanted = "warning: policies/data.yaml:1:1: data.callers: team \"machines\" has certificates, and clients are not \
                  asked for any";
    assert!(said.contains(wanted), "{said}");
    let (_, said) = check(&making, &format!("{TLS}{JWT}"), &["--strict"]);
    assert!(!said.contains("machines"), "{said}");
}
