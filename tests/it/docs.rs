//! What is written down is true: the shipped configuration, the commands shown, the examples.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Output;

use dtgate::config::Config;
use dtgate::identity::Everybodys;
use dtgate::telemetry::{Limit, Metrics, SinkLoad};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Simulator, copy, gate, policies, program};
use crate::messages::masked;
use crate::tls::{certified, write};

const PAGES: [&str; 24] = [
    "README.md",
    "SECURITY.md",
    "docs/architecture.md",
    "docs/ask.md",
    "docs/audit.md",
    "docs/configuration.md",
    "docs/console.md",
    "docs/coverage.md",
    "docs/deploy/docker.md",
    "docs/deploy/kubernetes.md",
    "docs/deploy/systemd.md",
    "docs/fleet.md",
    "docs/grants.md",
    "docs/identity.md",
    "docs/input.md",
    "docs/journal.md",
    "docs/operations.md",
    "docs/performance.md",
    "docs/release.md",
    "docs/replay.md",
    "docs/rollout.md",
    "docs/ship.md",
    "docs/store.md",
    "policies/README.md",
];

#[test]
fn the_shipped_configuration_is_accepted() {
    let output = run(&["check", "--config", "deploy/dtgate.toml"]);
    assert!(output.status.success(), "{output:?}");
}

/// The settings as shipped, but for those that it is there to show; and the shipped policies can work with them.
#[test]
fn the_example_of_settings_switches_expiry_on_and_nothing_else() {
    let settings = |path: &str| -> Vec<String> {
        let text = page(path);
        let said = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        said.map(str::to_owned).collect()
    };
    let (shipped, example) = (settings("policies/data.yaml"), settings("deploy/data.yaml"));
    let changed = shipped
        .iter()
        .zip(&example)
        .filter(|(one, other)| one != other);
    let changed: Vec<(&str, &str)> = changed.map(|(one, other)| (&**one, &**other)).collect();
    assert_eq!(shipped.len(), example.len());
    assert_eq!(
        changed,
        [
            ("    max_days: 0", "    max_days: 90"),
            ("    required: false", "    required: true")
        ]
    );
    let files = tempfile::tempdir().unwrap();
    copy(&policies(), files.path());
    std::fs::copy("deploy/data.yaml", files.path().join("data.yaml")).unwrap();
    let output = run(&["check", "--policies", files.path().to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let request = files.path().join("request.http");
    let create = "POST /api/v2/apiTokens HTTP/1.1\nHost: gate\nContent-Type: application/json\n\n\
                  {\"name\":\"payments-prod-ci\",\"scopes\":[\"metrics.read\"]}";
    std::fs::write(&request, create).unwrap();
    let said = run(&[
        "eval",
        "--policies",
        files.path().to_str().unwrap(),
        "--http",
        request.to_str().unwrap(),
    ]);
    assert_eq!(said.status.code(), Some(2), "{said:?}");
    assert!(
        String::from_utf8_lossy(&said.stdout).contains("expiry"),
        "{said:?}"
    );
}

/// The keys of the table of the page about the configuration, each with its default as it stands there.
fn documented_keys() -> BTreeMap<String, String> {
    let text = page("docs/configuration.md");
    let (_, table) = text.split_once("\n## Keys\n").unwrap();
    let rows = table.split("\n## ").next().unwrap().lines();
    let rows = rows.filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    rows.map(|(key, rest)| {
        let default = rest.split('|').next().unwrap();
        (key.to_owned(), default.trim().to_owned())
    })
    .collect()
}

/// The keys of the shipped configuration, those in comments too, each with its value.
fn shipped_keys() -> BTreeMap<String, String> {
    let mut section = String::new();
    let mut shipped = BTreeMap::new();
    for line in page("deploy/dtgate.toml").lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        if line.starts_with('[') {
            line.trim_matches(['[', ']']).clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once(" = ")
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            let key = format!("{section}.{key}");
            shipped.insert(key.trim_start_matches('.').to_owned(), value.to_owned());
        }
    }
    shipped
}

#[test]
fn the_shipped_configuration_names_every_key_of_the_documentation_and_no_other() {
    let shipped = shipped_keys();
    let documented = documented_keys();
    assert!(shipped.keys().eq(documented.keys()), "{shipped:?}");
}

/// But for the upstream, which has none. What the program has is looked up in the program, and what stands in comments
/// in the table.
#[test]
fn the_shipped_configuration_has_every_default() {
    let shipped: Config = toml::from_str(&page("deploy/dtgate.toml")).unwrap();
    let without = format!("upstream.url = {}", shipped_keys()["upstream.url"]);
    assert_eq!(shipped, toml::from_str::<Config>(&without).unwrap());
    let documented = documented_keys();
    let mut seen = 0;
    for (key, value) in shipped_keys() {
        let told = &documented[&key];
        let literal = told
            .strip_prefix('`')
            .and_then(|told| told.strip_suffix('`'));
        // One of three keys that have to be given: it is shown as somebody would give it.
        let Some(literal) = literal.filter(|_| key != "identity.jwt.NAME.discovery") else {
            continue;
        };
        assert_eq!(value.trim_matches('"'), literal.trim_matches('"'), "{key}");
        seen += 1;
    }
    assert!(seen > 70, "only {seen} have one");
}

#[test]
fn every_limit_has_a_line_in_the_table_and_every_line_a_limit() {
    let page = page("docs/operations.md");
    let (_, table) = page.split_once("\n## Limits\n").unwrap();
    let table = table.split("\n## ").next().unwrap();
    let documented: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| *name != "limit")
        .collect();
    let counted: BTreeSet<&str> = Limit::ALL.iter().map(|limit| limit.as_str()).collect();
    assert_eq!(documented, counted);
}

/// What a gate shows that has counted one of everything: those with labels are shown once there is something to count.
pub(crate) fn every_metric() -> String {
    let metrics = Metrics::new("1.2.3");
    metrics.asked("data", "answered");
    metrics.console_answered(StatusCode::OK);
    metrics.console_asks("oidc");
    metrics.bundle_will_be_fetched("platform", None);
    metrics.certificate_refused("revocation_list_expired");
    metrics.checkpoint_not_sent("url");
    metrics.certificates_are([("clients", "tls.pem".to_owned(), jiff::Timestamp::UNIX_EPOCH)]);
    metrics.decision("token.update", "deny");
    metrics.forwarded("believed");
    metrics.challenged("same");
    metrics.jwt("ci", "good");
    metrics.keys_are_of("ci", jiff::Timestamp::UNIX_EPOCH);
    metrics.keys_will_be_fetched("ci");
    metrics.otlp_will_be_sent("traces");
    metrics.policies_loaded("aa");
    metrics.proxy_header("believed");
    metrics.request(true, None, &Method::PUT, StatusCode::BAD_GATEWAY);
    metrics.violation("naming", "enforce");
    metrics.will_be_shipped("otlp.siem");
    metrics.sinks_from(|| {
        let sink = "otlp.siem".to_owned();
        vec![SinkLoad {
            sink,
            behind: 0,
            seconds: 0,
        }]
    });
    metrics.encode()
}

#[test]
fn every_metric_has_a_line_in_the_table_and_every_line_a_metric() {
    let page = page("docs/operations.md");
    let (_, table) = page.split_once("\n## Metrics\n").unwrap();
    let table = table.split("\n## ").next().unwrap();
    let documented: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let shown = every_metric();
    let registered: BTreeSet<String> = shown
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| match line.rsplit_once(' ').unwrap() {
            (name, "counter") => format!("{name}_total"),
            (name, "info") => format!("{name}_info"),
            (name, _) => name.to_owned(),
        })
        .collect();
    let registered: BTreeSet<&str> = registered.iter().map(String::as_str).collect();
    assert_eq!(documented, registered);
}

/// What differs from case to case is `…` there. Messages that are all of them somebody else's words are not looked for.
#[test]
fn every_event_of_the_log_has_a_line_and_every_line_an_event() {
    let page = page("docs/operations.md");
    let (_, table) = page.split_once("\n### Events\n").unwrap();
    let documented: BTreeSet<String> = table
        .split("\n## ")
        .next()
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(message, _)| message.to_owned())
        .collect();
    let mut logged = BTreeSet::new();
    for file in sources(&root().join("src")) {
        let name = file
            .strip_prefix(root())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        // A demonstration is no gate.
        if name.contains("test") || name.ends_with("cli/demo.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for level in ["info", "warn", "error"] {
            for call in text.split(&format!("{level}!(")).skip(1) {
                logged.extend(message(call));
            }
        }
    }
    assert_eq!(logged, documented);
}

/// The message of an event: the last text of the call, whose arguments begin here.
fn message(call: &str) -> Option<String> {
    let (mut depth, mut last, mut rest) = (1, "", call);
    while depth > 0 {
        let at = rest.find(['(', ')', '"'])?;
        let (found, behind) = rest[at..].split_at(1);
        rest = behind;
        match found {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {
                let mut ends = rest.match_indices('"').map(|(end, _)| end);
                let end = ends.find(|end| !rest[..*end].ends_with('\\'))?;
                last = &rest[..end];
                rest = &rest[end + 1..];
            }
        }
    }
    let lines = last.split("\\\n").map(str::trim_start);
    let text = lines
        .collect::<String>()
        .replace("{NOT_FETCHED}", NOT_FETCHED);
    let text = match text.split_once('{') {
        Some((before, _)) => format!("{before}…"),
        None => text,
    };
    let text = match text.strip_prefix(NOT_FETCHED) {
        Some(_) => format!("{NOT_FETCHED}: …"),
        None => text,
    };
    Some(text).filter(|text| text != "…")
}

/// `identity/keys.rs` has it.
const NOT_FETCHED: &str = "the keys of an issuer could not be fetched";

/// The thread that compares the engines asks for them: without, it takes time from requests, and the log says so.
#[test]
fn the_shipped_unit_lets_a_thread_put_itself_behind_others() {
    let unit = page("deploy/dtgate.service");
    let mut filters = unit
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
        .rev();
    assert_eq!(filters.next(), Some("sched_setscheduler setpriority"));
    assert!(unit.contains("\nRestrictRealtime=yes\n"));
}

/// systemd itself reads the unit, alone and with each of its drop-ins. The program is not there where it says.
#[test]
#[ignore = "needs systemd-analyze"]
fn needs_systemd_the_shipped_unit_and_its_drop_ins_are_understood() {
    let unit = page("deploy/dtgate.service").replace("/usr/local/bin/dtgate", "/bin/true");
    let mut drop_ins = vec![None];
    for entry in std::fs::read_dir(root().join("deploy/dtgate.service.d")).unwrap() {
        drop_ins.push(Some(entry.unwrap().path()));
    }
    assert_eq!(drop_ins.len(), 5);
    for drop_in in drop_ins {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("dtgate.service");
        std::fs::write(&place, &unit).unwrap();
        if let Some(drop_in) = &drop_in {
            let beside = folder.path().join("dtgate.service.d");
            std::fs::create_dir(&beside).unwrap();
            std::fs::copy(drop_in, beside.join(drop_in.file_name().unwrap())).unwrap();
        }
        let mut verify = std::process::Command::new("systemd-analyze");
        let output = verify.arg("verify").arg(&place).output().unwrap();
        assert!(output.status.success(), "{drop_in:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{drop_in:?}: {output:?}");
    }
}

/// Interactive zsh takes no comments: what stands behind a command would be arguments, and a line of its own is run.
#[test]
fn commands_that_are_shown_can_be_pasted_into_any_shell() {
    let mut seen = 0;
    for name in PAGES.iter().chain(&["benches/compare/README.md"]) {
        for block in blocks(&page(name), "sh") {
            for line in block.lines() {
                match line.strip_prefix('#') {
                    Some(comment) => {
                        let is_sign = |sign: char| "`'\"$;&|<>(){}[]*?!\\".contains(sign);
                        assert!(!comment.contains(is_sign), "{name}: {line}");
                    }
                    None => assert!(!line.contains(" #"), "{name}: {line}"),
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "only {seen} lines found");
}

/// With no program where the shell looks, and with one that ends at once: the example ends too, and says why.
#[test]
fn the_example_to_try_by_hand_does_not_wait_for_a_gate_that_does_not_start() {
    let example = block_after(&page("README.md"), "a gate to try by hand", "sh");
    let waits = example
        .lines()
        .find(|line| line.contains("/readyz"))
        .unwrap();
    let (asks, or_else) = waits.split_once(" || ").unwrap();
    let words = shlex::split(asks).unwrap();
    let behind = |flag: &str| -> u64 {
        let at = words.iter().position(|word| word == flag).unwrap();
        words[at + 1].parse().unwrap()
    };
    assert!(behind("--retry") * behind("--retry-delay") <= 60);
    for line in example.lines().filter(|line| line.ends_with(" &")) {
        let (_, log) = line
            .strip_suffix(" 2>&1 &")
            .unwrap()
            .rsplit_once(" > ")
            .unwrap();
        assert!(or_else.contains(log), "{or_else}: {log}");
    }
}

#[test]
fn every_command_and_flag_that_is_shown_exists() {
    let mut seen = 0;
    for name in PAGES {
        for shown in commands(&page(name)) {
            let words: Vec<&str> = shown.split_whitespace().collect();
            let nested = ["audit", "grant", "new", "policies", "scopes"]
                .contains(words.first().unwrap_or(&""));
            let depth = if nested { 2 } else { 1 };
            let mut arguments = words[..depth.min(words.len())].to_vec();
            if arguments.last().is_some_and(|word| word.starts_with('-')) {
                continue;
            }
            arguments.push("--help");
            let output = run(&arguments);
            assert!(
                output.status.success(),
                "{name}: dtgate {shown}: {output:?}"
            );
            let help = String::from_utf8_lossy(&output.stdout);
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                assert!(has_flag(&help, flag), "{name}: dtgate {shown}: no {flag}");
            }
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} commands found");
}

#[test]
fn every_flag_of_the_configuration_page_is_one_of_serve() {
    let output = run(&["serve", "--help"]);
    let help = String::from_utf8_lossy(&output.stdout);
    let text = page("docs/configuration.md");
    let table = text.split("## Flags").nth(1).unwrap();
    let mut shown = BTreeSet::new();
    for flag in table
        .split(['`', ' '])
        .filter(|word| word.starts_with("--"))
    {
        if flag.chars().any(char::is_alphabetic) {
            assert!(has_flag(&help, flag), "no {flag}");
            shown.insert(flag.to_owned());
        }
    }
    for flag in help
        .split_whitespace()
        .filter(|word| word.starts_with("--"))
    {
        let general = ["--help", "--version", "--config"].contains(&flag);
        assert!(general || shown.contains(flag), "{flag} is not documented");
    }
}

/// `…` stands for what was left out: the rest of a line, or lines.
#[test]
fn the_transcript_of_the_readme_is_what_the_demo_prints() {
    let output = run(&["demo", "--once"]);
    assert!(output.status.success(), "{output:?}");
    let printed = masked(&String::from_utf8_lossy(&output.stdout));
    let mut printed = printed.lines();
    let shown = masked(&block_after(&page("README.md"), "## The demo", "text"));
    let mut may_skip = true;
    for line in shown.lines() {
        if line.trim() == "…" {
            may_skip = true;
            continue;
        }
        let is_it = |printed: &str| match line.strip_suffix('…') {
            Some(begin) => printed.starts_with(begin),
            None => printed == line,
        };
        let next = if may_skip {
            printed.find(|line| is_it(line))
        } else {
            printed.next().filter(|line| is_it(line))
        };
        assert!(next.is_some(), "not printed, or not here: {line}");
        may_skip = false;
    }
}

#[test]
fn the_policy_of_the_readme_loads_and_decides_as_its_test_says() {
    let directory = tempfile::tempdir().unwrap();
    copy(&policies(), directory.path());
    let readme = page("README.md");
    for name in ["no_logs.rego", "no_logs_test.rego"] {
        let block = block_after(&readme, &format!("`policies/{name}`:"), "rego");
        std::fs::write(directory.path().join(name), block).unwrap();
    }
    let place = directory.path().to_str().unwrap();
    let request = directory.path().join("request.http");
    let written = block_after(&readme, "`request.http`:", "http");
    std::fs::write(&request, &written).unwrap();
    // The commands as they are shown, and the last two for a scope that nobody objects to.
    let (_, shown) = readme.split_once("see one request judged:").unwrap();
    let shown: String = blocks(shown, "sh").iter().take(2).cloned().collect();
    let shown = shown.replace("\\\n", " ");
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 4);
    let say = |line: &str| {
        let words = shlex::split(line).unwrap();
        let words = words.iter().skip(1).map(|word| match &**word {
            "policies" => place,
            "request.http" => request.to_str().unwrap(),
            word => word,
        });
        let said = run(&words.collect::<Vec<_>>());
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        (said.status.code(), text)
    };
    let (code, checked) = say(lines[0]);
    assert!(code == Some(0) && checked.contains("no_logs"), "{checked}");
    let (code, tested) = say(&format!("{} --verbose --run 'no_logs_test\\.'", lines[1]));
    assert!(code == Some(0) && tested.contains("PASS: 2/2"), "{tested}");
    for line in &lines[2..] {
        let (code, judged) = say(line);
        assert_eq!(code, Some(2), "{judged}");
        assert!(judged.contains("reads logs"), "{judged}");
    }
    std::fs::write(&request, written.replace("logs.read", "metrics.read")).unwrap();
    for line in &lines[2..] {
        let (code, judged) = say(&line.replace("logs.read", "metrics.read"));
        assert_eq!(code, Some(0), "{judged}");
    }
}

#[test]
fn the_input_document_of_the_documentation_can_be_judged() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("input.json");
    let example = block_after(&page("docs/input.md"), "# The input document", "json");
    std::fs::write(&file, &example).unwrap();
    let path = file.to_str().unwrap();
    let output = run(&["eval", "--request", path, "--format", "json"]);
    assert!(output.status.success(), "{output:?}");
    let judged: Value = serde_json::from_slice(&output.stdout).unwrap();
    let written: Value = serde_json::from_str(&example).unwrap();
    assert_eq!(judged["input"], written);
}

/// The requests of the example, sent to a gate before the simulator as the example starts them.
#[test]
fn the_example_to_try_by_hand_answers_as_the_readme_says() {
    let example = block_after(&page("README.md"), "a gate to try by hand", "sh");
    assert!(
        example.contains("\ndtgate serve --upstream http://127.0.0.1:9100 --policies policies ")
    );
    let simulator = Simulator::start();
    let gate = gate(simulator.address);
    let example = example.replace("\\\n", " ");
    let mut sent = Vec::new();
    for line in example.lines().filter(|line| line.starts_with("curl -i ")) {
        let words = shlex::split(line).unwrap();
        let behind = |option: &str| -> Vec<&String> {
            let pairs = words.windows(2).filter(|pair| pair[0] == option);
            pairs.map(|pair| &pair[1]).collect()
        };
        let method = behind("-X")[0];
        let url = words
            .iter()
            .find(|word| word.starts_with("http://"))
            .unwrap();
        let path = url.strip_prefix("http://127.0.0.1:8080").unwrap();
        let body = behind("-d")[0];
        let fields = behind("-H").into_iter().map(String::as_str);
        let fields: Vec<&str> = fields.collect();
        let (fields, length) = (fields.join("\r\n"), body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n{fields}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let answer = gate.raw(request);
        if answer.status == 403 {
            let said = answer.json().to_string();
            assert!(
                said.contains("forbidden_scopes") && said.contains("naming"),
                "{said}"
            );
        }
        sent.push(answer.status);
    }
    assert_eq!(sent, [403, 204]);
}

#[test]
fn every_member_of_the_input_is_documented() {
    let text = page("docs/input.md");
    for member in dtgate::policy::input::members() {
        let last = member.rsplit('.').next().unwrap();
        assert!(text.contains(last), "{member}");
    }
}

/// The shipped policies, and more of the pages.
fn with_policies(more: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    copy(&policies(), directory.path());
    for (name, text) in more {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

/// Each rule of the table, of the two callers that it is about.
#[test]
fn rules_about_callers_say_what_the_documentation_says() {
    let text = page("docs/input.md");
    let table = text.split_once("\n| rule | the first |").unwrap().1;
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let (mut policy, mut wanted) = ("package dtgate.callers\n".to_owned(), Vec::new());
    for (number, row) in rows.enumerate() {
        let condition = row.split('`').nth(1).unwrap();
        writeln!(policy, "\ndeny contains \"rule {number}\" if {condition}").unwrap();
        let cells: Vec<&str> = row.split('|').rev().skip(1).take(2).collect();
        wanted.push([cells[1].contains("denies"), cells[0].contains("denies")]);
    }
    assert!(wanted.len() > 5, "{wanted:?}");
    let directory = with_policies(&[("callers.rego", &policy)]);
    let place = directory.path().to_str().unwrap();
    let checked = run(&["check", "--policies", place]);
    assert!(checked.status.success(), "{checked:?}");
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(!said.contains("warning"), "{said}");

    let example = block_after(&text, "# The input document", "json");
    let mut input: Value = serde_json::from_str(&example).unwrap();
    let certificate = &mut input["caller"]["certificate"];
    certificate["spiffe_id"] = json!("spiffe://example/ns/payments/ci");
    certificate["dns"] = json!(["ci.payments.example"]);
    certificate["fingerprint"] = json!("0".repeat(64));
    let first = input.clone();
    input["caller"] = json!({"address": "10.1.2.3"});
    for (caller, input) in [first, input].iter().enumerate() {
        let file = directory.path().join("input.json");
        std::fs::write(&file, input.to_string()).unwrap();
        let judged = run(&[
            "eval",
            "--request",
            file.to_str().unwrap(),
            "--policies",
            place,
        ]);
        let said = String::from_utf8_lossy(&judged.stdout).into_owned();
        std::fs::remove_file(&file).unwrap();
        for (number, denies) in wanted.iter().enumerate() {
            let denied = said.contains(&format!("rule {number}\n"));
            assert_eq!(denied, denies[caller], "rule {number}, {caller}: {said}");
        }
    }
}

/// The example of brokering with the teams and the rules of the same page: `check` takes them together.
#[test]
fn the_examples_of_the_page_about_callers_are_accepted() {
    let text = page("docs/identity.md");
    // Whole files have a test of their own.
    let mut rules = blocks(&text, "rego");
    rules.retain(|block| !block.contains("package "));
    let rules = rules.concat();
    let files = with_policies(&[
        (
            "own_rules.rego",
            &format!("package dtgate.own_rules\n\n{rules}"),
        ),
        ("teams.yaml", &block_after(&text, "\n## Teams\n", "yaml")),
    ]);
    let place = files.path().to_str().unwrap();
    std::fs::create_dir(files.path().join("tls")).unwrap();
    write(&files.path().join("tls"), &certified());
    for (name, text) in [
        ("dynatrace-token", "dt0c01.PUBLIC.SECRET\n"),
        ("oauth-client-secret", "dt0s02.PUBLIC.SECRET\n"),
    ] {
        std::fs::write(files.path().join(name), text).unwrap();
    }
    let example = block_after(&text, "### A complete example", "toml");
    let oauth = block_after(&text, "### OAuth client credentials", "toml");
    let (before, rest) = example.split_once("[credential]\n").unwrap();
    let (_, behind) = rest.split_once("\n\n").unwrap();
    for example in [example.clone(), format!("{before}{oauth}\n{behind}")] {
        let example = example
            .replace("/etc/dtgate/policies", place)
            .replace("/etc/dtgate", place);
        let file = files.path().join("dtgate.toml");
        std::fs::write(&file, example).unwrap();
        let output = run(&["check", "--config", file.to_str().unwrap()]);
        assert!(output.status.success(), "{output:?}");
    }
}

/// The policy for one team, with its test: all of it holds, no line of it is too much, and `eval` says the same.
#[test]
fn the_policy_for_one_team_has_no_hole() {
    let about = page("docs/identity.md");
    let block = |name: &str| block_after(&about, &format!("`policies/{name}`:"), "rego");
    let (policy, test) = (block("payments.rego"), block("payments_test.rego"));
    let files = with_policies(&[("payments.rego", &policy), ("payments_test.rego", &test)]);
    let place = files.path().to_str().unwrap();
    let checked = run(&["check", "--strict", "--policies", place]);
    assert!(checked.status.success(), "{checked:?}");
    let tests = || run(&["test", "--run", r"payments_test\.", place]);
    let tested = tests();
    let said = String::from_utf8_lossy(&tested.stdout);
    assert!(said.contains("PASS: 3/3"), "{said}");
    let lines = policy.lines().filter(|line| line.starts_with("theirs if"));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 3);
    for line in lines {
        let without = policy.replace(line, "");
        std::fs::write(files.path().join("payments.rego"), without).unwrap();
        let said = tests();
        assert_eq!(said.status.code(), Some(2), "{line}: {said:?}");
    }
    std::fs::write(files.path().join("payments.rego"), &policy).unwrap();
    let shown = block_after(&about, "To see one request judged:", "sh");
    let words = shlex::split(shown.trim()).unwrap();
    for (team, denied) in [("search", true), ("payments", false)] {
        let words = words.iter().skip(1).map(|word| match &**word {
            "policies" => place,
            "search" => team,
            word => word,
        });
        let said = run(&words.collect::<Vec<_>>());
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert_eq!(said.contains("only the team payments"), denied, "{said}");
    }
}

/// The settings that the rows of tables name, and the cell behind.
fn settings(text: &str) -> Vec<(Vec<&str>, &str)> {
    let mut settings = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = line.trim_start_matches("| ").split(" | ");
        let names = cells.next().unwrap().split('`').skip(1).step_by(2);
        let names = names.map(|name| name.trim_start_matches('.').trim_end_matches(" = true"));
        settings.push((names.collect(), cells.next().unwrap_or_default()));
    }
    settings
}

#[test]
fn every_setting_about_callers_is_on_their_page_with_its_default() {
    let (keys, callers) = (page("docs/configuration.md"), page("docs/identity.md"));
    let sections = [
        ("listener.tls.clients.", "Client certificates"),
        ("listener.tls.certificates.", "TLS"),
        ("listener.tls.files.", "TLS"),
        ("listener.tls.", "TLS"),
        ("listener.proxy_protocol.", "PROXY protocol"),
        ("identity.jwt.NAME.", "JSON Web Tokens"),
        ("identity.forwarded.", "Clients behind proxies"),
        ("credential.oauth.", "Brokering"),
        ("credential.", "Brokering"),
        ("admin.tls.", "Operators"),
    ];
    let mut seen = 0;
    for (names, default) in settings(&keys) {
        let [key] = names[..] else { continue };
        let mut sections = sections.iter();
        let Some((_, title)) = sections.find(|(begin, _)| key.starts_with(begin)) else {
            continue;
        };
        let (_, section) = callers.split_once(&format!("\n## {title}\n")).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let is_it = |name: &str| {
            key == name
                || key.ends_with(&format!(".{name}"))
                || key.starts_with(&format!("{name}."))
        };
        let rows = settings(section).into_iter();
        let mut rows = rows.filter(|(names, _)| names.iter().any(|name| is_it(name)));
        // In its own words, where there is none.
        let first = |default: &str| default.split([':', ',']).next().unwrap().to_owned();
        let is_alike = |told: &str| first(told) == first(default) || key.ends_with(".discovery");
        assert!(rows.any(|(_, told)| is_alike(told)), "{key}: {default}");
        seen += 1;
    }
    assert!(seen > 40, "only {seen} found");
}

/// Whoever writes teams can look up what they may be by.
#[test]
fn every_issuer_that_serves_everybody_is_listed_with_the_claims_that_name_an_owner() {
    let text = page("docs/identity.md");
    let (_, text) = text.split_once("| issuer (`iss`) |").unwrap();
    let (table, _) = text.split_once("\n\n").unwrap();
    for issuer in Everybodys::all() {
        let mut rows = table.lines();
        let row = rows.find(|row| row.starts_with(&format!("| {}", issuer.who)));
        let cells: Vec<&str> = row.unwrap().split(" | ").collect();
        let in_code = cells[1].split('`').skip(1).step_by(2);
        let listed: BTreeSet<&str> = in_code.collect();
        for claim in issuer.claims() {
            assert!(listed.contains(&*claim), "{}: {claim}", issuer.who);
        }
    }
}

/// Each piece of a configuration that the pages show, by itself.
#[test]
fn every_piece_of_a_configuration_that_is_shown_is_one() {
    let own = "[listener.tls.files]\ncertificate = 'c'\nkey = 'k'\n";
    let mut seen = 0;
    for name in PAGES {
        for block in blocks(&page(name), "toml") {
            let is_about_clients = block.starts_with("[listener.tls.clients]");
            let before = if is_about_clients { own } else { "" };
            let text = format!("{before}{block}");
            if let Err(error) = toml::from_str::<Config>(&text) {
                panic!("{name}: {error}\n{text}");
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} found");
}

#[test]
fn the_tests_that_the_readme_names_exist() {
    let tests = page("tests/it/promises.rs")
        + &page("tests/it/catalogue.rs")
        + &page("tests/it/secrets.rs");
    let readme = page("README.md");
    let named: Vec<&str> = readme
        .split('`')
        .filter(|word| word.starts_with("promise_"))
        .collect();
    for promise in 1..=5 {
        let prefix = format!("promise_{promise}_");
        assert!(
            named.iter().any(|name| name.starts_with(&prefix)),
            "{prefix}"
        );
    }
    for name in named {
        assert!(tests.contains(&format!("fn {name}()")), "{name}");
    }
}

/// A test that nobody runs proves nothing: what a name says to be needed is what `.ci/run` looks for.
#[test]
fn every_test_that_is_ignored_is_run_where_it_can_be() {
    let script = page(".ci/run");
    let mut needs = BTreeSet::new();
    for folder in ["src", "tests/it"] {
        for file in sources(&root().join(folder)) {
            let text = std::fs::read_to_string(&file).unwrap();
            for test in text.split("\n#[ignore = ").skip(1) {
                let mut words = test.split("fn ").nth(1).unwrap().split('_');
                assert_eq!(words.next(), Some("needs"), "{}", file.display());
                needs.insert(format!("needing needs_{}_", words.next().unwrap()));
            }
        }
    }
    assert_eq!(needs.len(), 18, "{needs:?}");
    for need in needs {
        assert!(script.contains(&need), "{need}");
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                sources(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

#[test]
fn every_page_that_is_linked_exists_and_has_the_section() {
    let mut seen = 0;
    for name in PAGES {
        let text = page(name);
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let (target, section) = link.split_once('#').unwrap_or((link, ""));
            if target.contains("://") {
                continue;
            }
            let mut path = root().join(name);
            if !target.is_empty() {
                path = path.parent().unwrap().join(target);
            }
            assert!(path.exists(), "{name}: {link}");
            if !section.is_empty() {
                let sections = sections(&std::fs::read_to_string(path).unwrap());
                assert!(sections.contains(section), "{name}: {link}: {sections:?}");
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "only {seen} sections are linked");
}

#[test]
fn pictures_are_small_and_each_is_shown() {
    let mut shown = String::new();
    for name in PAGES {
        shown += &page(name);
    }
    let mut all = 0;
    for entry in std::fs::read_dir(root().join("docs/images")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        assert!(shown.contains(&format!("images/{name})")), "{name}");
        let bytes = entry.metadata().unwrap().len();
        assert!(bytes < 80 << 10, "{name}: {bytes}");
        all += 1;
    }
    assert!(all >= 5, "{all}");
    let readme = page("README.md");
    assert!(readme.matches("](docs/images/").count() >= 3, "{readme}");
}

/// What links call the sections of a page, as those who show it do.
pub(crate) fn sections(page: &str) -> BTreeSet<String> {
    let mut is_code = false;
    let titles = page.lines().filter(|line| {
        is_code ^= line.starts_with("```");
        !is_code && line.starts_with('#')
    });
    let slug = |title: &str| -> String {
        let letters = title.trim_start_matches('#').trim().to_lowercase();
        let kept = letters
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    titles.map(slug).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

fn run(arguments: &[&str]) -> Output {
    program()
        .current_dir(root())
        .args(arguments)
        .output()
        .unwrap()
}

/// Whether a help text lists the flag itself, and not only one that begins like it.
fn has_flag(help: &str, flag: &str) -> bool {
    help.split([' ', ',', '\n']).any(|word| word == flag)
}

/// What stands behind `dtgate` in code, up to the end of the command.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block = None;
    for line in text.lines() {
        if let Some(language) = line.strip_prefix("```") {
            block = match block {
                None => Some(language),
                Some(_) => None,
            };
        } else if let Some("sh" | "console") = block {
            let line = line.strip_prefix("$ ").unwrap_or(line);
            let shown = line.strip_prefix("dtgate ");
            // A bench is another program.
            let is_bench = line.starts_with("cargo bench ");
            let behind = line.split_once(" -- ").filter(|_| !is_bench);
            let shown = shown.or_else(|| behind.map(|(_, shown)| shown));
            // In a container the program has its whole path.
            let whole = "/usr/local/bin/dtgate ";
            let shown = shown.filter(|shown| !shown.starts_with(whole));
            let shown = shown.or_else(|| line.split_once(whole).map(|(_, shown)| shown));
            found.extend(shown.map(|shown| shown.split('#').next().unwrap().to_owned()));
        } else if block.is_none() {
            let code = line.split('`').skip(1).step_by(2);
            found.extend(code.filter_map(|code| code.strip_prefix("dtgate ").map(str::to_owned)));
        }
    }
    found
}

/// All blocks of a language.
pub(crate) fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let pieces = page.split(&fence).skip(1);
    pieces
        .filter_map(|rest| Some(rest.split_once("```")?.0.to_owned()))
        .collect()
}

/// The first block of a language behind a text.
pub(crate) fn block_after(page: &str, text: &str, language: &str) -> String {
    let rest = page.split_once(text).unwrap().1;
    let rest = rest.split_once(&format!("```{language}\n")).unwrap().1;
    rest.split_once("```").unwrap().0.to_owned()
}
