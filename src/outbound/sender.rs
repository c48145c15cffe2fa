//! Messages to one server, with header fields that are secrets.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;

use super::{AskError, Client, ClientCertificate, Files, Found, OutboundError, Proxy};
use crate::value::{is_this_machine, read_setting, unread, with_causes};

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
    /// Why it cannot be read, as was told last.
    no_headers: Option<String>,
    timeout: Duration,
    tls: Tls,
}

/// Whom it trusts and who it is, by files that are replaced while the gate runs.
#[derive(Clone, Debug)]
struct Tls {
    ca: Option<PathBuf>,
    client_certificate: Option<ClientCertificate>,
    /// As the files were when they were read.
    read: Vec<Option<Stamp>>,
    /// The same of those that could not be taken, as was told last.
    refused: Option<Vec<Option<Stamp>>>,
    proxy: Option<Found>,
    is_encrypted: bool,
}

/// By what another file is told from the one before.
type Stamp = (Option<SystemTime>, u64, u64);

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
        let proxy = Found::on_the_way(to.url, to.proxy, to.proxy_credential_file)?;
        // From there, this machine would be another one.
        let proxy = proxy.filter(|_| !is_here(to.url));
        let mut tls = Tls {
            ca: to.ca.map(Path::to_owned),
            client_certificate: to.client_certificate.cloned(),
            read: Vec::new(),
            refused: None,
            proxy,
            is_encrypted: is_encrypted(to.url),
        };
        tls.read = tls.stamps();
        Ok(Self {
            client: tls.client()?,
            tls,
            headers: headers.unwrap_or_default(),
            headers_file: to.headers_file.map(Path::to_owned),
            no_headers: None,
            timeout: to.timeout,
        })
    }

    /// Takes other certificates, where their files are others now. Those that cannot be read, or do not belong together, are
    /// being written, or stay so: why is told once for each change of the files.
    fn renew(&mut self) -> Option<OutboundError> {
        let now = self.tls.stamps();
        if now == self.tls.read {
            self.tls.refused = None;
            return None;
        }
        match self.tls.client() {
            Ok(client) => {
                self.client = client;
                self.tls.read = now;
                self.tls.refused = None;
                None
            }
            Err(error) => {
                let is_news = self.tls.refused.as_ref() != Some(&now);
                self.tls.refused = Some(now);
                is_news.then_some(error)
            }
        }
    }

    /// The same of the header fields: why is told once, until it is another reason.
    fn renew_headers(&mut self) -> Option<OutboundError> {
        match headers(self.headers_file.as_deref()?) {
            Ok(headers) => {
                self.headers = headers;
                self.no_headers = None;
                None
            }
            Err(error) => {
                let told = self.no_headers.replace(error.to_string());
                (told != self.no_headers).then_some(error)
            }
        }
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
        for error in self.renew_headers().into_iter().chain(self.renew()) {
            let error = with_causes(&error);
            let server = url.host();
            tracing::warn!(server, %error, "a file that messages are sent with cannot be taken");
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

impl Tls {
    /// As the files are now.
    fn stamps(&self) -> Vec<Option<Stamp>> {
        let own = self.client_certificate.as_ref();
        let own = own.map(|own| [&own.certificate, &own.key]);
        let files = self.ca.iter().chain(own.into_iter().flatten());
        let stamp = |path: &PathBuf| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.modified().ok(), found.len(), found.ino()))
        };
        files.map(stamp).collect()
    }

    fn client(&self) -> Result<Client, OutboundError> {
        let files = Files::read(self.ca.as_deref(), self.client_certificate.as_ref())?;
        Client::new(&files, self.proxy.clone(), self.is_encrypted)
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
    let text = read_setting(path).map_err(|error| wrong(unread(&error)))?;
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
        if OF_MESSAGES.contains(&name.as_str()) {
            let reason = format!(
                "line {} has the field {name}, which dtgate writes itself: it says where a message ends, or where it goes. Take \
                 it away",
                number + 1
            );
            return Err(wrong(reason));
        }
        headers.append(name, value);
    }
    Ok(headers)
}

/// Fields of the message itself: with another length, a receiver would find nothing in it, and say that all is well.
const OF_MESSAGES: [&str; 12] = [
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_message_itself_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fields");
        let read = |line: &str| {
            std::fs::write(&path, format!("# secret\n{line}\n")).unwrap();
            headers(&path).map_err(|error| error.to_string())
        };
        for field in OF_MESSAGES {
            let said = read(&format!("{}: 0", field.to_uppercase())).unwrap_err();
            assert!(said.contains("line 2") && said.contains(field), "{said}");
        }
        for field in ["authorization: Api-Token a", "x-tenant: 1", "user-agent: a"] {
            assert_eq!(read(field).unwrap().len(), 1, "{field}");
        }
    }

    /// What is broken at a renewal keeps the old ones in use. Whoever has broken it has to hear of it, and not with each
    /// message.
    #[test]
    fn files_that_cannot_be_taken_are_told_once_for_each_change() {
        let directory = tempfile::tempdir().unwrap();
        let (ca, fields) = (directory.path().join("ca"), directory.path().join("fields"));
        let good = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let good = good.cert.pem();
        std::fs::write(&ca, &good).unwrap();
        std::fs::write(&fields, "a: b\n").unwrap();
        let mut sender = Sender::new(&To {
            url: &Uri::from_static("https://localhost:1"),
            headers_file: Some(&fields),
            ca: Some(&ca),
            client_certificate: None,
            proxy: None,
            proxy_credential_file: None,
            timeout: Duration::from_secs(1),
        })
        .unwrap();
        for (text, told) in [
            (Some("none"), true),
            (Some("no certificate either"), true),
            (None, true),
            (Some(&*good), false),
            (Some("none"), true),
        ] {
            match text {
                Some(text) => std::fs::write(&ca, text).unwrap(),
                None => std::fs::remove_file(&ca).unwrap(),
            }
            let said = sender.renew().map(|error| error.to_string());
            assert_eq!(said.is_some(), told, "{text:?}: {said:?}");
            assert!(said.is_none_or(|said| said.contains(&*ca.to_string_lossy())));
            assert!(sender.renew().is_none(), "{text:?}");
        }
        for (text, told) in [
            ("x", true),
            ("a: b", false),
            ("a: c\nx", true),
            ("a: c\ny", false),
        ] {
            std::fs::write(&fields, text).unwrap();
            assert_eq!(sender.renew_headers().is_some(), told, "{text}");
            assert!(sender.renew_headers().is_none(), "{text}");
        }
    }

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
