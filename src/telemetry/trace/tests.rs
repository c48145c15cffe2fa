use tokio::sync::mpsc::{self, Receiver};

use super::*;

fn tracer(config: &str, queue: usize) -> (Tracer, Receiver<Finished>, Metrics) {
    let config: crate::telemetry::otlp::TracesConfig = toml::from_str(config).unwrap();
    let (queue, waiting) = mpsc::channel(queue);
    let metrics = Metrics::new("1.2.3");
    let now = || "2026-11-28T10:00:00Z".parse().unwrap();
    let tracer = Tracer::new(config.sampling, config.ratio, queue, metrics.clone(), now);
    (tracer, waiting, metrics)
}

fn client(flags: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let field = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
    headers.insert("traceparent", field.parse().unwrap());
    headers
}

#[test]
fn who_says_whether_a_request_is_traced() {
    for (config, headers, is_traced) in [
        ("", HeaderMap::new(), true),
        ("", client("01"), true),
        ("", client("00"), false),
        ("ratio = 0", HeaderMap::new(), false),
        ("ratio = 0", client("01"), true),
        ("sampling = 'ratio'", client("00"), true),
        ("sampling = 'ratio'\nratio = 0", client("01"), false),
    ] {
        let (tracer, mut waiting, _) = tracer(config, 8);
        let trace = tracer.trace(&headers);
        // One that is not traced leaves no mark, anywhere.
        let mut passed_on = headers.clone();
        trace.step(Step::Judge);
        trace.pass_on(&mut passed_on);
        assert_eq!(passed_on == headers, !is_traced, "{config}");
        drop(trace);
        assert_eq!(waiting.try_recv().is_ok(), is_traced, "{config}");
    }
    let trace = Tracer::default().trace(&client("01"));
    assert!(trace.0.is_none());
}

/// Whatever id it chooses: that of one request that was traced is worth nothing to the next gate, or after a restart.
#[test]
fn no_client_chooses_an_id_that_is_traced() {
    let traced = |tracer: &Tracer| {
        let ids = (0..64_u64).map(|number| {
            let mut headers = HeaderMap::new();
            let field = format!("00-{:016x}{number:016x}-b7ad6b7169203331-01", number + 1);
            headers.insert("traceparent", field.parse().unwrap());
            tracer.trace(&headers).0.is_some()
        });
        ids.collect::<Vec<_>>()
    };
    let config = "sampling = 'ratio'\nratio = 0.5";
    let (one, _waiting, _) = tracer(config, 256);
    let (other, _waiting, _) = tracer(config, 256);
    assert_eq!(
        traced(&one),
        traced(&one),
        "one gate takes all spans of a trace or none"
    );
    assert_ne!(traced(&one), traced(&other));
    assert!(traced(&one).contains(&true) && traced(&one).contains(&false));
}

#[test]
fn a_step_ends_where_the_next_begins_and_the_last_with_the_answer() {
    let (tracer, mut waiting, _) = tracer("", 8);
    let trace = tracer.trace(&client("01"));
    trace.step(Step::Judge);
    trace.tell_step(|said| said.set("error.type", "one"));
    let mut headers = client("01");
    trace.step(Step::Forward);
    trace.pass_on(&mut headers);
    trace.answered(|said| {
        said.set("a", 1_u16);
        said.set("a", 2_u16);
    });
    // Another holder of it is not done yet.
    let other = trace.clone();
    drop(trace);
    assert!(waiting.try_recv().is_err());
    drop(other);
    let finished = waiting.try_recv().unwrap();
    assert_eq!(
        finished.parent,
        Some([0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31])
    );
    assert_eq!(finished.attributes.get("a"), Some(&2_u16.into()));
    assert_eq!(finished.attributes.get("error.type"), None);
    let [judge, forward] = &finished.steps[..] else {
        panic!("{}", finished.steps.len());
    };
    assert_eq!((judge.step, forward.step), (Step::Judge, Step::Forward));
    assert_eq!(judge.ended, Some(forward.began));
    assert_eq!(forward.ended, Some(finished.took));
    let id = data_encoding::HEXLOWER.encode(&forward.id);
    let field = headers["traceparent"].to_str().unwrap();
    assert_eq!(
        field,
        format!("00-0af7651916cd43dd8448eb211c80319c-{id}-01")
    );
}

#[test]
fn a_request_whose_client_went_away_says_so() {
    let (tracer, mut waiting, _) = tracer("", 8);
    let trace = tracer.trace(&HeaderMap::new());
    trace.step(Step::ReadBody);
    drop(trace);
    let finished = waiting.try_recv().unwrap();
    assert_eq!(finished.parent, None);
    assert_eq!(
        finished.attributes.get("error.type"),
        Some(&"client-gone".into())
    );
    assert!(finished.took >= finished.steps[0].ended.unwrap_or(Duration::MAX));
}

#[test]
fn what_begins_anew_or_finds_no_room_is_not_sent_and_only_the_latter_is_counted() {
    let (tracer, mut waiting, metrics) = tracer("", 1);
    let begun = tracer.trace(&HeaderMap::new());
    begun.discard();
    drop(begun);
    assert!(waiting.try_recv().is_err());
    for _ in 0..3 {
        tracer.trace(&HeaderMap::new()).step(Step::Judge);
    }
    let text = metrics.encode();
    for line in [
        "dtgate_otlp_spans_dropped_total 4\n",
        "dtgate_limit_reached_total{limit=\"otlp_queue\"} 2\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert!(waiting.try_recv().is_ok());
}

#[test]
fn ids_are_random_and_never_zero() {
    let ids: std::collections::HashSet<_> = (0..1000).map(|_| span_id()).collect();
    assert_eq!(ids.len(), 1000);
    assert!(!ids.contains(&[0; 8]));
}

#[test]
fn a_long_text_is_cut() {
    let mut said = Attributes::default();
    let text = crate::dynatrace::redact::Redactor::default().text(&"é".repeat(5000));
    said.set("a", text);
    assert!(said.get("a").unwrap().as_text().unwrap().len() <= 1024);
}
