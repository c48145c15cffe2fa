//! What policies have to show before they are in force, and that those that were in force are found again.

mod strict;

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Gate, TOKEN, Upstream, eventually, exchange, program, serving, verify};

/// Denies these scopes.
fn scopes(forbidden: &str) -> String {
    format!(
        "package dtgate.scopes\n\ndeny contains sprintf(\"%s may not be granted\", [scope]) if {{\n\tsome scope in input.change.scopes.requested\n\tscope in {forbidden}\n}}\n"
    )
}

const BOTH: &str = "{\"WriteConfig\", \"apiTokens.write\"}";
const ONE: &str = "{\"WriteConfig\"}";
const MORE: &str = "{\"WriteConfig\", \"apiTokens.write\", \"metrics.read\"}";

/// A request as it stands in a file, with a credential that is nobody's.
fn request(scope: &str) -> String {
    let secret = "B".repeat(64);
    format!(
        "PUT {TOKEN} HTTP/1.1\nHost: dtgate\nAuthorization: Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.{secret}\nContent-Type: application/json\n\n{{\"scopes\": [\"{scope}\"]}}\n"
    )
}

struct Files {
    directory: TempDir,
    upstream: Upstream,
}

impl Files {
    fn new(policy: &str, activation: &str) -> Self {
        let files = Self {
            directory: tempfile::tempdir().unwrap(),
            upstream: Upstream::lenient(),
        };
        files.write("policies/scopes.rego", policy);
        let requests = files.path("requests");
        files.write(
            "dtgate.toml",
            &format!(
                "reload.interval = \"20ms\"\nupstream.url = \"http://127.0.0.1:1\"\n[policies.activation]\n{}\n",
                activation.replace("REQUESTS", requests.to_str().unwrap())
            ),
        );
        files
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let new = self.path(".new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    fn gate(&self) -> Gate {
        let directory = tempfile::tempdir().unwrap();
        let mut command = serving(&directory);
        command
            .arg("--config")
            .arg(self.path("dtgate.toml"))
            .arg("--policies")
            .arg(self.path("policies"))
            .args(["--upstream", &format!("http://{}", self.upstream.address)]);
        Gate::spawn(directory, command)
    }

    fn check(&self) -> Output {
        let mut command = program();
        command
            .args(["check", "--config"])
            .arg(self.path("dtgate.toml"))
            .arg("--policies")
            .arg(self.path("policies"));
        command.output().unwrap()
    }
}

fn status(gate: &Gate) -> Value {
    exchange(
        gate.admin,
        b"GET /status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .json()
}

fn refused(gate: &Gate, what: &str) -> String {
    eventually(what, || {
        let last = &status(gate)["reload"]["last"];
        (last["ok"] == json!(false)).then(|| last["error"].as_str().unwrap().to_owned())
    })
}

fn grant(gate: &Gate, scope: &str) -> u16 {
    gate.send("PUT", TOKEN, &json!({"scopes": [scope]}).to_string())
        .status
}

fn policies(journal: &Path, arguments: &[&str]) -> Output {
    let mut command = program();
    command
        .arg("policies")
        .args(arguments)
        .arg("--journal")
        .arg(journal);
    command.output().unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one gate, asked in order")]
fn policies_that_decide_a_request_otherwise_than_they_have_to_are_not_in_force() {
    let files = Files::new(&scopes(BOTH), "requests = 'REQUESTS'");
    files.write(
        "requests/deny/scopes/tokens.http",
        &request("apiTokens.write"),
    );
    files.write("requests/deny/config.http", &request("WriteConfig"));
    files.write("requests/allow/metrics.http", &request("metrics.read"));
    let gate = files.gate();
    assert_eq!(grant(&gate, "apiTokens.write"), 403);
    let checked = files.check();
    assert!(
        printed(&checked).contains("3 requests decided as wanted"),
        "{checked:?}"
    );

    // Less strict than it has to be, and then more.
    for (policy, wanted) in [
        (
            scopes(ONE),
            "deny/scopes/tokens.http: scopes has to deny it, and does not",
        ),
        (
            scopes(MORE),
            "allow/metrics.http: it has to be allowed, and scopes denies it: metrics.read",
        ),
        (
            scopes("set()"),
            "deny/config.http: it has to be denied, and no policy denies it",
        ),
    ] {
        files.write("policies/scopes.rego", &scopes(BOTH));
        eventually("all is well again", || {
            (status(&gate)["reload"]["refused"] == json!(false)).then_some(())
        });
        files.write("policies/scopes.rego", &policy);
        eventually(wanted, || {
            let last = &status(&gate)["reload"]["last"];
            last["error"]
                .as_str()
                .is_some_and(|it| it.contains(wanted))
                .then_some(())
        });
        assert_eq!(grant(&gate, "apiTokens.write"), 403);
        assert_eq!(grant(&gate, "metrics.read"), 204);
        let checked = files.check();
        assert!(
            !checked.status.success() && said(&checked).contains(wanted),
            "{checked:?}"
        );
    }
    // What is wrong with the requests themselves is told, too, and a request that is put right counts at once.
    files.write("policies/scopes.rego", &scopes(ONE));
    refused(&gate, "it is refused again");
    files.write("requests/deny/scopes/tokens.http", &request("WriteConfig"));
    eventually("the policies are in force", || {
        (grant(&gate, "apiTokens.write") == 204).then_some(())
    });
    files.write(
        "requests/allow/open.http",
        "GET /api/v2/metrics HTTP/1.1\n\n",
    );
    files.write(
        "requests/deny/open.http",
        "GET /api/v2/metrics HTTP/1.1\n\n",
    );
    files.write("requests/deny/odd.http", "GET\n\n");
    let said = refused(&gate, "requests that are none");
    assert!(
        said.contains(
            "deny/open.http: it has to be denied, and no policy is asked: it is open traffic"
        ),
        "{said}"
    );
    assert!(
        said.contains("deny/odd.http: the first line must be METHOD PATH"),
        "{said}"
    );
    assert!(
        said.starts_with("2 requests are not decided as they have to be"),
        "{said}"
    );
    let last = gate
        .records()
        .into_iter()
        .rfind(|it| it["kind"] == "reload")
        .unwrap();
    assert_eq!(
        (&last["ok"], last["error"].as_str()),
        (&json!(false), Some(said.as_str()))
    );
    verify(&gate.journal());

    // No gate starts with them.
    let directory = tempfile::tempdir().unwrap();
    let mut command = serving(&directory);
    command
        .arg("--config")
        .arg(files.path("dtgate.toml"))
        .arg("--policies")
        .arg(files.path("policies"));
    let started = command.output().unwrap();
    assert!(!started.status.success());
    assert!(
        self::said(&started).contains("deny/open.http"),
        "{started:?}"
    );
}

#[test]
fn requests_that_cannot_be_read_are_no_requests_that_are_decided_well() {
    let files = Files::new(&scopes(BOTH), "requests = 'REQUESTS'");
    let wrong = |wanted: &str| {
        let checked = files.check();
        assert!(
            !checked.status.success() && said(&checked).contains(wanted),
            "{wanted}: {checked:?}"
        );
    };
    wrong("policies.activation.requests: ");
    fs::create_dir_all(files.path("requests/deny")).unwrap();
    wrong("there is no request in ");
    files.write("requests/deny/a.json", "{\"operation\": 1}");
    wrong("a.json: input document");
    fs::remove_file(files.path("requests/deny/a.json")).unwrap();
    files.write(
        "requests/deny/big.http",
        &format!("{}{}", request("WriteConfig"), " ".repeat(2 << 20)),
    );
    wrong("big.http: it is longer than ");
    fs::remove_file(files.path("requests/deny/big.http")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", files.path("requests/deny/zero.http")).unwrap();
    wrong("zero.http: it is no regular file");
}

#[test]
fn policies_that_would_have_decided_too_much_otherwise_are_not_in_force() {
    let files = Files::new(&scopes(ONE), "replay = 5\nnew_denials = 2");
    let gate = files.gate();
    // Longer ago than the five that are looked at.
    for _ in 0..4 {
        assert_eq!(grant(&gate, "apiTokens.write"), 204);
    }
    for scope in [
        "metrics.read",
        "metrics.read",
        "metrics.read",
        "apiTokens.write",
    ] {
        assert_eq!(grant(&gate, scope), 204);
    }
    assert_eq!(grant(&gate, "WriteConfig"), 403);
    files.write("policies/scopes.rego", &scopes(MORE));
    let said = refused(&gate, "too many denials");
    assert!(
        said.contains("would deny 4 of the newest 5 decisions that were allowed, and policies.activation.new_denials is 2"),
        "{said}"
    );
    assert!(said.contains("scopes: 4, first decision "), "{said}");
    assert!(!said.contains("by by"), "{said}");
    assert_eq!(grant(&gate, "metrics.read"), 204);
    // It lets pass what was denied.
    files.write("policies/scopes.rego", &scopes("set()"));
    eventually("too many are allowed", || {
        let last = &status(&gate)["reload"]["last"];
        let error = last["error"].as_str().unwrap_or_default();
        error
            .contains("would allow 1 of the newest 5 decisions that were denied")
            .then_some(())
    });
    // One of five is few enough.
    files.write("policies/scopes.rego", &scopes(BOTH));
    eventually("it is in force", || {
        (status(&gate)["reload"]["last"]["ok"] == json!(true)).then_some(())
    });
    assert_eq!(grant(&gate, "apiTokens.write"), 403);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one gate, asked in order")]
fn policies_that_were_in_force_are_found_by_the_revision_of_a_record() {
    let files = Files::new(&scopes(ONE), "");
    files.write("policies/data.yaml", "modes: {scopes: enforce}\n");
    files.write("policies/more/settings.yaml", "a: [1]\n");
    let gate = files.gate();
    assert_eq!(grant(&gate, "apiTokens.write"), 204);
    files.write("policies/scopes.rego", &scopes(BOTH));
    eventually("the other is in force", || {
        (grant(&gate, "apiTokens.write") == 403).then_some(())
    });
    let journal = gate.journal();
    let decisions = gate.decisions();
    let revision = |decision: &Value| {
        let revision = decision.pointer("/bundles/policies/revision");
        revision.unwrap().as_str().unwrap().to_owned()
    };
    let (old, new) = (revision(&decisions[0]), revision(decisions.last().unwrap()));
    assert_ne!(old, new);
    let listed = printed(&policies(&journal, &["show"]));
    assert!(listed.contains(&old) && listed.contains(&new), "{listed}");
    for (digest, policy) in [(&old, scopes(ONE)), (&new, scopes(BOTH))] {
        let shown = policies(&journal, &["show", &digest[..10], "--file", "scopes.rego"]);
        assert_eq!(printed(&shown), policy, "{shown:?}");
        let out = files.path(&digest[..8]);
        let out = out.to_str().unwrap();
        policies(&journal, &["show", digest, "--extract", out]);
        // They are the same again.
        let listed = program()
            .args(["policies", "list", "--policies", out])
            .output()
            .unwrap();
        assert!(
            printed(&listed).contains(&format!("revision {digest}")),
            "{listed:?}"
        );
        let again = policies(&journal, &["show", digest, "--extract", out]);
        assert!(said(&again).contains("is there already"), "{again:?}");
    }
    let told: Value = serde_json::from_slice(
        &policies(&journal, &["diff", &old, &new, "--format", "json"]).stdout,
    )
    .unwrap();
    assert_eq!(told["files"][0]["name"], "scopes.rego");
    let example = &told["requests"]["examples"][0];
    assert_eq!(
        example["input"]["change"]["scopes"]["requested"],
        json!(["apiTokens.write"])
    );
    assert_eq!(
        (&example["old"]["verdict"], &example["new"]["verdict"]),
        (&json!("allow"), &json!("deny"))
    );
    let differs = policies(&journal, &["diff", &old, &new]);
    assert_eq!(differs.status.code(), Some(2));
    let same = policies(&journal, &["diff", &old, &old, "--requests", "10"]);
    assert_eq!(same.status.code(), Some(0), "{same:?}");

    // A decision again, by the policies that decided it, and by others.
    let again = |more: &[&str]| {
        let seq = decisions[0]["seq"].to_string();
        let mut command = program();
        command
            .args(["eval", "--decision", &seq])
            .args(more)
            .arg("--journal")
            .arg(&journal);
        command.output().unwrap()
    };
    eventually("it is indexed", || {
        again(&[]).status.success().then_some(())
    });
    let then = again(&[]);
    assert!(
        printed(&then).starts_with("allow  token.update (v1)\n") && said(&then).is_empty(),
        "{then:?}"
    );
    let now = again(&["--policies", files.path("policies").to_str().unwrap()]);
    assert_eq!(now.status.code(), Some(2), "{now:?}");
    assert!(
        printed(&now).contains("apiTokens.write may not be granted"),
        "{now:?}"
    );
    assert!(
        said(&now).contains(&format!("it was decided by other policies, revision {old}")),
        "{now:?}"
    );

    // What somebody has changed, renamed or never kept is told.
    let path = |digest: &str| journal.join("policies").join(format!("{digest}.tar.gz"));
    fs::copy(path(&new), path(&old)).unwrap();
    for asked in [&["show", old.as_str()][..], &["diff", &old, &new]] {
        let shown = policies(&journal, asked);
        assert!(
            said(&shown).contains("somebody has renamed it"),
            "{shown:?}"
        );
    }
    let unknown = policies(&journal, &["show", "0123456789"]);
    assert!(
        said(&unknown).contains("no policies with the revision 0123456789 are kept"),
        "{unknown:?}"
    );
    assert!(said(&policies(&journal, &["show", "xyz"])).contains("is no revision"));
    // A name that was meant for a directory is told as what it is.
    let misspelt = said(&policies(&journal, &["diff", "polices", &new]));
    assert!(
        misspelt.contains("there is no directory and no bundle polices"),
        "{misspelt}"
    );
    // So is an id that nobody has given whole.
    let id = decisions[0]["decision_id"].as_str().unwrap();
    let shown = program()
        .args(["audit", "show", &id[..13], "--journal"])
        .arg(&journal)
        .output()
        .unwrap();
    assert!(said(&shown).contains("give it whole"), "{shown:?}");
}

/// Whoever judges it again is told that policies saw more.
#[test]
fn a_decision_of_which_texts_were_cut_says_so_when_it_is_judged_again() {
    let files = Files::new(&scopes(ONE), "");
    let gate = files.gate();
    let body = json!({"name": "n".repeat(3000), "scopes": ["WriteConfig"]});
    assert_eq!(gate.send("PUT", TOKEN, &body.to_string()).status, 403);
    let seq = gate.decisions()[0]["seq"].to_string();
    let judged = eventually("it is indexed", || {
        let mut command = program();
        command
            .args(["eval", "--decision", &seq, "--journal"])
            .arg(gate.journal());
        let judged = command.output().unwrap();
        (judged.status.code() == Some(2)).then_some(judged)
    });
    assert!(
        said(&judged).contains("policies saw texts that were cut, because the record was to be short: input.change.name.requested"),
        "{judged:?}"
    );
}

/// The revision is that of the policies alone.
#[test]
fn a_kept_set_with_another_test_is_refused_and_the_record_has_the_digest_of_all_files() {
    let files = Files::new(&scopes(ONE), "");
    let test = "package dtgate.scopes_test\n\nimport data.dtgate.scopes\n\ntest_none if count(scopes.deny) == 0 with input.change.scopes.requested as []\n";
    files.write("policies/scopes_test.rego", test);
    let gate = files.gate();
    let journal = gate.journal();
    let start = gate.records()[0].clone();
    let revision = start["revision"].as_str().unwrap();
    let shown = policies(&journal, &["show", revision, "--format", "json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["kept"], start["kept"]);
    assert!(start["kept"].is_string());
    let path = journal.join(format!("policies/{revision}.tar.gz"));
    let kept = fs::read(&path).unwrap();
    let other = crate::bundles::changed(&kept, |files| {
        let test = files.get_mut("0000/scopes_test.rego").unwrap();
        test.extend_from_slice(b"# more\n");
    });
    fs::write(&path, &other).unwrap();
    let listed = program()
        .args(["policies", "list", "--policies"])
        .arg(&path)
        .output()
        .unwrap();
    for told in [
        policies(&journal, &["show", revision]),
        policies(&journal, &["diff", revision, revision]),
        listed,
    ] {
        assert!(
            !told.status.success() && said(&told).contains("somebody has changed it"),
            "{told:?}"
        );
    }
}

#[test]
fn decisions_that_dynatrace_has_turned_away_do_not_count_among_the_newest() {
    let mut files = Files::new(&scopes(ONE), "replay = 3");
    // Anybody can send what is allowed, with a credential that is nobody's.
    files.upstream = Upstream::answering(|seen| {
        let status = if seen.body.windows(7).any(|it| it == b"metrics") {
            "401 Unauthorized"
        } else {
            "204 No Content"
        };
        format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes()
    });
    let gate = files.gate();
    for scope in ["logs.read", "apiTokens.write", "logs.read"] {
        assert_eq!(grant(&gate, scope), 204);
    }
    for _ in 0..4 {
        assert_eq!(grant(&gate, "metrics.read"), 401);
    }
    eventually("their outcomes are recorded", || {
        let outcomes = gate.records().into_iter();
        (outcomes.filter(|it| it["kind"] == "outcome").count() == 7).then_some(())
    });
    // Neither do they refuse policies, nor hide what those who may have asked for.
    files.write("policies/scopes.rego", &scopes(MORE));
    let told = refused(&gate, "it would deny one that was done");
    assert!(
        told.contains("would deny 1 of the newest 3 decisions that were allowed"),
        "{told}"
    );
    files.write(
        "policies/scopes.rego",
        &scopes("{\"WriteConfig\", \"metrics.read\"}"),
    );
    eventually("it is in force", || {
        (status(&gate)["reload"]["last"]["ok"] == json!(true)).then_some(())
    });
    assert_eq!(grant(&gate, "metrics.read"), 403);
}

/// A token that nobody has: while the upstream is busy, or away, nobody finds out.
#[test]
fn tokens_that_are_invented_push_nobody_out_of_the_newest() {
    let mut files = Files::new(&scopes(ONE), "replay = 10");
    files.upstream = Upstream::answering(|seen| {
        let status = if seen.body.windows(7).any(|it| it == b"metrics") {
            "503 Service Unavailable"
        } else {
            "204 No Content"
        };
        format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes()
    });
    let gate = files.gate();
    let asked = |id: &str, scope: &str| {
        let body = json!({"scopes": [scope]}).to_string();
        let secret = "B".repeat(64);
        let length = body.len();
        let request = format!(
            "PUT {TOKEN} HTTP/1.1\r\nHost: gate\r\nAuthorization: Api-Token dt0c01.{id}.{secret}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        gate.raw(request).status
    };
    for number in 0..3 {
        let id = format!("REAL{number:020}");
        assert_eq!(asked(&id, "apiTokens.write"), 204);
    }
    for number in 0..40 {
        let id = format!("FAKE{number:020}");
        assert_eq!(asked(&id, "metrics.read"), 503);
    }
    eventually("their outcomes are recorded", || {
        let outcomes = gate.records().into_iter();
        (outcomes.filter(|it| it["kind"] == "outcome").count() == 43).then_some(())
    });
    files.write("policies/scopes.rego", &scopes(BOTH));
    let told = refused(&gate, "it would deny what was done");
    assert!(
        told.contains("would deny 3 of the newest 10 decisions that were allowed"),
        "{told}"
    );
}
