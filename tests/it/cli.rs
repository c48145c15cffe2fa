//! The commands as a person or a pipeline uses them: exit codes, and words that name the place.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{
    BAD, GOOD, Gate, SECRET, TOKEN, Upstream, data, exchange, gate, policies, program,
};

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn run(arguments: &[&str]) -> Ran {
    let output: Output = program().args(arguments).output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ran {
    fn all(&self) -> String {
        format!("exit {}\n{}{}", self.code, self.out, self.err)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A directory with one policy.
fn policy(rego: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("mine.rego"), rego).unwrap();
    directory
}

#[test]
fn check_says_what_becomes_of_records() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dtgate.toml");
    let journal = directory.path().join("journal");
    let lines = |more: &str| {
        let common = format!(
            "upstream.url = \"http://127.0.0.1:9\"\npolicies.directory = {:?}\n\
             journal.directory = {journal:?}\n{more}",
            policies()
        );
        std::fs::write(&file, common).unwrap();
        let ran = run(&["check", "--config", text(&file)]);
        assert_eq!(ran.code, 0, "{}", ran.all());
        let lines = ran
            .out
            .lines()
            .filter(|line| line.starts_with("note: journal: "));
        let lines = lines.map(|line| line.trim_start_matches("note: "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        lines(""),
        [
            "journal: nothing is ever deleted",
            "journal: checkpoints go nowhere else, so that nobody could prove that its end was cut"
        ]
    );
    let more = "journal.retention.max_age = \"30d\"\njournal.retention.max_size = \"1 GiB\"\n\
                journal.pseudonyms.fields = [\"caller.address\"]\njournal.checkpoints.log = true\n";
    assert_eq!(
        lines(more),
        [
            "journal: segments older than 30days or beyond 1 GiB in all are deleted",
            "journal: pseudonyms stand for caller.address; replay cannot judge by a policy that reads one of them",
            "journal: checkpoints go to the log"
        ]
    );
}

/// Records of refusals have no claims, and name the caller by its subject all the same.
#[test]
fn a_claim_that_names_callers_has_no_pseudonym_without_their_subject() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dtgate.toml");
    for (subject, fields, is_refused) in [
        ("", "caller.jwt.claims.sub", true),
        ("subject = \"email\"", "caller.jwt.claims.email", true),
        ("subject = \"email\"", "caller.jwt.claims.sub", false),
        ("", "caller.jwt.claims.sub\", \"caller.jwt.subject", false),
    ] {
        let config = format!(
            "journal.pseudonyms.fields = [\"{fields}\"]\n[identity.jwt.ci]\nissuer = \"https://ci.example\"\n\
             audience = \"dtgate\"\njwks_url = \"https://ci.example/keys\"\n{subject}\n"
        );
        std::fs::write(&file, config).unwrap();
        let ran = run(&["check", "--config", text(&file)]);
        let said = "records that have no claims have it as their subject";
        assert_eq!(
            ran.all().contains(said),
            is_refused,
            "{fields}: {}",
            ran.all()
        );
        assert_eq!(
            ran.all().contains("dtgate.toml:1:"),
            is_refused,
            "{}",
            ran.all()
        );
    }
}

#[test]
fn the_demo_shows_both_answers_and_exits_0() {
    let ran = run(&["demo", "--once", "--policies", text(&policies())]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    for shown in [
        "403 Forbidden",
        "WriteConfig",
        "204 No Content",
        "payments-prod-ci",
        "Both answers were right.",
    ] {
        assert!(ran.out.contains(shown), "{shown}: {}", ran.out);
    }
    assert_eq!(ran.err, "");
}

#[test]
fn the_shipped_policies_are_fine() {
    let ran = run(&["check", "--policies", text(&policies())]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert!(ran.out.contains("forbidden_scopes"), "{}", ran.out);
    let ran = run(&["check", "--format", "json", "--policies", text(&policies())]);
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(answer["ok"], true);
}

#[test]
fn a_policy_that_does_not_compile_is_named_with_line_and_column() {
    let directory = policy(
        "package dtgate.mine\n\ndeny contains \"x\" if {\n\tinput.change.name.requested == \n}\n",
    );
    let ran = run(&["check", "--policies", text(directory.path())]);
    assert_eq!(ran.code, 1, "{}", ran.all());
    let (_, place) = ran
        .err
        .split_once("mine.rego:")
        .unwrap_or_else(|| panic!("{}", ran.all()));
    let mut numbers = place.split(':').map(|number| number.trim().parse::<u32>());
    assert!(matches!(numbers.next(), Some(Ok(4 | 5))), "{}", ran.err);
    assert!(matches!(numbers.next(), Some(Ok(1..))), "{}", ran.err);
}

#[test]
fn functions_that_a_decision_must_not_rest_on_are_refused_by_name_and_line() {
    for (name, call) in [
        (
            "http.send",
            "http.send({\"method\": \"get\", \"url\": \"http://127.0.0.1\"}).status_code == 200",
        ),
        ("rand.intn", "rand.intn(\"x\", 2) == 1"),
        (
            "io.jwt.encode_sign",
            "io.jwt.encode_sign({\"alg\": \"HS256\"}, {}, {\"kty\": \"oct\", \"k\": \"c2VjcmV0\"}) != \"\"",
        ),
        ("opa.runtime", "opa.runtime().env.HOME"),
    ] {
        let directory = policy(&format!(
            "package dtgate.mine\n\ndeny contains \"x\" if {{\n\t{call}\n}}\n"
        ));
        let ran = run(&["check", "--policies", text(directory.path())]);
        assert_eq!(ran.code, 1, "{name}: {}", ran.all());
        assert!(ran.err.contains(name), "{name}: {}", ran.err);
        assert!(ran.err.contains("mine.rego:4:"), "{name}: {}", ran.err);
    }
}

#[test]
fn an_unknown_key_of_the_configuration_is_named_with_line_and_column() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dtgate.toml");
    std::fs::write(&path, "[limits]\nbody = \"64 KiB\"\nbodys = 1\n").unwrap();
    for command in ["check", "serve"] {
        let ran = run(&[command, "--config", text(&path)]);
        assert_eq!(ran.code, 1, "{}", ran.all());
        assert!(
            ran.err.contains("dtgate.toml:3:1: unknown field `bodys`"),
            "{}",
            ran.err
        );
    }
}

/// Starts a gate that does not get as far as a request.
fn serve(policies: &Path, journal: &Path) -> Ran {
    run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--upstream",
        "http://127.0.0.1:1",
        "--policies",
        text(policies),
        "--journal",
        text(journal),
    ])
}

#[test]
fn a_gate_does_not_start_on_a_broken_policy() {
    let directory = policy("package dtgate.mine\n\ndeny contains \"x\" if nothing(1)\n");
    let journal = directory.path().join("journal");
    let ran = serve(directory.path(), &journal);
    assert_eq!(ran.code, 1, "{}", ran.all());
    assert!(ran.err.contains("mine.rego:3:"), "{}", ran.err);
    assert!(!journal.exists(), "nothing was begun");
}

/// Right for every request that has a name, and for no other.
#[test]
fn a_policy_that_fails_for_one_kind_of_request_is_named_with_it_by_check_and_serve() {
    let directory = policy(
        "package dtgate.mine\n\ndeny contains \"x\" if {\n\tinput.operation == \"token.delete\"\n\tto_number(input.operation) == 1\n}\n",
    );
    let named = "policy mine fails for token.delete (DELETE /api/v1/tokens/{id}, from 192.0.2.1 with a token) \
                 and for 1 more kind of request: ";
    let ran = run(&["check", "--policies", text(directory.path())]);
    assert_eq!(ran.code, 1, "{}", ran.all());
    assert!(ran.err.contains(named), "{}", ran.err);
    assert!(ran.err.contains("mine.rego:5:"), "{}", ran.err);
    let journal = directory.path().join("journal");
    let ran = serve(directory.path(), &journal);
    assert_eq!(ran.code, 1, "{}", ran.all());
    assert!(ran.err.contains(named), "{}", ran.err);
    assert!(!journal.exists(), "nothing was begun");
}

#[test]
fn wrong_arguments_are_1_because_2_is_an_answer() {
    assert_eq!(run(&["serve", "--nonsense"]).code, 1);
    assert_eq!(run(&["--version"]).code, 0);
}

#[test]
fn a_request_in_a_file_is_judged_as_the_gate_would() {
    let directory = tempfile::tempdir().unwrap();
    let judge = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        run(&[
            "eval",
            "--lines",
            "--request",
            text(&path),
            "--policies",
            text(&policies()),
        ])
    };
    let request = |body: &str| {
        format!("PUT {TOKEN} HTTP/1.1\nHost: x\nContent-Type: application/json\n\n{body}\n")
    };
    let ran = judge("good", request(GOOD).as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert!(ran.out.starts_with("allow"), "{}", ran.out);
    let ran = judge("bad", request(BAD).as_bytes());
    assert_eq!(ran.code, 2, "{}", ran.all());
    assert!(ran.out.contains("WriteConfig"), "{}", ran.out);
    let lines =
        |line: &&str| line.starts_with("  evaluated: ") && line.contains("forbidden_scopes.rego ");
    assert_eq!(ran.out.lines().filter(lines).count(), 1, "{}", ran.out);
    let ran = judge("example", &data("seed-curl"));
    assert_eq!(ran.code, 2, "{}", ran.all());
    let ran = judge("read", &data("terraform-read"));
    assert_eq!(ran.code, 0, "{}", ran.all());
    let ran = judge(
        "twice",
        request("{\"name\":\"a\",\"name\":\"b\"}").as_bytes(),
    );
    assert_eq!(ran.code, 2, "{}", ran.all());
    let ran = judge("none", b"hello");
    assert_eq!(ran.code, 1, "{}", ran.all());
    let ran = run(&["eval", "--request", text(&directory.path().join("absent"))]);
    assert_eq!(ran.code, 1, "{}", ran.all());
}

fn used() -> (Gate, Upstream) {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    (gate, upstream)
}

#[test]
fn the_journal_can_be_looked_at_while_the_gate_runs() {
    let (gate, _upstream) = used();
    let journal = gate.journal();
    let ran = run(&["audit", "tail", "--journal", text(&journal)]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    for shown in [
        "start",
        "allow",
        "deny",
        "token.update",
        "answered 204",
        "forbidden_scopes denies: scope \"WriteConfig\"",
    ] {
        assert!(ran.out.contains(shown), "{shown}: {}", ran.out);
    }
    assert!(!ran.out.contains('\u{1b}'), "no colours in a pipe");
    let ran = run(&[
        "audit",
        "tail",
        "-n",
        "1",
        "--format",
        "json",
        "--journal",
        text(&journal),
    ]);
    let record: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(record["verdict"], "deny");
}

#[test]
fn the_journal_can_be_proved() {
    let (mut gate, _upstream) = used();
    gate.signal("TERM");
    assert!(gate.wait().success());
    let journal = gate.journal();
    let ran = run(&["audit", "verify", "--journal", text(&journal)]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert!(ran.out.starts_with("The chain holds."), "{}", ran.out);
    let count = |name: &str| {
        let line = ran
            .out
            .lines()
            .find(|line| line.trim_start().starts_with(name))
            .unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    };
    assert_eq!(
        [
            count("allowed"),
            count("denied"),
            count("outcomes"),
            count("in doubt")
        ],
        ["1", "1", "1", "0"]
    );
    // The noted head is still there; another one is not.
    let head = count("head");
    let prove = |head: &str| {
        run(&[
            "audit",
            "verify",
            "--expect-head",
            head,
            "--journal",
            text(&journal),
        ])
        .code
    };
    assert_eq!(prove(&head), 0);
    let (number, hash) = head.split_once(':').unwrap();
    let other: String = hash
        .chars()
        .map(|c| if c == 'a' { 'b' } else { 'a' })
        .collect();
    assert_eq!(prove(&format!("{number}:{other}")), 2);
    assert_eq!(
        run(&[
            "audit",
            "verify",
            "--journal",
            text(&journal.join("absent"))
        ])
        .code,
        1
    );
}

#[test]
fn operators_see_whether_it_lives_is_ready_and_counts() {
    let (gate, _upstream) = used();
    let get = |path: &str| {
        exchange(
            gate.admin,
            format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(),
        )
    };
    assert_eq!(get("/healthz").status, 200);
    let ready = get("/readyz");
    assert_eq!(ready.status, 200, "{ready:?}");
    let metrics = get("/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.body.contains("token.update"), "{}", metrics.body);
    assert!(
        metrics.body.contains("forbidden_scopes"),
        "{}",
        metrics.body
    );
    assert_eq!(
        metrics.header("content-type"),
        Some(dtgate::telemetry::CLASSIC)
    );
    assert_eq!(get("/").status, 404);
    let posted = exchange(
        gate.admin,
        b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(
        (posted.status, posted.header("allow")),
        (405, Some("GET, HEAD"))
    );
    // None of it is where clients connect.
    assert_eq!(gate.send("GET", "/metrics", "").status, 204);
}

#[test]
fn a_policy_whose_setting_is_missing_does_not_pass_the_check() {
    let directory = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .arg(policies())
        .arg(directory.path().join("policies"))
        .status();
    assert!(copied.unwrap().success());
    let data = directory.path().join("policies/data.yaml");
    let text = std::fs::read_to_string(&data).unwrap();
    std::fs::write(
        &data,
        text.replace("  forbidden_scopes:", "  frobidden_scopes:"),
    )
    .unwrap();
    let output = program()
        .args(["check", "--policies"])
        .arg(directory.path().join("policies"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("policies/forbidden_scopes.rego:")
            && said.contains(
                "no data file defines data.guardrails.forbidden_scopes, and the rule would be silent: \
                 did you mean data.guardrails.frobidden_scopes?"
            ),
        "{said}"
    );
}

/// The policy says what the setting should be, and the gate where it stands.
/// A rule that is silent where its author may not have meant it.
#[test]
fn what_is_silent_when_something_is_absent_is_a_warning() {
    let directory = policy(
        "package dtgate.mine\n\ndeny contains \"no\" if not startswith(input.change.name.requested, \"team-\")\n",
    );
    let place = text(directory.path());
    let message = "silent when the request asks for no name: not startswith(input.change.name.requested, \"team-\"); \
                   bind it first if that is meant, or add a rule for `not input.change.name.requested`";
    let ran = run(&["check", "--compare", "0", "--policies", place]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    let line = format!("warning: {place}/mine.rego:3:23: {message}");
    assert!(ran.out.contains(&line), "{}", ran.out);

    let ran = run(&["check", "--strict", "--compare", "0", "--policies", place]);
    assert_eq!(ran.code, 1, "{}", ran.all());
    assert!(ran.err.contains(message), "{}", ran.err);

    for (strict, severity) in [(None, "warning"), (Some("--strict"), "error")] {
        let mut arguments = vec![
            "check",
            "--format",
            "json",
            "--compare",
            "0",
            "--policies",
            place,
        ];
        arguments.extend(strict);
        let ran = run(&arguments);
        let said: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(said["ok"], strict.is_none());
        assert_eq!(
            said["diagnostics"],
            serde_json::json!([{
                "file": format!("{place}/mine.rego"), "row": 3, "column": 23, "severity": severity, "message": message,
            }])
        );
    }

    let broken = policy("package dtgate.mine\n\ndeny contains \"no\" if input.nmae == \"a\"\n");
    let ran = run(&[
        "check",
        "--format",
        "json",
        "--policies",
        text(broken.path()),
    ]);
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(said["diagnostics"][0]["severity"], "error");
    assert_eq!(said["diagnostics"][0]["row"], 3);
}

#[test]
fn a_setting_of_the_wrong_kind_is_named_with_file_line_and_key() {
    let directory = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .arg(policies())
        .arg(directory.path().join("policies"))
        .status();
    assert!(copied.unwrap().success());
    let data = directory.path().join("policies/data.yaml");
    let shipped = std::fs::read_to_string(&data).unwrap();
    for (setting, wrong, said) in [
        (
            "max: 12",
            "max: -1",
            "data.guardrails.scope_budget.max must be",
        ),
        (
            "created: 200",
            "created: -1",
            "data.guardrails.blast_radius.created must be",
        ),
        (
            "legacy: warn",
            "legacy: warm",
            "data.guardrails.known_scopes.legacy must be",
        ),
        (
            "ids: []",
            "ids: dt0c01.X",
            "data.guardrails.protected_tokens.ids must be",
        ),
        (
            "pattern: '^[a-z]",
            "pattern: '^([a-z]",
            "data.guardrails.naming.pattern must be a regular expression",
        ),
        (
            "- WriteConfig",
            "- WritConfig",
            "\"WritConfig\" is no scope",
        ),
    ] {
        let text = shipped.replacen(setting, wrong, 1);
        assert_ne!(text, shipped, "{setting}");
        let line = text.lines().position(|line| line.contains(wrong)).unwrap() + 1;
        std::fs::write(&data, &text).unwrap();
        let output = program()
            .args(["check", "--policies", "policies"])
            .current_dir(directory.path())
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{out}");
        assert!(
            out.starts_with(&format!("dtgate: policies/data.yaml:{line}:")),
            "{out}"
        );
        assert!(out.contains(said), "{said}: {out}");
        assert_eq!(out.lines().count(), 1, "{out}");
    }
}

/// The one policy of these tests: who asks, and from where.
const WHO: &str = "package dtgate.mine\n\ndeny contains sprintf(\"%s may not, from %s\", [input.caller.token.id, input.caller.address]) if {\n\tinput.operation == \"token.update\"\n\tnot net.cidr_contains(\"10.0.0.0/8\", input.caller.address)\n}\n";

#[test]
fn a_request_is_judged_as_that_of_whom_it_is_said_to_be() {
    let directory = policy(WHO);
    let request = directory.path().join("request");
    std::fs::write(
        &request,
        format!("PUT {TOKEN} HTTP/1.1\nContent-Type: application/json\n\n{GOOD}\n"),
    )
    .unwrap();
    let judge = |arguments: &[&str]| {
        let fixed = ["eval", "--policies", text(directory.path())];
        run(&[&fixed, arguments].concat())
    };
    let id = "dt0c01.ST2EY72KQINMH574WMNVI7YN";
    let ran = judge(&[
        "--http",
        text(&request),
        "--token",
        id,
        "--address",
        "10.1.2.3",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    let ran = judge(&[
        "--request",
        text(&request),
        "--token",
        id,
        "--address",
        "2001:db8::7",
    ]);
    assert_eq!(ran.code, 2, "{}", ran.all());
    assert!(
        ran.out.contains(&format!("{id} may not, from 2001:db8::7")),
        "{}",
        ran.all()
    );
    assert!(!ran.out.contains("MADEUP"), "{}", ran.all());
    // Nobody is no caller of the gate's.
    let ran = judge(&["--request", text(&request), "--address", "10.1.2.3"]);
    assert!(
        ran.out.contains("would answer 401 before any policy"),
        "{}",
        ran.all()
    );
    // A whole token is told to nobody, this program's output included.
    let secret = format!("{id}.{SECRET}");
    let ran = judge(&["--request", text(&request), "--token", &secret]);
    assert_eq!(ran.code, 1, "{}", ran.all());
    assert!(
        ran.err.contains("its secret belongs on no command line"),
        "{}",
        ran.all()
    );
    assert!(!ran.all().contains(SECRET), "{}", ran.all());
    let ran = judge(&["--request", text(&request), "--address", "localhost"]);
    assert_eq!(ran.code, 1, "{}", ran.all());
}

#[test]
fn a_curl_line_is_read_as_the_gate_reads_requests() {
    let directory = policy(WHO);
    let judge = |line: &str| run(&["eval", "--policies", text(directory.path()), "--curl", line]);
    let put = format!(
        "curl -sS -X PUT https://gate.example{TOKEN} -H 'Authorization: Api-Token dt0c01.A.B'"
    );
    let ran = judge(&format!("{put} --json '{GOOD}'"));
    assert_eq!(ran.code, 2, "{}", ran.all());
    assert!(
        ran.out.starts_with("deny  token.update (v1)"),
        "{}",
        ran.all()
    );
    assert!(
        ran.out.contains("dt0c01.A may not, from 192.0.2.1"),
        "{}",
        ran.all()
    );
    for (line, said) in [
        // What curl sends when nobody says what it is.
        (format!("{put} -d '{GOOD}'"), "(415 "),
        (format!("{put} --json '{{\"name\":1,\"name\":2}}'"), "(400 "),
        (format!("{put} --json '{{\"name\":1}}'"), "(400 "),
        (format!("curl -X POST https://gate.example{TOKEN}"), "(405 "),
    ] {
        let ran = judge(&line);
        assert_eq!(ran.code, 2, "{line}: {}", ran.all());
        assert!(
            ran.out.starts_with("deny, before any policy: ") && ran.out.contains(said),
            "{}",
            ran.all()
        );
    }
    let ran = judge("curl https://gate.example/api/v2/metrics");
    assert_eq!(
        (ran.code, ran.out.starts_with("open traffic")),
        (0, true),
        "{}",
        ran.all()
    );
    let ran = judge(&format!("{put} -F a=b"));
    assert_eq!(ran.code, 1, "{}", ran.all());
    assert!(
        ran.err
            .contains("--curl: curl's option -F is not understood here"),
        "{}",
        ran.all()
    );
}

/// What a person types goes into logs of pipelines and histories of terminals.
#[test]
fn no_error_of_eval_repeats_a_secret() {
    let token = &format!("dt0c01.ST2EY72KQINMH574WMNVI7YN.{SECRET}");
    let old = "abcdefghijklmnopqrstu";
    let at = format!("curl http://x -d @/{token}");
    let option = format!("curl http://x --headr='Authorization: Api-Token {old}'");
    let method = format!("curl -X '{token} x' http://x");
    let header = format!("curl -H '{token} x: b' http://x");
    let second = format!("curl http://x {token}");
    for arguments in [
        &["eval", "--address", token, "--curl", "curl http://x"][..],
        &["eval", "--address", old, "--curl", "curl http://x"],
        &["eval", "--token", token, "--curl", "curl http://x"],
        &["eval", "--request", token],
        &["eval", "--policies", token, "--curl", "curl http://x"],
        &["eval", "--format", token, "--curl", "curl http://x"],
        &["eval", "--curl", &at],
        &["eval", "--curl", &option],
        &["eval", "--curl", &method],
        &["eval", "--curl", &header],
        &["eval", "--curl", &second],
        &["eval", token],
        &[token],
    ] {
        let ran = run(arguments);
        assert_eq!(ran.code, 1, "{}", ran.all());
        assert!(!ran.err.is_empty(), "{}", ran.all());
        for secret in [SECRET, old] {
            assert!(!ran.all().contains(secret), "{}", ran.all());
        }
    }
}

#[test]
fn a_directory_of_policies_that_is_not_there_is_named_once() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("policies");
    let wanted = format!(
        "{}: there is no such directory of policies\n",
        missing.display()
    );
    let line = [
        "eval",
        "--curl",
        "curl http://x",
        "--policies",
        text(&missing),
    ];
    for (arguments, prefix) in [
        (&line[..], "dtgate: "),
        (&["check", "--policies", text(&missing)], "dtgate: "),
        (&["test", text(&missing)], "dtgate: "),
    ] {
        let ran = run(arguments);
        assert_eq!(ran.code, 1, "{}", ran.all());
        assert_eq!(
            format!("{}{}", ran.out, ran.err),
            format!("{prefix}{wanted}")
        );
    }
    let ran = serve(&missing, directory.path());
    assert_eq!((ran.code, ran.err), (1, format!("dtgate: {wanted}")));
}
