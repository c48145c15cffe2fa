//! Records as OTLP logs: protobuf over HTTP. The body is the whole line, so that nothing of it is lost; what one looks
//! for stands beside it, by the names that it has in traces.

use http::header::ACCEPT;
use http::{HeaderValue, Uri};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::http::taken;
use super::keep::Refusal;
use super::record::Record;
use super::{Most, Outgoing, Target};
use crate::audit::Ending;
use crate::outbound::{OutboundError, Sender};
use crate::telemetry::otlp::{nanoseconds, pair, scope};

/// A collector.
pub(super) struct Otlp {
    sender: Sender,
    url: Uri,
    resource: Resource,
    /// Answers since the last one whose body could be read.
    unread: u32,
}

impl Otlp {
    /// `gate` is its name among gates.
    pub(super) fn new(
        target: &Target,
        resource: &Resource,
        gate: &str,
    ) -> Result<Self, OutboundError> {
        let mut resource = resource.clone();
        resource.attributes.push(text("dtgate.gate", gate));
        Ok(Self {
            sender: Sender::new(&target.to())?,
            url: target.url.of_logs(),
            resource,
            unread: 0,
        })
    }

    pub(super) async fn send(&mut self, records: &[Outgoing]) -> Result<usize, Refusal> {
        let message = message(records, &self.resource).encode_to_vec();
        let accept = [(ACCEPT, HeaderValue::from_static(PROTOBUF))];
        let url = self.url.clone();
        let sent = self.sender.post(url, PROTOBUF, &accept, message.into());
        match taken(sent.await)? {
            Some(answer) => {
                self.unread = 0;
                answered(&answer, records.len())
            }
            None => self.unanswered(records.len()),
        }
    }

    /// It was taken, and the body of the answer, which may say that some records are rejected, cannot be read. The message
    /// is sent again; a server whose answers are never whole is believed by its status from some time on.
    fn unanswered(&mut self, records: usize) -> Result<usize, Refusal> {
        self.unread = self.unread.saturating_add(1);
        if self.unread < BELIEVED {
            let reason =
                "the body of the answer, which says what is rejected, cannot be read".to_owned();
            return Err(Refusal::Now(reason, None));
        }
        // Once, however long it lasts.
        if self.unread == BELIEVED {
            tracing::warn!(
                url = %self.url,
                "the bodies of answers cannot be read: whether records are rejected is not known, and they count as taken"
            );
        }
        Ok(records)
    }
}

/// How many records were taken, by the answer: all or none of them.
fn answered(answer: &[u8], records: usize) -> Result<usize, Refusal> {
    // What cannot be read, as the empty answer of a simple receiver, says nothing against it. Its words are not
    // repeated: they may hold anything.
    let answer = ExportLogsServiceResponse::decode(answer).unwrap_or_default();
    let rejected = answer.partial_success;
    let rejected = rejected.map_or(0, |it| it.rejected_log_records);
    if rejected > 0 {
        let reason = format!("{rejected} of {records} records are rejected");
        return Err(Refusal::Records(reason));
    }
    Ok(records)
}

fn message(records: &[Outgoing], resource: &Resource) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource.clone()),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope()),
                log_records: records.iter().map(log_record).collect(),
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    }
}

fn log_record(outgoing: &Outgoing) -> LogRecord {
    let record = Record::read(&outgoing.line);
    let (severity, word) = severity(&record);
    let at = record.time().map(nanoseconds).unwrap_or_default();
    let body = String::from_utf8_lossy(&outgoing.line).into_owned();
    let (trace_id, span_id) = trace(&record).unwrap_or_default();
    LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: at,
        severity_number: severity.into(),
        severity_text: word.to_owned(),
        body: Some(AnyValue {
            value: Some(any_value::Value::StringValue(body)),
        }),
        attributes: attributes(&record, outgoing.seq),
        trace_id,
        span_id,
        event_name: format!("dtgate.{}", record.kind()),
        ..LogRecord::default()
    }
}

/// What somebody should look at stands out.
fn severity(record: &Record) -> (SeverityNumber, &'static str) {
    let is_odd = match record.kind() {
        "recovery" => return (SeverityNumber::Error, "ERROR"),
        "decision" => record.is_denied() || record.verdict() == Some("granted"),
        "outcome" => {
            let outcome = record.text("/outcome").unwrap_or_default();
            let status = record.number("/status");
            let status = status.and_then(|status| u64::try_from(status).ok());
            Ending::of(outcome, status).is_in_doubt()
        }
        "reload" => record.says("/ok") == Some(false),
        "suppressed" => true,
        _ => false,
    };
    if is_odd {
        (SeverityNumber::Warn, "WARN")
    } else {
        (SeverityNumber::Info, "INFO")
    }
}

fn attributes(record: &Record, seq: u64) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(16);
    attributes.push(number("dtgate.seq", i64::try_from(seq).unwrap_or(i64::MAX)));
    let teams: Vec<&str> = record.teams().collect();
    let mut policies: Vec<&str> = record.violations().map(|said| said.policy).collect();
    policies.sort_unstable();
    policies.dedup();
    let (teams, policies) = (teams.join(","), policies.join(","));
    let some = |text: &'static str| record.text(text);
    for (name, value) in [
        ("dtgate.kind", some("/kind")),
        ("dtgate.decision.id", some("/decision_id")),
        ("dtgate.request.id", some("/request/id")),
        ("dtgate.verdict", some("/verdict")),
        ("dtgate.grant.id", some("/grant/id")),
        ("dtgate.operation", some("/operation")),
        ("dtgate.environment", record.environment()),
        ("dtgate.caller.id", some("/caller/id")),
        ("dtgate.caller.subject", subject(record)),
        ("dtgate.caller.teams", Some(teams.as_str())),
        ("dtgate.token.id", record.token()),
        ("dtgate.token.name", record.token_name()),
        ("dtgate.policies", Some(policies.as_str())),
        (
            "dtgate.policies.revision",
            some("/bundles/policies/revision"),
        ),
        ("dtgate.outcome", some("/outcome")),
        ("client.address", some("/requested_by")),
        ("http.request.method", some("/request/method")),
        ("url.path", some("/request/path")),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            attributes.push(text(name, cut(value)));
        }
    }
    for (name, pointer) in [
        ("dtgate.decision.seq", "/decision_seq"),
        ("http.response.status_code", "/status"),
        ("dtgate.count", "/count"),
    ] {
        attributes.extend(record.number(pointer).map(|it| number(name, it)));
    }
    attributes
}

/// Whom the caller has proven to be.
pub(super) fn subject(record: &Record) -> Option<&str> {
    let certificate = || record.text("/caller/certificate/subject");
    record.text("/caller/jwt/subject").or_else(certificate)
}

/// Where policies that read the request as OPA-Envoy has it see the client's trace, the record has it, too.
fn trace(record: &Record) -> Option<(Vec<u8>, Vec<u8>)> {
    let parent = record.text("/input/attributes/request/http/headers/traceparent")?;
    let mut parts = parent.split('-').skip(1);
    let mut id = |length: usize| {
        let id = data_encoding::HEXLOWER.decode(parts.next()?.as_bytes());
        id.ok()
            .filter(|id| id.len() == length && id.iter().any(|byte| *byte != 0))
    };
    Some((id(16)?, id(8)?))
}

/// As in traces; the body has all of it.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST))
        .unwrap_or(text)
}

fn text(name: &str, value: &str) -> KeyValue {
    pair(name, any_value::Value::StringValue(value.to_owned()))
}

fn number(name: &str, value: i64) -> KeyValue {
    pair(name, any_value::Value::IntValue(value))
}

const LONGEST: usize = 1024;
/// Answers in a row whose bodies cannot be read, after which there is no use in sending a message again.
const BELIEVED: u32 = 4;
const PROTOBUF: &str = "application/x-protobuf";

/// Collectors take 20 MiB, Dynatrace 10.
pub(super) const MOST: Most = Most {
    records: 1000,
    bytes: 1 << 20,
};

#[cfg(test)]
mod tests;
