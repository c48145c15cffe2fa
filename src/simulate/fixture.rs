//! What the tests of every part share: a fixed clock, and one line to ask the simulator.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::{Request, Response, header::AUTHORIZATION};
use jiff::Timestamp;
use serde_json::Value;

use super::{Options, Simulator, seeds::Seed};

pub(super) const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3));

pub(super) fn now() -> Timestamp {
    "2026-11-24T10:00:00.1237Z".parse().unwrap()
}

pub(super) fn simulator() -> Simulator {
    Simulator::seeded(Options::default(), now)
}

pub(super) struct Answer(Response<Bytes>);

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.0.headers().get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn text(&self) -> &str {
        str::from_utf8(self.0.body()).unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(self.text()).unwrap_or(Value::Null)
    }

    pub(super) fn message(&self) -> String {
        self.json()["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// `PAYLOAD_BODY name` for each violation.
    pub(super) fn violations(&self) -> Vec<String> {
        let json = self.json();
        let violations = json["error"]["constraintViolations"].as_array();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        violations.map_or_else(Vec::new, |violations| {
            violations
                .iter()
                .map(|one| text(&one["parameterLocation"]) + " " + &text(&one["path"]))
                .collect()
        })
    }
}

/// `line` is a method and a target.
pub(super) fn ask(simulator: &Simulator, caller: Seed, line: &str, body: &str) -> Answer {
    let credential = format!("Api-Token {}", caller.secret);
    ask_with(
        simulator,
        &[
            ("authorization", &credential),
            ("content-type", "application/json"),
        ],
        line,
        body,
    )
}

pub(super) fn ask_with(
    simulator: &Simulator,
    headers: &[(&str, &str)],
    line: &str,
    body: &str,
) -> Answer {
    let (method, target) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Bytes::from(body.to_owned())).unwrap();
    assert!(request.headers().get_all(AUTHORIZATION).iter().count() < 2);
    Answer(simulator.answer(request, PEER))
}
