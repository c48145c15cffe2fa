use super::*;

fn decision(number: u128) -> Redacted {
    uuid::Uuid::from_u128(number).into()
}

/// Something of everything was counted.
fn counted() -> Metrics {
    let metrics = Metrics::new("1.2.3");
    let update = "token.update";
    metrics.request(true, Some(update), &Method::PUT, StatusCode::FORBIDDEN);
    metrics.decision(update, "deny");
    metrics.evaluated(Duration::from_micros(30), Some(&decision(1)));
    metrics.violation("naming", "enforce");
    metrics.violation("naming", "enforce");
    metrics.recorded(Duration::from_millis(2), &decision(2));
    metrics.record_failed();
    metrics.reached(Limit::InFlight);
    metrics.looked_up(true, Duration::from_millis(3));
    metrics.looked_up(false, Duration::from_millis(3));
    metrics.upstream_answered(Duration::from_millis(20), None);
    metrics.access_token_failed();
    metrics.checkpoint_made(jiff::Timestamp::UNIX_EPOCH);
    metrics.checkpoint_not_sent("url");
    metrics.certificate_refused("expired");
    metrics.certificates_are([("clients", "old.pem".to_owned(), jiff::Timestamp::UNIX_EPOCH)]);
    // One that is exchanged is not shown any more.
    let end = jiff::Timestamp::from_second(86_400).unwrap();
    metrics.certificates_are([("clients", "tls.pem".to_owned(), end)]);
    metrics.forwarded("believed");
    metrics.jwt("ci", "good");
    metrics.keys_are_of("ci", jiff::Timestamp::UNIX_EPOCH);
    metrics.keys_fetched("ci", true);
    metrics.otlp_failed("traces");
    metrics.spans_dropped(2);
    metrics.proxy_header("believed");
    metrics.shipped("opa.das", 3);
    metrics.shipping_failed("opa.das");
    metrics.records_not_shipped("opa.das", 1);
    metrics.sinks_from(|| {
        vec![SinkLoad {
            sink: "opa.das".to_owned(),
            behind: 5,
            seconds: 7,
        }]
    });
    metrics.goes_on(true);
    metrics.turns_from(|| true);
    metrics.reloaded(2, jiff::Timestamp::UNIX_EPOCH);
    metrics.reload_failed();
    metrics.connections_from(|| 7);
    metrics.console_answered(StatusCode::OK);
    metrics.console_asks("oidc");
    metrics.console_from(|| (2, 1));
    metrics.console_login("oidc", "refused");
    metrics.evaluator_from(|| Evaluator {
        bytecode: true,
        differs: false,
    });
    metrics.journal_free_from(|| 4096);
    metrics.journal_kept_from(|| JournalKept {
        segments: 3,
        bytes: 1000,
        text_bytes: 9000,
        oldest: Some(jiff::Timestamp::UNIX_EPOCH),
        waiting: 1,
        failing: false,
    });
    metrics.load_from(|| Load {
        body_bytes: 4096,
        judge_waiting: 3,
    });
    metrics.challenged("would_deny");
    metrics.challenger_is_refused(true);
    metrics.log_lines_dropped(3);
    metrics.panicked();
    metrics.policies_loaded("sha256:aa");
    metrics.policy_failed();
    metrics.journal_keeps_free(1024);
    metrics.ready_from(|| true);
    metrics
}

/// Dashboards and alerts go by them. `DTGATE_SNAPSHOTS=write cargo test --lib metrics` writes the list anew; read what
/// `git diff` then shows.
#[test]
fn names_labels_units_and_buckets_stay_what_they_are() {
    use std::fmt::Write;

    let text = counted().encode();
    let mut list = String::new();
    let mut before = String::new();
    for line in text.lines() {
        if let Some(said) = line.strip_prefix("# ") {
            if said != "EOF" {
                writeln!(list, "{said}").unwrap();
            }
            continue;
        }
        let name = line.split(['{', ' ']).next().unwrap();
        let labels = line.split_once('{').map_or("", |(_, rest)| rest);
        let labels = labels.split_once('}').map_or("", |(labels, _)| labels);
        let labels = labels.split(',').filter_map(|label| label.split_once('='));
        let labels: Vec<String> = labels
            .map(|(name, value)| match name {
                "le" => format!("le={value}"),
                _ => name.to_owned(),
            })
            .collect();
        let series = format!("  {name}{{{}}}", labels.join(","));
        if series != before {
            writeln!(list, "{series}").unwrap();
        }
        before = series;
    }
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/telemetry/metrics/tests/series.txt"
    );
    if std::env::var("DTGATE_SNAPSHOTS").is_ok_and(|wish| wish == "write") {
        std::fs::write(path, &list).unwrap();
    }
    assert_eq!(list, std::fs::read_to_string(path).unwrap());
}

#[test]
fn the_help_of_every_metric_says_its_unit() {
    let text = counted().encode();
    let of = |name: &str, what: &str| {
        let begin = format!("# {what} {name} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&begin));
        line.unwrap_or_default().to_owned()
    };
    for line in text.lines() {
        let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|it| it.split_once(' '))
        else {
            continue;
        };
        let (help, unit) = (of(name, "HELP"), of(name, "UNIT"));
        let says = |words: &str| assert!(help.contains(words), "{name}: {help}");
        if name.ends_with("_seconds") {
            assert_eq!(unit, "seconds", "{name}");
            says(if name.contains("_timestamp") {
                ", in seconds since 1970"
            } else {
                ", in seconds"
            });
        } else if name.ends_with("_bytes") {
            assert_eq!(unit, "bytes", "{name}");
            says(", in bytes");
        } else if kind == "gauge" && help.starts_with('1') {
            says("1 when ");
        } else if kind == "info" || name.ends_with("_info") {
            says("Always 1");
        } else {
            // A number of things: the help begins with what they are.
            let things = help
                .split([' ', ','])
                .take(4)
                .any(|word| word.ends_with('s'));
            assert!(things, "{name}: {help}");
        }
    }
}

#[test]
fn a_bucket_shows_the_last_decision_that_fell_into_it() {
    let metrics = counted();
    metrics.evaluated(Duration::from_micros(31), Some(&decision(3)));
    metrics.evaluated(Duration::from_micros(32), None);
    let text = metrics.encode();
    for line in [
        r#"dtgate_evaluation_seconds_bucket{le="0.00005"} 3 # {decision_id="00000000-0000-0000-0000-000000000003"} 0.000031"#,
        r#"dtgate_journal_seconds_bucket{le="0.0025"} 1 # {decision_id="00000000-0000-0000-0000-000000000002"} 0.002"#,
        r#"dtgate_upstream_seconds_bucket{le="0.025"} 1"#,
    ] {
        assert!(
            text.lines().any(|it| it == line),
            "{line} is not in\n{text}"
        );
    }
    // One a bucket, whatever comes.
    for number in 0..1000 {
        metrics.evaluated(Duration::from_micros(30), Some(&decision(number)));
    }
    assert_eq!(metrics.encode().matches("decision_id").count(), 2);
}

#[test]
fn every_metric_is_there_under_its_documented_name() {
    let metrics = counted();
    let in_flight = metrics.begin();
    let text = metrics.encode();
    for line in [
        r#"dtgate_build_info{version="1.2.3"} 1"#,
        "dtgate_body_bytes 4096",
        r#"dtgate_certificate_not_after_timestamp_seconds{shown_to="clients",file="tls.pem"} 86400"#,
        "dtgate_connections 7",
        r#"dtgate_decisions_total{operation="token.update",verdict="deny"} 1"#,
        "dtgate_evaluation_seconds_count 1",
        "dtgate_in_flight 1",
        "dtgate_judge_waiting 3",
        "dtgate_journal_seconds_sum 0.002",
        r#"dtgate_limit_reached_total{limit="in_flight"} 1"#,
        r#"dtgate_limit_reached_total{limit="body"} 0"#,
        "dtgate_log_dropped_total 3",
        "dtgate_lookup_failures_total 1",
        "dtgate_lookup_seconds_count 2",
        "dtgate_journal_failures_total 1",
        "dtgate_journal_free_bytes 4096",
        "dtgate_journal_records_total 1",
        "dtgate_journal_min_free_bytes 1024",
        "dtgate_panics_total 1",
        "dtgate_policy_errors_total 1",
        "dtgate_ready 1",
        "dtgate_reload_failures_total 1",
        "dtgate_reload_refused 1",
        r#"dtgate_policy_info{revision="sha256:aa"} 1"#,
        r#"dtgate_requests_total{route="guarded",operation="token.update",method="PUT",status="4xx"} 1"#,
        "dtgate_upstream_seconds_count 1",
        r#"dtgate_violations_total{policy="naming",mode="enforce"} 2"#,
    ] {
        assert!(
            text.lines().any(|candidate| candidate == line),
            "{line} is not in\n{text}"
        );
    }
    drop(in_flight);
    assert!(metrics.encode().contains("dtgate_in_flight 0\n"));
}

#[test]
fn the_text_is_well_formed_also_before_anything_happened() {
    let text = Metrics::new("1.2.3").encode();
    assert!(text.ends_with("# EOF\n"), "{text}");
    for line in text.lines() {
        let sample = line.rsplit_once(' ').and_then(|(name, value)| {
            Some((name.starts_with("dtgate_"), value.parse::<f64>().ok()?))
        });
        assert!(
            line.starts_with("# ") || sample.is_some_and(|(ours, _)| ours),
            "{line}"
        );
    }
}

#[test]
fn a_client_cannot_make_series_with_invented_methods() {
    let metrics = Metrics::new("1.2.3");
    for method in ["BREW", "PROPFIND", "put"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        metrics.request(false, None, &method, StatusCode::OK);
    }
    let text = metrics.encode();
    assert!(
        text.contains(r#"{route="open",operation="none",method="other",status="2xx"} 3"#),
        "{text}"
    );
}

#[test]
fn only_the_policies_that_judge_now_are_shown() {
    let metrics = Metrics::new("1.2.3");
    metrics.policies_loaded("old");
    metrics.policies_loaded("new");
    let text = metrics.encode();
    assert!(
        text.contains(r#"revision="new""#) && !text.contains(r#"revision="old""#),
        "{text}"
    );
}
