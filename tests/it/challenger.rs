//! A challenger is asked beside the policies in force: the journal tells what it would have decided, and nothing else
//! changes, whatever it does.

use std::collections::BTreeSet;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::alerts::{Scrape, look};
use crate::asked::said;
use crate::harness::{
    Answered, Gate, TOKEN, Upstream, eventually, exchange, program, put, read_answer, serving,
    verify,
};
use crate::schema;

/// Denies names that begin so; another package, whose policy is only recorded.
const LIVE: &str = "package dtgate.names\n\ndeny contains {\"message\": \"a bad name\", \"path\": \"name\", \"code\": \"bad\"} if \
                    startswith(input.change.name.requested, \"bad-\")\n";
/// Denies a scope, lets every name pass, and says something else of one.
const CHALLENGER: &str = "package dtgate.names\n\ndeny contains {\"message\": \"no logs\", \"path\": \"scopes\", \"code\": \"logs\"} if \
                          \"logs.read\" in input.change.scopes.requested\n\n\
                          deny contains {\"message\": \"worse\", \"path\": \"name\", \"code\": \"worse\"} if \
                          startswith(input.change.name.requested, \"bad-worse-\")\n";

/// Policies, a challenger, and the configuration of a gate with both.
struct Files(TempDir);

impl Files {
    fn new(live: &str, challenger: Option<&str>) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("live/names.rego", live);
        let path = |name: &str| files.path(name).display().to_string();
        let mut config = format!(
            "upstream.url = \"http://127.0.0.1:9\"\nreload.interval = \"20ms\"\n[policies]\ndirectory = \"{}\"\n",
            path("live")
        );
        if let Some(challenger) = challenger {
            files.write("challenger/names.rego", challenger);
            let section = format!(
                "[policies.challenger]\ndirectory = \"{}\"\n",
                path("challenger")
            );
            config.push_str(&section);
        }
        files.write("dtgate.toml", &config);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Never half of it.
    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let new = self.path("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    fn gate(&self, upstream: &Upstream) -> Gate {
        let directory = tempfile::tempdir().unwrap();
        let mut command = serving(&directory);
        command.arg("--config").arg(self.path("dtgate.toml"));
        command.args(["--upstream", &format!("http://{}", upstream.address)]);
        Gate::spawn(directory, command)
    }

    /// One whose challenger is asked.
    fn asking(&self, upstream: &Upstream) -> Gate {
        let gate = self.gate(upstream);
        eventually("it is asked", || {
            status(&gate)["revision"].is_string().then_some(())
        });
        gate
    }
}

/// What operators are told of the challenger.
fn status(gate: &Gate) -> Value {
    let request = b"GET /status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    exchange(gate.admin, request).json()["challenger"].clone()
}

/// Waits until the challenger has seen so many requests, and has nothing to do any more.
fn judged(gate: &Gate, wanted: u64) -> Value {
    eventually("all are judged", || {
        let told = status(gate);
        let all = told["decisions"].as_object().unwrap().values();
        let all: u64 = all.map(|it| it.as_u64().unwrap()).sum();
        (all == wanted && told["waiting"] == 0).then_some(told)
    })
}

/// The value of the series that begins so.
fn metric(gate: &Gate, begins: &str) -> String {
    let all = look(gate.admin);
    let found = all
        .iter()
        .find(|(series, _)| series.starts_with(&format!("dtgate_{begins}")));
    let (_, value) = found.unwrap_or_else(|| panic!("{begins}: {all:?}"));
    value.to_string()
}

fn body(name: &str, scope: &str) -> String {
    json!({"name": name, "scopes": [scope]}).to_string()
}

fn of_challenger(gate: &Gate) -> Vec<Value> {
    let records = gate.records().into_iter();
    records.filter(|it| it["kind"] == "challenger").collect()
}

/// As far as it is no chance: without ids and times.
fn plain(answer: &Answered) -> (u16, String) {
    let id = answer.header("dtgate-decision-id").unwrap_or("none");
    (answer.status, answer.body.replace(id, "ID"))
}

#[test]
fn it_is_asked_beside_and_only_the_journal_tells() {
    let upstream = Upstream::lenient();
    let bodies = [
        body("good-a", "metrics.read"),
        body("good-b", "logs.read"),
        body("bad-c", "metrics.read"),
        body("bad-worse-d", "metrics.read"),
    ];
    let alone = Files::new(LIVE, None);
    let alone = alone.gate(&upstream);
    let wanted = bodies
        .clone()
        .map(|body| plain(&alone.send("PUT", TOKEN, &body)));
    assert_eq!(status(&alone), Value::Null);
    drop(alone);

    let files = Files::new(LIVE, Some(CHALLENGER));
    let gate = files.asking(&upstream);
    let answers = bodies.map(|body| plain(&gate.send("PUT", TOKEN, &body)));
    assert_eq!(answers, wanted);
    assert_eq!(answers.map(|it| it.0), [204, 204, 403, 403]);
    assert_eq!(upstream.seen().len(), 4, "two of each gate");
    let told = judged(&gate, 4);
    let counted = json!({
        "dropped": 0, "failed": 0, "same": 1, "timed_out": 0, "violations": 1, "would_allow": 1, "would_deny": 1,
    });
    assert_eq!(told["decisions"], counted);
    assert_eq!(
        (&told["refused"], &told["names"]),
        (&json!(false), &json!(["names"]))
    );
    assert_eq!(
        ["same", "would_deny", "dropped"].map(|result| {
            metric(
                &gate,
                &format!("challenger_decisions_total{{result=\"{result}\""),
            )
        }),
        ["1", "1", "0"]
    );

    let decisions = gate.decisions();
    let records = of_challenger(&gate);
    let schema = schema::schema();
    let seen: Vec<_> = records
        .iter()
        .map(|record| {
            schema::is_valid(&schema, record).unwrap();
            assert_eq!(record["bundles"]["policies"]["revision"], told["revision"]);
            let of = decisions
                .iter()
                .find(|it| it["seq"] == record["decision_seq"])
                .unwrap();
            assert_eq!(of["decision_id"], record["decision_id"]);
            assert_ne!(of["bundles"]["policies"]["revision"], told["revision"]);
            let violations = record["result"]["violations"].as_array().unwrap();
            let codes: Vec<_> = violations.iter().map(|it| it["code"].clone()).collect();
            let name = &of["input"]["change"]["name"]["requested"];
            json!([name, record["differs"], record["verdict"], codes])
        })
        .collect();
    let wanted = [
        json!(["good-b", "would_deny", "deny", ["logs"]]),
        json!(["bad-c", "would_allow", "allow", []]),
        json!(["bad-worse-d", "violations", "deny", ["worse"]]),
    ];
    assert_eq!(seen, wanted);
    asked_for(&gate);
    verify(&gate.journal());
    is_kept(&gate, told["revision"].as_str().unwrap());
}

/// The revision in its records leads to its policies.
fn is_kept(gate: &Gate, revision: &str) {
    let show = |more: &[&str]| {
        let mut command = program();
        command
            .args(["policies", "show", "--journal"])
            .arg(gate.journal());
        let output = command.args(more).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(show(&[revision, "--file", "names.rego"]).contains("worse"));
    let listed = show(&["--format", "json"]);
    let listed: Vec<Value> = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        listed
            .iter()
            .map(|it| it["challenger"] == true)
            .collect::<Vec<_>>(),
        [false, true]
    );
}

/// The commands find it.
fn asked_for(gate: &Gate) {
    let directory = gate.directory.path();
    let found = |which: &str| {
        let said = said(
            directory,
            &["query", "--challenger-differs", which, "--format", "json"],
        );
        let names = said.lines().map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            assert!(line["challenger"]["differs"].is_string());
            let name = &line["decision"]["input"]["change"]["name"]["requested"];
            name.as_str().unwrap().to_owned()
        });
        names.collect::<Vec<String>>()
    };
    assert_eq!(found("deny"), ["good-b"]);
    assert_eq!(found("allow"), ["bad-c"]);
    assert_eq!(found("any"), ["bad-worse-d", "bad-c", "good-b"]);
    let said = |arguments: &[&str]| said(directory, arguments);
    let query = said(&["query", "--challenger-differs", "deny"]);
    assert!(
        query.contains("challenger would deny it: names denies: no logs"),
        "{query}"
    );
    let seq = gate.decisions()[1]["seq"].to_string();
    let show = said(&["show", &seq]);
    assert!(
        show.contains("would deny it (policies ") && show.contains("\nchallenger\n"),
        "{show}"
    );
    let id = TOKEN.rsplit('/').next().unwrap();
    let history = said(&["history", id, "--all"]);
    assert!(history.contains("challenger would allow it"), "{history}");
    let stats = said(&["stats", "--by", "challenger", "--format", "json"]);
    let stats: Value = serde_json::from_str(&stats).unwrap();
    let mut names: Vec<_> = stats["names"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].clone())
        .collect();
    names.sort_by_key(ToString::to_string);
    assert_eq!(names, ["", "violations", "would_allow", "would_deny"]);
    let tail = said(&["tail"]);
    assert!(tail.contains("has other objections (policies "), "{tail}");
    let csv = said(&["query", "--challenger-differs", "deny", "--format", "csv"]);
    assert!(csv.contains(",would_deny,names denies: no logs"), "{csv}");
}

/// Takes longer than it may for names that begin so, and fails for others.
const TROUBLE: &str = "package dtgate.trouble\n\n\
    deny contains \"slow\" if {\n\tstartswith(input.change.name.requested, \"slow-\")\n\
    \tsome i in numbers.range(1, 3000)\n\tsome j in numbers.range(1, 3000)\n\ti * j == 0\n}\n\n\
    deny contains \"fails\" if {\n\tstartswith(input.change.name.requested, \"(\")\n\
    \tregex.match(input.change.name.requested, \"x\")\n}\n";

#[test]
fn one_that_is_slow_fails_or_is_broken_changes_no_answer() {
    let upstream = Upstream::lenient();
    let files = Files::new(LIVE, Some(TROUBLE));
    let gate = files.asking(&upstream);
    for name in ["slow-a", "(", "good-a"] {
        assert_eq!(
            gate.send("PUT", TOKEN, &body(name, "metrics.read")).status,
            204,
            "{name}"
        );
    }
    let told = judged(&gate, 3);
    assert_eq!(
        ["failed", "timed_out", "same", "would_deny"].map(|it| &told["decisions"][it]),
        [1, 1, 1, 0]
    );
    assert_eq!(
        ["failed", "timed_out", "would_deny"].map(|result| {
            metric(
                &gate,
                &format!("challenger_decisions_total{{result=\"{result}\""),
            )
        }),
        ["1", "1", "0"]
    );
    // That of those in force is about those in force.
    assert_eq!(metric(&gate, "policy_errors_total"), "0");
    same_words(&gate);

    // Broken on disk: what was loaded goes on, and operators are told.
    files.write(
        "challenger/names.rego",
        "package dtgate.trouble\n\ndeny contains x if {\n",
    );
    let refused = eventually("it is refused", || {
        Some(status(&gate)).filter(|it| it["refused"] == true)
    });
    assert_eq!(refused["revision"], told["revision"]);
    assert!(
        refused["error"].as_str().unwrap().contains("names.rego:"),
        "{refused}"
    );
    assert_eq!(metric(&gate, "challenger_refused"), "1");
    eventually("the log says so", || {
        gate.log()
            .contains("the challenger is refused")
            .then_some(())
    });
    assert_eq!(gate.ready().status, 200);
    // It keeps those in force from nothing.
    files.write("live/names.rego", &LIVE.replace("bad-", "good-"));
    eventually("the others are read again", || {
        (gate
            .send("PUT", TOKEN, &body("good-a", "metrics.read"))
            .status
            == 403)
            .then_some(())
    });
    files.write("challenger/names.rego", CHALLENGER);
    let told = eventually("it is asked again", || {
        Some(status(&gate))
            .filter(|it| it["refused"] == false && it["revision"] != told["revision"])
    });
    assert_eq!(told["names"], json!(["names"]));
    assert_eq!(metric(&gate, "challenger_refused"), "0");
    verify(&gate.journal());
}

/// What a challenger could not say has the same words in records and commands as in the metric.
fn same_words(gate: &Gate) {
    let schema = schema::schema();
    let differs: Vec<_> = of_challenger(gate)
        .iter()
        .map(|record| {
            schema::is_valid(&schema, record).unwrap();
            record["differs"].clone()
        })
        .collect();
    assert_eq!(differs, ["timed_out", "failed"]);
    let found = |which: &str| {
        let query = ["query", "--challenger-differs", which, "--format", "json"];
        let said = said(gate.directory.path(), &query);
        let names = said.lines().map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let name = &line["decision"]["input"]["change"]["name"]["requested"];
            name.as_str().unwrap().to_owned()
        });
        names.collect::<Vec<String>>()
    };
    assert_eq!(found("timed-out"), ["slow-a"]);
    assert_eq!(found("failed"), ["("]);
    assert_eq!(found("any"), ["(", "slow-a"]);
    assert!(found("deny").is_empty());
    let stats = ["stats", "--by", "challenger"];
    let stats = said(gate.directory.path(), &stats);
    assert!(
        stats.contains("failed") && stats.contains("timed_out"),
        "{stats}"
    );
    let tail = said(gate.directory.path(), &["tail"]);
    assert!(
        tail.contains("took too long (policies ") && tail.contains("could not be asked (policies "),
        "{tail}"
    );
}

/// What makes the alarm go off.
pub(crate) fn challenger_failing() -> [Scrape; 2] {
    let upstream = Upstream::lenient();
    let files = Files::new(LIVE, Some(TROUBLE));
    let gate = files.asking(&upstream);
    let ask = |name: &str| {
        let answer = gate.send("PUT", TOKEN, &body(name, "metrics.read"));
        assert_eq!(answer.status, 204);
    };
    ask("good-a");
    judged(&gate, 1);
    let before = look(gate.admin);
    ask("slow-a");
    judged(&gate, 2);
    [before, look(gate.admin)]
}

/// The same.
pub(crate) fn challenger_refused() -> [Scrape; 2] {
    let upstream = Upstream::lenient();
    let files = Files::new(LIVE, Some(CHALLENGER));
    let gate = files.asking(&upstream);
    let before = look(gate.admin);
    files.write(
        "challenger/names.rego",
        "package dtgate.names\n\ndeny contains x if {\n",
    );
    eventually("it is refused", || {
        (status(&gate)["refused"] == true).then_some(())
    });
    [before, look(gate.admin)]
}

/// It was checked beside those before, and would differ from others only because they are others.
#[test]
fn after_a_reload_it_is_not_asked_before_it_is_checked_again() {
    let upstream = Upstream::lenient();
    let files = Files::new(LIVE, Some(LIVE));
    let gate = files.asking(&upstream);
    let (mut live, mut dropped) = (["bad-", "good-"], "0".to_owned());
    // A look at its files takes longer than a request, unless the machine has much to do.
    for _ in 0..5 {
        live.reverse();
        let wanted = if live[0] == "good-" { 403 } else { 204 };
        files.write("live/names.rego", &LIVE.replace("bad-", live[0]));
        eventually("others are in force", || {
            let answer = gate.send("PUT", TOKEN, &body("good-a", "metrics.read"));
            (answer.status == wanted).then_some(())
        });
        dropped = metric(&gate, "challenger_decisions_total{result=\"dropped\"");
        if dropped != "0" {
            break;
        }
    }
    assert_ne!(dropped, "0");
    verify(&gate.journal());
}

#[test]
fn a_start_needs_no_challenger() {
    let upstream = Upstream::lenient();
    for (challenger, said) in [
        ("package dtgate.a\n\ndeny contains", "names.rego:"),
        (
            "package dtgate.a\n\ndeny contains \"x\" if input.token.current.name == \"x\"\n",
            "which is made only where a policy in force reads it",
        ),
        (
            "package dtgate.a\n\ndeny contains \"x\" if to_number(input.operation) == 1\n",
            "fails for",
        ),
    ] {
        let files = Files::new(LIVE, Some(challenger));
        let gate = files.gate(&upstream);
        assert_eq!(
            gate.send("PUT", TOKEN, &body("a", "metrics.read")).status,
            204
        );
        let told = eventually("it is refused", || {
            Some(status(&gate)).filter(|it| it["refused"] == true)
        });
        assert!(told["error"].as_str().unwrap().contains(said), "{told}");
        assert_eq!(told["revision"], Value::Null);
        let check = program()
            .arg("check")
            .arg("--config")
            .arg(files.path("dtgate.toml"))
            .output();
        let check = check.unwrap();
        let text = String::from_utf8_lossy(&check.stdout);
        assert!(
            check.status.success() && text.contains("serve would go on without it: "),
            "{check:?}"
        );
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn what_finds_no_room_is_counted_and_nobody_waits() {
    let upstream = Upstream::forgetting(|_| b"HTTP/1.1 204 No Content\r\n\r\n".to_vec());
    let files = Files::new(LIVE, Some(TROUBLE));
    let gate = files.asking(&upstream);
    let request = put(&body("slow-a", "metrics.read"));
    let mut stream = TcpStream::connect(gate.address).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut dropped = 0;
    // Until the queue is full: each of them takes the challenger a tenth of a second.
    while dropped == 0 {
        for _ in 0..300 {
            stream.write_all(request.as_bytes()).unwrap();
            assert_eq!(read_answer(&mut reader).unwrap().status, 204);
        }
        dropped = status(&gate)["decisions"]["dropped"].as_u64().unwrap();
    }
    assert_ne!(
        metric(&gate, "limit_reached_total{limit=\"challenger\""),
        "0"
    );
    // A stop does not wait for the rest.
    let mut gate = gate;
    gate.signal("TERM");
    assert!(gate.wait().success());
    assert_eq!(gate.records().last().unwrap()["kind"], "stop");
    verify(&gate.journal());
}

#[test]
fn one_that_changes_under_load_changes_nothing_else() {
    let upstream = Upstream::lenient();
    let files = Files::new(LIVE, Some(CHALLENGER));
    let gate = files.asking(&upstream);
    let over = AtomicBool::new(false);
    let texts = [
        CHALLENGER.to_owned(),
        CHALLENGER.replace("no logs", "no logs at all"),
        "package dtgate.names\n\ndeny contains".to_owned(),
        TROUBLE.to_owned(),
    ];
    let mut revisions = BTreeSet::new();
    let sent: usize = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..3)
            .map(|number| {
                let (gate, over) = (&gate, &over);
                scope.spawn(move || {
                    let mut sent = 0;
                    while !over.load(Ordering::Relaxed) {
                        for (name, wanted) in [("good-a", 204), ("bad-a", 403)] {
                            let path = format!(
                                "/api/v1/tokens/d5836312-5790-4e80-afcf-09971954c3e{number}"
                            );
                            let answer = gate.send("PUT", &path, &body(name, "logs.read"));
                            assert!(
                                answer.status == wanted || answer.status == 429,
                                "{answer:?}"
                            );
                            sent += usize::from(answer.status != 429);
                        }
                    }
                    sent
                })
            })
            .collect();
        for text in texts.iter().chain(&texts) {
            files.write("challenger/names.rego", text);
            let before = status(&gate);
            let told = eventually("it is another, or refused", || {
                let told = status(&gate);
                (told["revision"] != before["revision"]
                    || told["error"] != before["error"]
                    || *text == texts[0])
                    .then_some(told)
            });
            revisions.extend(told["revision"].as_str().map(str::to_owned));
        }
        over.store(true, Ordering::Relaxed);
        senders.into_iter().map(|it| it.join().unwrap()).sum()
    });
    assert!(sent > 0 && revisions.len() > 1, "{sent} {revisions:?}");
    let decisions = gate.decisions();
    assert!(decisions.len() >= sent);
    assert!(
        gate.records().iter().all(|it| it["kind"] != "reload"),
        "those in force stayed"
    );
    verify(&gate.journal());
}

#[test]
fn masks_and_pseudonyms_hold_for_what_it_says() {
    let upstream = Upstream::lenient();
    let challenger = "package dtgate.names\n\n\
        deny contains {\"message\": sprintf(\"%s from %s\", [input.change.name.requested, input.caller.address]), \
        \"path\": \"name\", \"code\": \"echo\", \"email\": \"jane@example.org\", \"fields\": input.parsed_body} if true\n";
    let live = format!("{LIVE}\nwarn contains \"x\" if input.parsed_body.name == \"nobody\"\n");
    let files = Files::new(&live, Some(challenger));
    files.write(
        "live/log.rego",
        "package system.log\n\nmask contains sprintf(\"/result/violations/%d/details\", [i]) if some i, _ in input.result.violations\n\n\
         mask contains \"/input/change/name\"\n\nmask contains \"/input/parsed_body\"\n\n\
         mask contains {\"op\": \"upsert\", \"path\": sprintf(\"/result/violations/%d/message\", [i]), \"value\": replace(v.message, \"hidden-name\", \"*\")} if \
         some i, v in input.result.violations\n",
    );
    let config = std::fs::read_to_string(files.path("dtgate.toml")).unwrap();
    let fields = "[journal.pseudonyms]\nfields = [\"caller.address\"]\n";
    files.write("dtgate.toml", &format!("{config}{fields}"));
    let gate = files.asking(&upstream);
    let answer = gate.send("PUT", TOKEN, &body("hidden-name", "metrics.read"));
    assert_eq!(answer.status, 204);
    judged(&gate, 1);
    let records = of_challenger(&gate);
    let [record] = &records[..] else {
        panic!("{records:?}")
    };
    let message = record["result"]["violations"][0]["message"]
        .as_str()
        .unwrap();
    assert!(message.starts_with("* from hmac-sha256:v1:"), "{message}");
    let text = record.to_string();
    for hidden in ["hidden-name", "jane@", "127.0.0.1"] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
    assert_eq!(record["erased"], json!(["/result/violations/0/details"]));
    assert_eq!(record["masked"], json!(["/result/violations/0/message"]));
    assert_eq!(
        record["pseudonyms"],
        json!(["/result/violations/0/message"])
    );
    schema::is_valid(&schema::schema(), record).unwrap();
    let all: String = gate.records().iter().map(ToString::to_string).collect();
    assert!(!all.contains("hidden-name"), "{all}");
}

#[test]
fn a_bundle_can_be_the_challenger() {
    let upstream = Upstream::lenient();
    let files = Files::new(LIVE, None);
    files.write("made/names.rego", CHALLENGER);
    let bundle = files.path("made.tar.gz");
    let made = program()
        .arg("build")
        .arg(files.path("made"))
        .arg("--output")
        .arg(&bundle)
        .output();
    assert!(made.as_ref().unwrap().status.success(), "{made:?}");
    let config = std::fs::read_to_string(files.path("dtgate.toml")).unwrap();
    let section = format!("[policies.challenger]\nfile = \"{}\"\n", bundle.display());
    files.write("dtgate.toml", &format!("{config}{section}"));
    let gate = files.asking(&upstream);
    assert_eq!(gate.send("PUT", TOKEN, &body("a", "logs.read")).status, 204);
    assert_eq!(judged(&gate, 1)["decisions"]["would_deny"], 1);
    // It can be taken away.
    files.write("dtgate.toml", &config);
    eventually("nobody is asked any more", || {
        status(&gate).is_null().then_some(())
    });
    assert_eq!(gate.send("PUT", TOKEN, &body("a", "logs.read")).status, 204);
    let changed = gate.records().into_iter().find(|it| it["kind"] == "reload");
    assert_eq!(changed.unwrap()["changed"], json!(["policies.challenger"]));
}
