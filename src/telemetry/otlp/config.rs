//! The section `[otlp]`.

use std::fmt;
use std::path::PathBuf;

use http::Uri;
use serde::Deserialize;

use super::resource::Named;
use crate::outbound::{self, ClientCertificate, Proxy};
use crate::value::{Duration, plain_url};

/// Where traces and metrics are sent. Each of them is sent if its table is there.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub endpoint: Endpoint,
    /// File with header fields, one `name: value` a line.
    #[serde(default)]
    pub headers_file: Option<PathBuf>,
    /// PEM file of the authorities to trust instead of the system's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    #[serde(default)]
    pub client_certificate: Option<ClientCertificate>,
    #[serde(default)]
    pub proxy: Option<Proxy>,
    #[serde(default)]
    pub proxy_credential_file: Option<PathBuf>,
    /// For one message, and the answer to it.
    #[serde(default = "timeout")]
    pub timeout: Duration,
    /// What is said about the gate with every message, besides what the environment says.
    #[serde(default)]
    pub resource: Named,
    #[serde(default)]
    pub traces: Option<TracesConfig>,
    #[serde(default)]
    pub metrics: Option<MetricsConfig>,
}

/// Which requests are traced, and how traces are sent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TracesConfig {
    pub sampling: Sampling,
    pub ratio: Ratio,
    /// How long a trace waits for others, to be sent together.
    pub interval: Duration,
    /// Traces that wait; more are dropped and counted.
    pub queue: Queue,
}

/// How many wait at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Queue(usize);

/// Who says whether a request is traced.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// The client, where it says anything; else `ratio`.
    #[default]
    Parent,
    /// `ratio` alone.
    Ratio,
}

/// From 0, none, to 1, all.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Ratio(f64);

/// How metrics are sent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfig {
    pub interval: Duration,
    pub temporality: Temporality,
}

/// Since when counters and histograms count.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Temporality {
    /// Since the start of the program: as the specification has it where nothing is said.
    #[default]
    Cumulative,
    /// Since the last message that was taken.
    Delta,
}

/// `http[s]://host[:port][/path]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Endpoint(Uri);

impl Default for TracesConfig {
    fn default() -> Self {
        Self {
            sampling: Sampling::default(),
            ratio: Ratio(1.0),
            interval: Duration::from_secs(5),
            queue: Queue(4096),
        }
    }
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            temporality: Temporality::default(),
        }
    }
}

impl TryFrom<i64> for Queue {
    type Error = String;

    /// Memory for all of them is asked for at no time, but a queue has a largest size.
    fn try_from(number: i64) -> Result<Self, String> {
        let number = usize::try_from(number).unwrap_or(0);
        if (1..=LONGEST_QUEUE).contains(&number) {
            Ok(Self(number))
        } else {
            Err(format!(
                "a queue has room for 1 to {LONGEST_QUEUE} traces, of about 3 KiB each"
            ))
        }
    }
}

impl Queue {
    pub(super) fn get(self) -> usize {
        self.0
    }
}

impl TryFrom<f64> for Ratio {
    type Error = &'static str;

    fn try_from(ratio: f64) -> Result<Self, &'static str> {
        if (0.0..=1.0).contains(&ratio) {
            Ok(Self(ratio))
        } else {
            Err("a ratio is a number from 0.0 (none) to 1.0 (all)")
        }
    }
}

impl Ratio {
    /// Whether a trace is among those that are kept, by a random number.
    pub(in crate::telemetry) fn takes(self, lot: u64) -> bool {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a ratio is no more exact, and is not negative"
        )]
        let taken = (self.0 * LOTS as f64) as u64;
        lot % LOTS < taken
    }
}

/// As many as a ratio can tell apart.
const LOTS: u64 = 1 << 53;

impl TryFrom<String> for Endpoint {
    type Error = &'static str;

    /// Nothing of the text is repeated: it may hold a password.
    fn try_from(text: String) -> Result<Self, &'static str> {
        let wanted = "an endpoint is written http://host:port or https://host:port, with the path before /v1/traces and \
             /v1/metrics where there is one, and without user, query or fragment; a port is at most 65535; secrets belong \
             in headers_file";
        let uri = plain_url(&text).ok_or(wanted)?;
        let path = uri.path().trim_end_matches('/');
        let is_of_one = SIGNALS.iter().any(|signal| path.ends_with(signal));
        if uri.query().is_none() && !is_of_one {
            Ok(Self(uri))
        } else {
            Err(wanted)
        }
    }
}

impl Endpoint {
    pub(super) fn is_encrypted(&self) -> bool {
        outbound::is_encrypted(&self.0)
    }

    /// Whether nobody on a network can read what is sent.
    pub(super) fn is_private(&self) -> bool {
        outbound::is_private(&self.0)
    }

    /// Whether it is on this machine.
    pub(super) fn is_here(&self) -> bool {
        outbound::is_here(&self.0)
    }

    /// Whether it looks like Dynatrace's own.
    pub(super) fn is_dynatrace(&self) -> bool {
        self.0
            .path()
            .trim_end_matches('/')
            .ends_with("/api/v2/otlp")
    }

    /// Whether it has the port of OTLP over gRPC.
    pub(super) fn is_of_grpc(&self) -> bool {
        self.0.port_u16() == Some(4317)
    }

    pub(super) fn origin(&self) -> &Uri {
        &self.0
    }

    /// Where one kind of messages goes.
    pub(super) fn of(&self, kind: &str) -> Uri {
        let text = self.to_string();
        let text = format!("{}/v1/{kind}", text.trim_end_matches('/'));
        text.parse().expect("a URL with a longer path is one")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn timeout() -> Duration {
    Duration::from_secs(10)
}

const SIGNALS: [&str; 3] = ["/v1/traces", "/v1/metrics", "/v1/logs"];
const LONGEST_QUEUE: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_url_without_secrets() {
        let read = |text: &str| Endpoint::try_from(text.to_owned());
        for (text, traces) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            (
                "https://a.example/api/v2/otlp/",
                "https://a.example/api/v2/otlp/v1/traces",
            ),
        ] {
            assert_eq!(read(text).unwrap().of("traces").to_string(), traces);
        }
        for wrong in [
            "",
            "127.0.0.1:4318",
            "ftp://a",
            "http://user:hunter2@a",
            "https://a?token=hunter2",
            "https://a#b",
            "http://a/v1/traces",
            "http://a/v1/metrics",
            "http://a/v1/metrics/",
            "http://a/otlp/v1/logs",
            "http://a:65536",
            "http://a:0",
            "http://a:",
            "http://[::1]:99999/x",
        ] {
            let said = read(wrong).unwrap_err();
            assert!(!said.contains("hunter2"), "{said}");
        }
        for (text, is_private) in [
            ("http://localhost:1", true),
            ("http://[::1]:1", true),
            ("http://LOCALHOST", true),
            ("http://[::ffff:127.0.0.1]:1", true),
            ("https://a", true),
            ("http://a", false),
            ("http://[2001:db8::1]", false),
        ] {
            assert_eq!(read(text).unwrap().is_private(), is_private, "{text}");
        }
    }

    #[test]
    fn a_queue_is_no_longer_than_one_can_be() {
        let read = |text: &str| toml::from_str::<TracesConfig>(&format!("queue = {text}"));
        for wrong in ["-1", "0", "1000001", "9223372036854775807"] {
            let said = read(wrong).unwrap_err().to_string();
            assert!(said.contains("1 to 1000000 traces"), "{said}");
        }
        for right in [1, 1_000_000] {
            let queue = read(&right.to_string()).unwrap().queue.get();
            drop(tokio::sync::mpsc::channel::<()>(queue));
            assert_eq!(queue, right);
        }
    }

    #[test]
    fn a_ratio_takes_its_part_of_random_traces() {
        let read = |text: &str| toml::from_str::<TracesConfig>(&format!("ratio = {text}"));
        for wrong in ["-0.1", "1.1", "nan", "\"much\""] {
            read(wrong).unwrap_err();
        }
        let lots: Vec<u64> = (0..10_000)
            .map(|_| uuid::Uuid::new_v4().as_u64_pair().1)
            .collect();
        for (ratio, from, to) in [
            ("0", 0, 0),
            ("0.25", 2_000, 3_000),
            ("1", 10_000, 10_000),
            ("1.0", 10_000, 10_000),
        ] {
            let ratio = read(ratio).unwrap().ratio;
            let taken = lots.iter().filter(|lot| ratio.takes(**lot)).count();
            assert!((from..=to).contains(&taken), "{ratio:?}: {taken}");
        }
    }
}
