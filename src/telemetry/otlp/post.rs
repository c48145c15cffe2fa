//! One message to the collector, and its answer.

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderValue, StatusCode, Uri};
use prost::Message;

use super::{Config, OtlpError};
use crate::outbound::{AskError, Sender, To};

/// The way to the collector.
#[derive(Clone)]
pub(super) struct Post {
    sender: Sender,
    traces: Uri,
    metrics: Uri,
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signal {
    Metrics,
    Traces,
}

impl Signal {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Traces => "traces",
        }
    }
}

impl Post {
    /// Reads what the configuration names.
    pub(super) fn new(config: &Config) -> Result<Self, OtlpError> {
        let endpoint = &config.endpoint;
        let sender = Sender::new(&To {
            url: endpoint.origin(),
            headers_file: config.headers_file.as_deref(),
            ca: config.ca.as_deref(),
            client_certificate: config.client_certificate.as_ref(),
            proxy: config.proxy.as_ref(),
            proxy_credential_file: config.proxy_credential_file.as_deref(),
            timeout: config.timeout.into(),
        })?;
        Ok(Self {
            sender,
            traces: endpoint.of(Signal::Traces.as_str()),
            metrics: endpoint.of(Signal::Metrics.as_str()),
        })
    }

    /// Sends once. What the collector says to it.
    pub(super) async fn send(&mut self, signal: Signal, message: Bytes) -> Result<Bytes, AskError> {
        let url = match signal {
            Signal::Metrics => self.metrics.clone(),
            Signal::Traces => self.traces.clone(),
        };
        let accept = (ACCEPT, HeaderValue::from_static(PROTOBUF));
        match self.sender.post(url, PROTOBUF, &[accept], message).await? {
            (StatusCode::OK, _head, body) => Ok(body.unwrap_or_default()),
            (status, _, _) => Err(AskError::Status(status)),
        }
    }
}

/// A message as it is sent.
pub(super) fn encoded(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// Whether the same message may be taken a moment later: as the specification has it.
pub(super) fn may_pass(error: &AskError) -> bool {
    match error {
        AskError::Status(status) => matches!(
            *status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        ),
        AskError::Timeout(_) | AskError::Unreachable(_) => true,
        AskError::Long(_) | AskError::Redirect(_) => false,
    }
}

const PROTOBUF: &str = "application/x-protobuf";
