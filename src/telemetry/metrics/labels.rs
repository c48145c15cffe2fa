//! What series are told apart by. Values are constants of our own code, or names of the configuration and of loaded
//! policies; never text of a client.

use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;

use crate::dynatrace::redact::Redacted;
use crate::telemetry::Limit;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct BuildLabels {
    pub(super) version: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct CertificateLabels {
    pub(super) shown_to: &'static str,
    pub(super) file: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct DecisionLabels {
    pub(super) operation: &'static str,
    pub(super) verdict: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct DestinationLabels {
    pub(super) destination: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct BundleLabels {
    pub(super) bundle: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct BundleResultLabels {
    pub(super) bundle: String,
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct QuestionLabels {
    pub(super) api: &'static str,
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct IssuerLabels {
    pub(super) issuer: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct IssuerResultLabels {
    pub(super) issuer: String,
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct LimitLabels {
    pub(super) limit: &'static str,
}

impl LimitLabels {
    pub(super) fn of(limit: Limit) -> Self {
        Self {
            limit: limit.as_str(),
        }
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct LoginLabels {
    pub(super) way: &'static str,
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct OutcomeLabels {
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct PolicyLabels {
    pub(super) revision: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct ReasonLabels {
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct RequestLabels {
    pub(super) route: &'static str,
    pub(super) operation: &'static str,
    pub(super) method: &'static str,
    pub(super) status: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct ResultLabels {
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct SinkLabels {
    pub(super) sink: String,
}

impl SinkLabels {
    pub(super) fn of(sink: &str) -> Self {
        let sink = sink.to_owned();
        Self { sink }
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct SignalLabels {
    pub(super) signal: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct ViolationLabels {
    pub(super) policy: String,
    pub(super) mode: String,
}

/// What an observation is an example of: a decision that the journal has.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct DecisionId {
    decision_id: String,
}

impl From<&Redacted> for DecisionId {
    fn from(decision_id: &Redacted) -> Self {
        Self {
            decision_id: decision_id.to_string(),
        }
    }
}

/// Clients may invent methods; neither metrics nor names of spans grow with them.
pub fn known_method(method: &Method) -> Option<&'static str> {
    const KNOWN: [(Method, &str); 7] = [
        (Method::DELETE, "DELETE"),
        (Method::GET, "GET"),
        (Method::HEAD, "HEAD"),
        (Method::OPTIONS, "OPTIONS"),
        (Method::PATCH, "PATCH"),
        (Method::POST, "POST"),
        (Method::PUT, "PUT"),
    ];
    let known = KNOWN.iter().find(|(known, _)| known == method);
    known.map(|(_, name)| *name)
}

pub(super) fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}
