//! Messages to one server, with header fields that are secrets.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;

use super::{AskError, Client, ClientCertificate, Files, Found, OutboundError, Proxy};
use crate::value::{is_this_machine, unread};

/// How the server is reached.
#[derive(Clone, Copy, Debug)]
pub struct To<'a> {
    pub url: &'a Uri,
    /// File with header fields, one `name: value` a line.
    pub headers_file: Option<&'a Path>,
    pub ca: Option<&'a Path>,
    pub client_certificate: Option<&'a ClientCertificate>,
    pub proxy: Option<&'a Proxy>,
    pub proxy_credential_file: Option<&'a Path>,
    /// For one message, and the answer to it.
    pub timeout: Duration,
}

/// Sends. Clones share the way.
#[derive(Clone, Debug)]
pub struct Sender {
    client: Client,
    headers: HeaderMap,
    headers_file: Option<PathBuf>,
    timeout: Duration,
}

impl Sender {
    /// Reads what the configuration names. Secrets are not sent where others can read them.
    pub fn new(to: &To<'_>) -> Result<Self, OutboundError> {
        let headers = to.headers_file.map(headers).transpose()?;
        if headers.is_some() && !is_private(to.url) {
            return Err(OutboundError::Readable);
        }
        // Whoever is asked for a tunnel reads what goes through it.
        if headers.is_some() && !is_encrypted(to.url) && matches!(to.proxy, Some(Proxy::Url(_))) {
            return Err(OutboundError::ReadableByProxy);
        }
        let files = Files::read(to.ca, to.client_certificate)?;
        let proxy = Found::on_the_way(to.url, to.proxy, to.proxy_credential_file)?;
        // From there, this machine would be another one.
        let proxy = proxy.filter(|_| !is_here(to.url));
        Ok(Self {
            client: Client::new(&files, proxy, is_encrypted(to.url))?,
            headers: headers.unwrap_or_default(),
            headers_file: to.headers_file.map(Path::to_owned),
            timeout: to.timeout,
        })
    }

    /// Sends once, with the header fields that the file has now: secrets are exchanged while the gate runs. What is
    /// answered, whatever its status is, but for a redirect. `None`: its body cannot be read whole, and in time.
    pub async fn post(
        &mut self,
        url: Uri,
        content_type: &'static str,
        more: &[(HeaderName, HeaderValue)],
        message: Bytes,
    ) -> Result<(StatusCode, HeaderMap, Option<Bytes>), AskError> {
        // One that cannot be read is being written.
        if let Some(Ok(headers)) = self.headers_file.as_deref().map(headers) {
            self.headers = headers;
        }
        let mut request = Request::new(Full::new(message));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url;
        *request.headers_mut() = self.headers.clone();
        let content_type = HeaderValue::from_static(content_type);
        request.headers_mut().insert(CONTENT_TYPE, content_type);
        let more = more.iter().cloned();
        request.headers_mut().extend(more);
        self.client.tell(request, self.timeout).await
    }
}

/// Whether nobody on a network can read what is sent there.
pub fn is_private(url: &Uri) -> bool {
    is_encrypted(url) || is_here(url)
}

pub fn is_encrypted(url: &Uri) -> bool {
    url.scheme() == Some(&Scheme::HTTPS)
}

/// Whether it is on this machine.
pub fn is_here(url: &Uri) -> bool {
    url.host().is_some_and(is_this_machine)
}

/// Header fields from a file: one a line, `name: value`. Nothing of the file is repeated in an error.
fn headers(path: &Path) -> Result<HeaderMap, OutboundError> {
    let wrong = |reason| OutboundError::Headers {
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
                "line {} is not a header field: write one a line, as in Authorization: Api-Token …",
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
