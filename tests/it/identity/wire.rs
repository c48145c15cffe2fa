//! Connections over TLS that stay open, by either version of HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What the gate answered: status and body.
pub(super) type Told = (u16, String);

/// A connection; of HTTP/2, clones are the same.
pub(super) enum Connection {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// A new one, and the certificate that the gate has shown.
    pub(super) async fn open(
        config: &ClientConfig,
        to: SocketAddr,
        version: Version,
    ) -> Result<(Self, CertificateDer<'static>), Box<dyn std::error::Error + Send + Sync>> {
        let mut config = config.clone();
        let protocol = if version == Version::HTTP_2 {
            "h2"
        } else {
            "http/1.1"
        };
        config.alpn_protocols = vec![protocol.into()];
        let name = ServerName::try_from("localhost")?;
        let stream = TcpStream::connect(to).await?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?;
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let shown = shown.first().ok_or("no certificate")?.clone().into_owned();
        let stream = TokioIo::new(stream);
        let connection = if version == Version::HTTP_2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(connection);
            Self::Two(sender)
        } else {
            let (sender, connection) = http1::handshake(stream).await?;
            tokio::spawn(connection);
            Self::One(sender)
        };
        Ok((connection, shown))
    }

    pub(super) fn version(&self) -> Version {
        match self {
            Self::One(_) => Version::HTTP_11,
            Self::Two(_) => Version::HTTP_2,
        }
    }

    /// The same, where the version has that.
    pub(super) fn again(&self) -> Option<Self> {
        match self {
            Self::One(_) => None,
            Self::Two(sender) => Some(Self::Two(sender.clone())),
        }
    }

    /// `None`: the gate hangs up on it.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Option<Told> {
        let sent = match self {
            Self::One(sender) => {
                sender.ready().await.ok()?;
                sender.send_request(request).await
            }
            Self::Two(sender) => {
                sender.ready().await.ok()?;
                sender.send_request(request).await
            }
        };
        let answer = sent.ok()?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        Some((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// Calls a token by a name, as either version says it.
pub(super) fn naming(
    version: Version,
    host: &str,
    path: &str,
    fields: &[(&str, &str)],
    body: &str,
) -> Request<Full<Bytes>> {
    let target = if version == Version::HTTP_2 {
        format!("https://{host}{path}")
    } else {
        path.to_owned()
    };
    let mut request = Request::put(target).header("content-type", "application/json");
    if version != Version::HTTP_2 {
        request = request.header("host", host);
    }
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap()
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}
