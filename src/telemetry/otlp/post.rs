//! One message to the collector, and its answer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use prost::Message;

use super::{Config, OtlpError};
use crate::outbound::{AskError, Client, Files, Found, Proxy};
use crate::value::unread;

/// The way to the collector.
#[derive(Clone)]
pub(super) struct Post {
    client: Client,
    headers: HeaderMap,
    headers_file: Option<PathBuf>,
    traces: Uri,
    metrics: Uri,
    timeout: Duration,
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
        let headers = config.headers_file.as_deref().map(headers).transpose()?;
        if headers.is_some() && !endpoint.is_private() {
            return Err(OtlpError::Readable);
        }
        // Whoever is asked for a tunnel reads what goes through it.
        if headers.is_some()
            && !endpoint.is_encrypted()
            && matches!(config.proxy, Some(Proxy::Url(_)))
        {
            return Err(OtlpError::ReadableByProxy);
        }
        let files = Files::read(config.ca.as_deref(), config.client_certificate.as_ref())?;
        let proxy = Found::on_the_way(
            endpoint.origin(),
            config.proxy.as_ref(),
            config.proxy_credential_file.as_deref(),
        )?;
        // From there, this machine would be another one.
        let proxy = proxy.filter(|_| !endpoint.is_here());
        Ok(Self {
            client: Client::new(&files, proxy, endpoint.is_encrypted())?,
            headers: headers.unwrap_or_default(),
            headers_file: config.headers_file.clone(),
            traces: endpoint.of(Signal::Traces.as_str()),
            metrics: endpoint.of(Signal::Metrics.as_str()),
            timeout: config.timeout.into(),
        })
    }

    /// Sends once, with the header fields that the file has now: secrets are exchanged while the gate runs. What the
    /// collector says to it.
    pub(super) async fn send(&mut self, signal: Signal, message: Bytes) -> Result<Bytes, AskError> {
        // One that cannot be read is being written.
        if let Some(Ok(headers)) = self.headers_file.as_deref().map(headers) {
            self.headers = headers;
        }
        let mut request = Request::new(Full::new(message));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = match signal {
            Signal::Metrics => self.metrics.clone(),
            Signal::Traces => self.traces.clone(),
        };
        *request.headers_mut() = self.headers.clone();
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        request.headers_mut().insert(ACCEPT, protobuf.clone());
        request.headers_mut().insert(CONTENT_TYPE, protobuf);
        let answer = self.client.ask(request, self.timeout).await;
        answer.map(|(_head, body)| body)
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
        AskError::Long | AskError::Redirect(_) => false,
    }
}

/// Header fields from a file: one a line, `name: value`. Nothing of the file is repeated in an error.
fn headers(path: &Path) -> Result<HeaderMap, OtlpError> {
    let wrong = |reason| OtlpError::Headers {
        path: path.to_owned(),
        reason,
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(unread(&error)))?;
    let mut headers = HeaderMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let field = line.split_once(':').and_then(|(name, value)| {
            let name: HeaderName = name.trim().parse().ok()?;
            let mut value = HeaderValue::from_str(value.trim()).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        let Some((name, value)) = field else {
            let reason = format!(
                "line {} is not a header field: write name: value",
                number + 1
            );
            return Err(wrong(reason));
        };
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields_are_read_and_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("headers");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            headers(&path)
        };
        let fields = read("# for the collector\nAuthorization: Api-Token hunter2\n\nx-a:b:c\n");
        let fields = fields.unwrap();
        assert_eq!(fields["authorization"], "Api-Token hunter2");
        assert!(fields["authorization"].is_sensitive());
        assert_eq!(fields["x-a"], "b:c");
        for wrong in ["hunter2", "hunter2 x: y", "a: hunter2\u{7}"] {
            let said = read(wrong).unwrap_err().to_string();
            assert!(
                said.contains("line 1") && !said.contains("hunter2"),
                "{said}"
            );
        }
        let said = headers(Path::new("/nowhere/headers")).unwrap_err();
        assert!(said.to_string().contains("/nowhere/headers"), "{said}");
    }
}
