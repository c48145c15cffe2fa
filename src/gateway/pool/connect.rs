//! Making a connection, or waiting for one, in time.

use http::Uri;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tower::ServiceExt;
use tower::util::MapResponse;

use super::places::{Found, Place};
use super::{SendError, Sender, Shared, Socket, http1, http2};
use crate::outbound::Way;

/// What makes sockets.
pub(in crate::gateway) type Tcp =
    MapResponse<HttpConnector, fn(TokioIo<TcpStream>) -> TokioIo<Socket>>;

pub(super) type Connector = HttpsConnector<Way<Tcp>>;

impl Shared {
    /// A connection that is new, or another thread's, and whether it has carried requests before.
    pub(super) async fn find(&self, until: Instant) -> Result<(Sender, bool), SendError> {
        let found = timeout_at(until, self.places.find()).await;
        let place = match found {
            Ok(Found::Connection(sender)) => return Ok((sender, true)),
            Ok(Found::Place(place)) => place,
            Err(_elapsed) => return Err(SendError::Full),
        };
        // Until then nothing of a request has left: whoever waited longer could not tell.
        let connected = timeout_at(until, self.connect(place)).await;
        let connected = connected.unwrap_or_else(|elapsed| Err(SendError::Connect(elapsed.into())));
        Ok((connected?, false))
    }

    async fn connect(&self, place: Place) -> Result<Sender, SendError> {
        let stream = self.connector.clone().oneshot(self.origin.clone()).await;
        let mut stream = stream.map_err(SendError::Connect)?;
        let failed = |error: hyper::Error| SendError::Connect(error.into());
        let socket = Socket::of(&mut stream);
        socket.takes(place);
        let told = socket.told();
        if stream.connected().is_negotiated_h2() {
            let connection = http2::Connection::over(stream, self.heads).await;
            return Ok(Sender::Http2(connection.map_err(failed)?.carry()));
        }
        let connection = http1::Connection::over(stream, told, self.heads).await;
        Ok(Sender::Http1(connection.map_err(failed)?))
    }

    pub(super) fn absolute(&self, target: Uri) -> Uri {
        let mut parts = self.origin.clone().into_parts();
        parts.path_and_query = target.into_parts().path_and_query;
        Uri::from_parts(parts).unwrap_or_else(|_impossible| self.origin.clone())
    }
}
