//! The section `[ship]`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use http::Uri;
use serde::Deserialize;

use crate::audit::index::Pattern;
use crate::outbound::{ClientCertificate, Proxy, To};
use crate::value::{Duration, plain_url};

/// Where records are sent: by kind, then by a name of the operator's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Services that take OPA's decision log.
    pub opa: BTreeMap<Name, Target>,
    /// OpenTelemetry collectors, and whatever takes OTLP logs.
    pub otlp: BTreeMap<Name, Target>,
    /// Where people are told of some records.
    pub webhook: BTreeMap<Name, Webhook>,
}

/// What a sink is called: 1 to 32 letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(String);

/// A server that takes records by POST.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    pub url: Url,
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
    /// What becomes of a record that the server does not take for what it is.
    #[serde(default)]
    pub refused: Refused,
    /// What it gets first.
    #[serde(default)]
    pub from: Option<From>,
}

/// What becomes of a record that a server refuses for what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Refused {
    /// It is counted, said, and left out.
    Skip,
    /// It is sent again until it is taken, and those behind it wait.
    #[default]
    Wait,
}

/// Where a sink begins that has got nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// With the oldest record of the journal.
    Beginning,
    /// With what is recorded after the start.
    Now,
}

/// A chat, a pager, or anything else that takes a short message by POST.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// File with the URL, which is a secret.
    #[serde(default)]
    pub url_file: Option<PathBuf>,
    pub shape: Shape,
    /// File with the key of an integration, for a pager.
    #[serde(default)]
    pub routing_key_file: Option<PathBuf>,
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
    /// What it gets first.
    #[serde(default)]
    pub from: Option<From>,
    /// Of decisions, those with these verdicts. Other records have none, and are not asked for one.
    #[serde(default = "denials")]
    pub verdict: Vec<Verdict>,
    /// Kinds of records.
    #[serde(default = "decisions")]
    pub kind: Vec<Pattern>,
    #[serde(default)]
    pub operation: Vec<Pattern>,
    #[serde(default)]
    pub environment: Vec<Pattern>,
    /// Policies that had something to say, enforced or not.
    #[serde(default)]
    pub policy: Vec<Pattern>,
    /// Codes of what they said.
    #[serde(default)]
    pub code: Vec<Pattern>,
    /// Messages that are sent within a minute at most.
    #[serde(default)]
    pub per_minute: PerMinute,
}

/// What a message looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    Slack,
    Teams,
    PagerDuty,
    /// The records as they are.
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Allow,
    Deny,
    /// Policies deny it, and a one-time grant has let it pass.
    Granted,
}

/// 1 to 600.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct PerMinute(usize);

/// `http[s]://host[:port][/path]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Url(Uri);

impl Config {
    /// Whether records are sent anywhere.
    pub fn is_any(&self) -> bool {
        !self.names().is_empty()
    }

    /// What the sinks are called: `otlp.siem`.
    pub fn names(&self) -> Vec<String> {
        let [all, webhooks] = [self.kept_for(), self.webhooks()];
        all.into_iter().chain(webhooks).collect()
    }

    /// Those until whose records have arrived no record is deleted.
    pub fn kept_for(&self) -> Vec<String> {
        let opa = self.opa.keys().map(|name| format!("opa.{name}"));
        let otlp = self.otlp.keys().map(|name| format!("otlp.{name}"));
        opa.chain(otlp).collect()
    }

    /// Those for which nothing waits.
    pub fn webhooks(&self) -> Vec<String> {
        let names = self.webhook.keys();
        names.map(|name| format!("webhook.{name}")).collect()
    }
}

/// The one that has this name.
pub(super) fn named<'c, T>(all: &'c BTreeMap<Name, T>, name: &str) -> Option<&'c T> {
    let mut all = all.iter();
    all.find(|(it, _)| it.0 == name).map(|(_, one)| one)
}

impl Target {
    pub(super) fn to(&self) -> To<'_> {
        To {
            url: &self.url.0,
            headers_file: self.headers_file.as_deref(),
            ca: self.ca.as_deref(),
            client_certificate: self.client_certificate.as_ref(),
            proxy: self.proxy.as_ref(),
            proxy_credential_file: self.proxy_credential_file.as_deref(),
            timeout: self.timeout.into(),
        }
    }
}

impl Verdict {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Granted => "granted",
        }
    }
}

impl Default for PerMinute {
    fn default() -> Self {
        Self(10)
    }
}

impl TryFrom<i64> for PerMinute {
    type Error = &'static str;

    fn try_from(number: i64) -> Result<Self, Self::Error> {
        let number = usize::try_from(number).ok();
        let number = number.filter(|number| (1..=600).contains(number));
        number
            .map(Self)
            .ok_or("1 to 600 messages can be sent a minute")
    }
}

impl PerMinute {
    pub(super) fn get(self) -> usize {
        self.0
    }
}

impl TryFrom<String> for Name {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if (1..=32).contains(&text.len()) && text.bytes().all(is_plain) {
            Ok(Self(text))
        } else {
            Err("a sink is named by 1 to 32 letters, digits and hyphens")
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Url {
    type Error = &'static str;

    /// Nothing of the text is repeated: it may hold a password.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wanted = "write http://host[:port][/path] or https://…, without user, query or fragment; secrets belong in \
                      headers_file";
        let uri = plain_url(&text).filter(|uri| uri.query().is_none());
        uri.map(Self).ok_or(wanted)
    }
}

impl Url {
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    /// Where OTLP's logs go, below this URL.
    pub(super) fn of_logs(&self) -> Uri {
        let below = self.0.to_string();
        let below = below.trim_end_matches('/');
        let below = below.strip_suffix("/v1/logs").unwrap_or(below);
        let url = format!("{below}/v1/logs").parse();
        url.unwrap_or_else(|_| self.0.clone())
    }
}

fn timeout() -> Duration {
    Duration::from_secs(30)
}

fn denials() -> Vec<Verdict> {
    vec![Verdict::Deny, Verdict::Granted]
}

fn decisions() -> Vec<Pattern> {
    vec![Pattern::Exactly("decision".to_owned())]
}
