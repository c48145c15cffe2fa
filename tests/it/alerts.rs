//! Every alarm goes off when its cause happens. Each cause is made to happen in a gate, and what Prometheus would read
//! before and after is what the rules of `deploy/prometheus/alerts.yaml` are asked about: by Prometheus' own `promtool`
//! where that is there. And dashboard and rules name nothing that a gate does not show.

pub(crate) mod causes;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regex::Regex;
use serde_json::Value;

use crate::docs::{every_metric, sections};
use crate::harness::{GOOD, Gate, TOKEN, Upstream, exchange};
pub(crate) use causes::look;

/// Every series, as Prometheus has it, and its value.
pub(crate) type Scrape = BTreeMap<String, f64>;

/// What makes an alarm go off.
type Cause = fn() -> [Scrape; 2];

const CAUSES: [(&str, Cause); 30] = [
    ("DtgateDown", causes::gate_gone),
    ("DtgateNotReady", causes::disk_full),
    ("DtgateJournalFailing", causes::disk_full),
    ("DtgateJournalDiskLow", || causes::disk_filling(1)),
    ("DtgateJournalDiskFull", || causes::disk_filling(4)),
    ("DtgateJournalKeepFailing", causes::not_compressed),
    ("DtgateCheckpointsMissing", causes::no_checkpoints),
    ("DtgateCheckpointsNotSent", causes::checkpoints_not_sent),
    ("DtgatePolicyFailing", causes::policy_failing),
    ("DtgateGrantUsed", crate::grants::grant_used),
    ("DtgateFault", causes::fault),
    ("DtgateEnginesDiffer", causes::engines_differ),
    ("DtgateReloadRefused", causes::reload_refused),
    (
        "DtgateChallengerRefused",
        crate::challenger::challenger_refused,
    ),
    (
        "DtgateChallengerFailing",
        crate::challenger::challenger_failing,
    ),
    ("DtgateLookupsFailing", causes::lookups_failing),
    ("DtgateLogDropped", causes::log_lost),
    (
        "DtgateAccessTokenFailing",
        crate::identity::oauth::no_access_token,
    ),
    ("DtgateIssuerKeysFailing", causes::keys_not_fetched),
    ("DtgateIssuerKeysOld", causes::keys_fetched_once),
    (
        "DtgateBundleNotFetched",
        crate::bundles::remote::bundle_not_fetched,
    ),
    (
        "DtgateBundlesUnremembered",
        crate::bundles::bundles_unremembered,
    ),
    ("DtgateCertificateEndsSoon", || {
        crate::status::certificate_exchanged([30, 10])
    }),
    ("DtgateCertificateEnds", || {
        crate::status::certificate_exchanged([30, -1])
    }),
    (
        "DtgateRevocationListExpired",
        crate::tls::clients::list_expired,
    ),
    ("DtgateOtlpFailing", crate::otlp::collector_gone),
    ("DtgateSpansDropped", crate::otlp::collector_refusing),
    ("DtgateSinkBehind", crate::sinks::sink_down),
    ("DtgateSinkRecordsMissing", crate::sinks::record_refused),
    ("DtgateTurnsFailing", causes::store_gone),
];

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(deploy(name)).unwrap()
}

fn rules() -> Vec<Value> {
    let file: Value = yaml_serde::from_str(&text("prometheus/alerts.yaml")).unwrap();
    file["groups"][0]["rules"].as_array().unwrap().clone()
}

/// The metrics that an expression asks about.
fn names(expression: &str) -> BTreeSet<String> {
    let name = Regex::new(r"\b(?:dtgate_\w+|up\b)").unwrap();
    let found = name.find_iter(expression);
    found.map(|name| name.as_str().to_owned()).collect()
}

/// All that can be done without Prometheus: what the expression asks about is not the same any more.
#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "needs Linux, where a running program can be limited"
)]
fn the_cause_of_every_alarm_moves_what_it_watches() {
    let rules = rules();
    let alerts: BTreeSet<&str> = rules
        .iter()
        .map(|rule| rule["alert"].as_str().unwrap())
        .collect();
    let listed: BTreeSet<&str> = CAUSES.iter().map(|(alert, _)| *alert).collect();
    assert_eq!(alerts, listed);
    for (alert, cause) in CAUSES {
        let [before, after] = cause();
        let rule = rules.iter().find(|rule| rule["alert"] == alert).unwrap();
        let names = names(rule["expr"].as_str().unwrap());
        let moved = after.iter().find(|(series, value)| {
            let name = series.split('{').next().unwrap();
            names.contains(name) && before.get(*series) != Some(*value)
        });
        assert!(moved.is_some(), "{alert}: {before:?} {after:?}");
    }
}

fn promtool() -> Command {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target"),
        PathBuf::from,
    );
    let built = target.join("tools/promtool");
    Command::new(if built.exists() {
        built
    } else {
        "promtool".into()
    })
}

/// What a scraper gets that does not know `OpenMetrics`.
#[test]
#[ignore = "needs promtool"]
fn needs_promtool_the_older_text_of_all_metrics_is_good() {
    let upstream = Upstream::lenient();
    let gate = Gate::start(tempfile::tempdir().unwrap(), upstream.address, &[]);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    let question = b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n";
    let text = exchange(gate.admin, question).body;
    assert!(text.contains("dtgate_evaluation_seconds_bucket"), "{text}");
    let mut child = promtool()
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

fn promtool_says(arguments: &[&str], folder: &Path) {
    let output = promtool()
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
#[ignore = "needs promtool"]
fn needs_promtool_the_rules_are_good_and_pass_their_own_tests() {
    let folder = deploy("prometheus");
    promtool_says(
        &[
            "check",
            "rules",
            "--lint=all",
            "--lint-fatal",
            "alerts.yaml",
        ],
        &folder,
    );
    promtool_says(&["test", "rules", "alerts.test.yaml"], &folder);
}

/// Ten minutes in which all is well, then the cause, then four hours in which nothing else changes.
#[test]
#[ignore = "needs promtool"]
fn needs_promtool_every_alarm_goes_off_when_its_cause_happens_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(
        deploy("prometheus/alerts.yaml"),
        folder.path().join("alerts.yaml"),
    )
    .unwrap();
    let mut tests = "rule_files: [alerts.yaml]\nevaluation_interval: 1m\ntests:\n".to_owned();
    let now = dtgate::app::now().as_duration().as_secs_f64();
    for (alert, cause) in CAUSES {
        let scrapes = cause();
        writeln!(
            tests,
            "  - name: {alert}\n    interval: 1m\n    input_series:"
        )
        .unwrap();
        let all: BTreeSet<&String> = scrapes.iter().flat_map(BTreeMap::keys).collect();
        for series in all {
            let [before, after] = [0, 1].map(|moment: usize| {
                scrapes[moment].get(series).map(|value| {
                    // The clock of these tests starts at 0.
                    let value = if series.contains("_timestamp_seconds") {
                        (value - now).max(0.0)
                    } else {
                        *value
                    };
                    value.to_string()
                })
            });
            let values = match (before, after) {
                (Some(before), Some(after)) => format!("{before}x10 {after}x240"),
                (None, Some(after)) => format!("_x10 {after}x240"),
                (Some(before), None) => format!("{before}x10"),
                (None, None) => continue,
            };
            writeln!(tests, "      - {{series: '{series}', values: '{values}'}}").unwrap();
        }
        let firing = format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}");
        writeln!(
            tests,
            "    promql_expr_test:\n      - {{expr: 'count({firing})', eval_time: 10m, exp_samples: []}}\n      \
             - {{expr: 'count(last_over_time({firing}[4h]))', eval_time: 4h, exp_samples: [{{labels: '{{}}', value: 1}}]}}"
        )
        .unwrap();
    }
    std::fs::write(folder.path().join("tests.yaml"), tests).unwrap();
    promtool_says(&["test", "rules", "tests.yaml"], folder.path());
}

#[test]
fn every_alarm_has_a_runbook() {
    let page = std::fs::read_to_string("docs/operations.md").unwrap();
    let sections = sections(&page);
    for rule in rules() {
        let alert = rule["alert"].as_str().unwrap();
        let runbook = rule["annotations"]["runbook"].as_str().unwrap();
        let section = runbook.strip_prefix("docs/operations.md#").unwrap();
        assert_eq!(section, alert.to_lowercase());
        assert!(sections.contains(section), "{alert}");
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning"].contains(&severity), "{alert}");
        assert!(
            rule["annotations"]["summary"].is_string()
                && rule["annotations"]["description"].is_string()
        );
    }
}

/// Expressions of the dashboard: those of its panels, its variables and its annotations.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if ["expr", "query"].contains(&name.as_str()) => {
                        found.push(text.clone());
                    }
                    member => expressions(member, found),
                }
            }
        }
        Value::Array(members) => members.iter().for_each(|member| expressions(member, found)),
        _ => {}
    }
}

/// Labels that Prometheus adds, and those of rules themselves.
const ADDED: [&str; 2] = ["instance", "job"];

/// Each metric with the labels that it has, and their values.
fn shown() -> BTreeMap<String, BTreeSet<(String, String)>> {
    let label = Regex::new(r#"(\w+)="([^"]*)""#).unwrap();
    let mut shown: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    let page = every_metric();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        // Behind that stands an exemplar, whose labels are its own.
        let line = line.split(" # ").next().unwrap();
        let labels = label.captures_iter(line);
        let labels = labels.map(|found| (found[1].to_owned(), found[2].to_owned()));
        shown.entry(name.to_owned()).or_default().extend(labels);
    }
    shown.insert("up".to_owned(), BTreeSet::new());
    shown
}

#[test]
fn the_dashboard_and_the_rules_name_only_what_a_gate_shows() {
    let selector = Regex::new(r"\b(dtgate_\w+|up)\b(?:\{([^}]*)\})?").unwrap();
    let matcher = Regex::new(r#"(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)""#).unwrap();
    let grouped = Regex::new(r"\b(?:by|without|on|ignoring) \(([^)]*)\)").unwrap();
    let dashboard: Value = serde_json::from_str(&text("grafana/dtgate.json")).unwrap();
    let mut asked = Vec::new();
    expressions(&dashboard, &mut asked);
    asked.extend(
        rules()
            .iter()
            .map(|rule| rule["expr"].as_str().unwrap().to_owned()),
    );
    let shown = shown();
    let mut used = BTreeSet::new();
    for expression in &asked {
        let mut known: BTreeSet<&str> = ADDED.into();
        for found in selector.captures_iter(expression) {
            let labels = shown
                .get(&found[1])
                .unwrap_or_else(|| panic!("{} in {expression}", &found[1]));
            used.insert(found[1].to_owned());
            known.extend(labels.iter().map(|(name, _)| name.as_str()));
            let matchers = found.get(2).map_or("", |inside| inside.as_str());
            for matched in matcher.captures_iter(matchers) {
                let (name, value) = (matched[1].to_owned(), matched[3].to_owned());
                if ADDED.contains(&name.as_str()) {
                    continue;
                }
                assert!(
                    labels.iter().any(|(label, _)| *label == name),
                    "{name} in {expression}"
                );
                if &matched[2] == "=" {
                    assert!(
                        labels.contains(&(name, value)),
                        "{} in {expression}",
                        &matched[0]
                    );
                }
            }
        }
        for group in grouped.captures_iter(expression) {
            for name in group[1].split(',').map(str::trim) {
                assert!(known.contains(name), "{name} in {expression}");
            }
        }
    }
    // And every metric is to be seen somewhere, or somebody has forgotten it.
    let every: BTreeSet<&str> = shown
        .keys()
        .map(|name| {
            name.trim_end_matches("_bucket")
                .trim_end_matches("_count")
                .trim_end_matches("_sum")
        })
        .collect();
    let forgotten: Vec<&&str> = every
        .iter()
        .filter(|name| !used.iter().any(|used| used.starts_with(**name)))
        .collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}
