use super::*;

#[test]
fn every_metric_is_there_under_its_documented_name() {
    let metrics = Metrics::new("1.2.3");
    let update = "token.update";
    metrics.request(true, Some(update), &Method::PUT, StatusCode::FORBIDDEN);
    metrics.decision(update, "deny", Duration::from_micros(30));
    metrics.violation("naming", "enforce");
    metrics.violation("naming", "enforce");
    metrics.recorded(Duration::from_millis(2));
    metrics.record_failed();
    metrics.reached(Limit::InFlight);
    metrics.looked_up(true, Duration::from_millis(3));
    metrics.looked_up(false, Duration::from_millis(3));
    metrics.upstream_answered(Duration::from_millis(20));
    metrics.connections_from(|| 7);
    metrics.journal_free_from(|| 4096);
    metrics.load_from(|| Load {
        body_bytes: 4096,
        judge_waiting: 3,
    });
    metrics.log_lines_dropped(3);
    metrics.panicked();
    metrics.policies_loaded("sha256:aa");
    metrics.policy_failed();
    metrics.journal_keeps_free(1024);
    metrics.ready_from(|| true);
    metrics.reload_failed();
    let in_flight = metrics.begin();
    let text = metrics.encode();
    for line in [
        r#"dtgate_build_info{version="1.2.3"} 1"#,
        "dtgate_body_bytes 4096",
        "dtgate_connections 7",
        r#"dtgate_decisions_total{operation="token.update",verdict="deny"} 1"#,
        "dtgate_evaluation_seconds_count 1",
        r#"dtgate_evaluation_seconds_bucket{le="0.00005"} 1"#,
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
