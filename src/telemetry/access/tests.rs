use std::io;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::telemetry::log::Lines;
use crate::telemetry::{Config, dispatch};
use crate::value::milliseconds;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a configuration makes of a request, on the whole way.
fn logged(config: &str, colour: bool, events: impl FnOnce(&AccessLog)) -> String {
    let written = Written::default();
    let config: Config = toml::from_str(config).unwrap();
    let queue = Queue::start(written.clone(), config.queue, Metrics::new("1.2.3")).unwrap();
    let lines = Lines {
        queue: queue.clone(),
        format: config.format,
    };
    let access = AccessLog::new(
        queue.clone(),
        config.access.unwrap_or_else(|| config.format.into()),
        colour,
    );
    let dispatch = dispatch(&config, colour, lines);
    tracing::dispatcher::with_default(&dispatch, || events(&access));
    queue.close(Duration::from_secs(30));
    let written = written.0.lock().unwrap().clone();
    String::from_utf8(written).unwrap()
}

/// The same by the log's usual way.
fn event(access: &Access<'_>) {
    let peer = access.peer.map(|peer| peer.to_string()).unwrap_or_default();
    tracing::event!(
        target: TARGET,
        Level::INFO,
        request.id = %access.request_id,
        request.client_id = access.client_id,
        peer.address = %peer,
        method = %access.method,
        path = %access.path,
        status = access.status,
        duration_ms = milliseconds(access.elapsed),
        route = access.route,
        environment = access.environment,
        operation = access.operation,
        verdict = access.verdict,
        caller.id = access.caller,
        caller.brokered = access.brokered.then_some(true),
        caller.teams = access.teams,
        caller.certificate = access.certificate,
        caller.issuer = access.issuer,
        caller.subject = access.subject,
        policies = access.policies,
        decision.id = access.decision_id,
        error = access.error,
        "request"
    );
}

/// A line without its time, which no two lines share.
fn timeless(line: &str) -> String {
    let digits = |c: char| if c.is_ascii_digit() { '0' } else { c };
    let (time, rest) = line.split_once('Z').unwrap_or_default();
    time.chars().map(digits).collect::<String>() + rest
}

const REQUEST: Access<'_> = Access {
    request_id: "0198c0de-0000-7000-8000-000000000001",
    client_id: None,
    peer: Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
    peer_name: None,
    method: "PUT",
    path: "/api/v1/tokens/{id}",
    version: "1.1",
    status: 403,
    length: Some(512),
    elapsed: Duration::from_micros(1_500),
    route: "guarded",
    environment: None,
    operation: Some("token.update"),
    verdict: Some("deny"),
    caller: Some("dt0c01.CALLER"),
    brokered: true,
    teams: Some("payments, platform"),
    certificate: Some("CN=ci"),
    issuer: Some("https://ci.example"),
    subject: Some("repo:a/b"),
    policies: Some("scopes"),
    decision_id: Some("0198c0de-0000-7000-8000-000000000002"),
    error: Some("denied by \"scopes\""),
};

proptest! {
    #[test]
    fn a_request_is_written_as_any_other_event_is(
        texts in proptest::collection::vec(prop_oneof!["[a-z/.\"\\\\ -]{0,12}", any::<String>()], 8),
        there: [bool; 8],
        peer: Option<IpAddr>,
        status in 100..600_u16,
        elapsed in 0..u64::from(u32::MAX),
        colour: bool,
        brokered: bool,
    ) {
        let text = |at: usize| there[at].then_some(texts[at].as_str());
        let access = Access {
            request_id: &texts[0],
            client_id: text(1),
            peer,
            method: &texts[2],
            path: &texts[3],
            status,
            elapsed: Duration::from_nanos(elapsed),
            route: "open",
            environment: text(4),
            teams: text(5),
            certificate: text(5),
            issuer: text(4),
            subject: text(6),
            brokered,
            error: text(6),
            policies: text(7),
            ..Access::default()
        };
        let ours = logged("", colour, |log| log.write(jiff::Timestamp::UNIX_EPOCH, &access));
        let theirs = logged("", colour, |_| event(&access));
        prop_assert_eq!(timeless(&ours), timeless(&theirs));

        let read = |line: &str| {
            let mut object: serde_json::Value = serde_json::from_str(line).unwrap();
            object["timestamp"] = timeless(object["timestamp"].as_str().unwrap()).into();
            object
        };
        let ours = logged("format = 'json'", false, |log| log.write(jiff::Timestamp::UNIX_EPOCH, &access));
        let theirs = logged("format = 'json'", false, |_| event(&access));
        prop_assert_eq!(read(&ours), read(&theirs));
        prop_assert_eq!(ours.lines().count(), 1);
    }

    #[test]
    fn whatever_a_request_says_it_is_one_line_in_every_form(text: String) {
        let text = format!("{text}\n\r\u{1b}[2J\u{7f}\u{202e}\u{2028}\" 200 \\");
        let access = Access { method: &text, path: &text, caller: Some(&text), error: Some(&text), ..REQUEST };
        for form in ["common", "ecs", "json", "text"] {
            let line = logged(&format!("access = '{form}'"), false, |log| log.write(jiff::Timestamp::UNIX_EPOCH, &access));
            let line = line.strip_suffix('\n').unwrap();
            let hides = |c: char| c.is_control() || "\u{202e}\u{2028}".contains(c);
            prop_assert!(!line.contains(hides), "{line:?}");
            if let "ecs" | "json" = form {
                let object: serde_json::Value = serde_json::from_str(line).unwrap();
                let path = if form == "ecs" { "url.path" } else { "path" };
                prop_assert_eq!(&object[path], &text);
            }
        }
    }
}

#[test]
fn the_elastic_common_schema_has_names_for_what_is_said() {
    let line = logged("access = 'ecs'", false, |log| {
        log.write(jiff::Timestamp::UNIX_EPOCH, &REQUEST);
    });
    let mut object: serde_json::Value = serde_json::from_str(&line).unwrap();
    object["@timestamp"] = timeless(object["@timestamp"].as_str().unwrap()).into();
    let expected = json!({
        "@timestamp": "0000-00-00T00:00:00.000000",
        "log.level": "info",
        "message": "request",
        "ecs.version": "8.11.0",
        "service.name": "dtgate",
        "event.dataset": "dtgate.access",
        "event.kind": "event",
        "event.category": ["web"],
        "event.type": ["access", "denied"],
        "event.outcome": "failure",
        "event.duration": 1_500_000,
        "http.request.id": "0198c0de-0000-7000-8000-000000000001",
        "http.request.method": "PUT",
        "http.response.status_code": 403,
        "http.response.body.bytes": 512,
        "http.version": "1.1",
        "url.path": "/api/v1/tokens/{id}",
        "client.ip": "127.0.0.1",
        "dtgate.route": "guarded",
        "dtgate.operation": "token.update",
        "dtgate.verdict": "deny",
        "user.id": "dt0c01.CALLER",
        "dtgate.caller.teams": "payments, platform",
        "dtgate.caller.brokered": true,
        "dtgate.caller.issuer": "https://ci.example",
        "dtgate.caller.subject": "repo:a/b",
        "tls.client.subject": "CN=ci",
        "dtgate.policies": "scopes",
        "dtgate.decision.id": "0198c0de-0000-7000-8000-000000000002",
        "error.message": "denied by \"scopes\"",
    });
    assert_eq!(object, expected);
}

#[test]
fn the_common_log_format_has_what_web_servers_write() {
    let line = logged("access = 'common'", false, |log| {
        log.write(jiff::Timestamp::UNIX_EPOCH, &REQUEST);
    });
    let (before, rest) = line.split_once('[').unwrap();
    let (time, after) = rest.split_once(']').unwrap();
    assert_eq!(before, "127.0.0.1 - dt0c01.CALLER ");
    assert_eq!(after, " \"PUT /api/v1/tokens/{id} HTTP/1.1\" 403 512\n");
    jiff::civil::DateTime::strptime("%d/%b/%Y:%H:%M:%S +0000", time).unwrap();
    let nobody = Access {
        peer: None,
        caller: Some("two words"),
        length: None,
        ..REQUEST
    };
    let line = logged("access = 'common'", false, |log| {
        log.write(jiff::Timestamp::UNIX_EPOCH, &nobody);
    });
    assert!(
        line.starts_with("- - - [") && line.ends_with(" 403 -\n"),
        "{line}"
    );
}

#[test]
fn requests_are_written_in_a_form_of_their_own_or_not_at_all() {
    let both = |config: &str| {
        logged(config, false, |log| {
            tracing::info!("started");
            if log.is_on() {
                log.write(jiff::Timestamp::UNIX_EPOCH, &REQUEST);
            }
        })
    };
    let text = both("access = 'ecs'");
    let (started, request) = text.split_once('\n').unwrap();
    assert!(
        started.ends_with(" INFO started") && request.starts_with('{'),
        "{text}"
    );
    assert_eq!(both("access = 'off'").lines().count(), 1);
    assert_eq!(both("filter = 'warn'"), "");
    assert_eq!(
        both("filter = 'info,dtgate::gateway=warn'").lines().count(),
        1
    );
}

#[test]
fn a_line_that_is_too_long_is_shortened_and_stays_what_it_is() {
    let long = "x".repeat(40 << 10);
    for form in ["common", "ecs", "json", "text"] {
        let access = Access {
            path: &long,
            ..REQUEST
        };
        let line = logged(&format!("access = '{form}'"), false, |log| {
            log.write(jiff::Timestamp::UNIX_EPOCH, &access);
        });
        assert!(
            line.len() < 17 << 10 && line.ends_with('\n'),
            "{form}: {}",
            line.len()
        );
        if let "ecs" | "json" = form {
            drop(serde_json::from_str::<serde_json::Value>(&line).unwrap());
        }
    }
}
