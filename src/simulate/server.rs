//! The simulator on a socket: HTTP/1.1 and cleartext HTTP/2, one task per connection.
//!
//! It ends at once when told to: nothing here is worth draining.

use std::{io, net::IpAddr};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    body::{Body, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{Simulator, reply::Refusal};

/// Dynatrace's documented limit for everything but ingest.
const BODY_LIMIT: usize = 1024 * 1024;

/// Answers every connection until `shutdown` resolves, then drops those that are left.
pub async fn serve(
    listener: TcpListener,
    simulator: Simulator,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let mut shutdown = std::pin::pin!(shutdown);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            // Ended connections leave the set, or it would grow for ever.
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(connection(stream, peer.ip(), simulator.clone()));
                }
                // The client was gone before we looked.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            },
        }
    }
    connections.shutdown().await;
    Ok(())
}

async fn connection(stream: TcpStream, peer: IpAddr, simulator: Simulator) {
    let service = service_fn(move |request| {
        let simulator = simulator.clone();
        async move { exchange(&simulator, request, peer).await }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    // A broken connection is the client's business.
    drop(server.serve_connection(TokioIo::new(stream), service).await);
}

async fn exchange(
    simulator: &Simulator,
    request: Request<Incoming>,
    peer: IpAddr,
) -> io::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let is_lost = simulator.hangs_up(&parts.method, parts.uri.path());
    // Who announces too much need not send it to be told.
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let response = if announced > BODY_LIMIT {
        too_large()
    } else {
        match Limited::new(body, BODY_LIMIT).collect().await {
            Ok(body) => simulator.answer(Request::from_parts(parts, body.to_bytes()), peer),
            Err(error) if error.is::<LengthLimitError>() => too_large(),
            Err(_) => Refusal::bad("The request body could not be read.").into_response(),
        }
    };
    if is_lost {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    Ok(response.map(Full::new))
}

fn too_large() -> Response<Bytes> {
    let message = "The request body exceeds 1 MiB.";
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message).into_response()
}

#[cfg(test)]
mod tests;
