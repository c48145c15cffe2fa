//! What happens when a part that runs as long as the program ends by itself, which only a fault makes it do.
//!
//! | part                       | what then                                                                       |
//! | -------------------------- | ------------------------------------------------------------------------------- |
//! | accept loop, worker        | what still runs is drained, then the program ends with an error and is restarted |
//! | admin listener             | it is started again: who looks on must not stop those who are served            |
//! | the journal's writer       | guarded requests are refused, `/readyz` says why; [`crate::audit::Audit::health`] |
//! | comparison of the engines  | the interpreter judges everything; [`crate::policy`]                            |
//! | log                        | lines are dropped and counted                                                   |
//!
//! A panic in a task ends that task only: a guarded request is answered 500, any other loses its connection. All of
//! them are logged and counted.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::listener::{BindError, Drained, Listener, Seat, Serve, Tracker, Workers};

/// A part without which no client can be served has ended by itself.
#[derive(Debug, thiserror::Error)]
#[error("{part} ended by a fault; the log says where: restart, and please report it")]
pub struct Ended {
    part: &'static str,
}

/// Serves clients until `shutdown` or until a part of it ends by itself, then drains either way.
pub(super) async fn serve<S: Serve>(
    listener: Listener,
    seats: Vec<Seat<S>>,
    workers: &Workers,
    tracker: Tracker,
    shutdown: CancellationToken,
    drain_timeout: Duration,
) -> Result<Drained, Ended> {
    let stop = shutdown.child_token();
    let connections = listener.connections();
    let mut serving = tokio::spawn(listener.serve(seats, tracker.clone(), stop.clone()));
    let (served, ended) = tokio::select! {
        () = shutdown.cancelled() => (serving.await, None),
        () = workers.ended() => {
            tracing::error!("a worker ended: draining");
            stop.cancel();
            (serving.await, Some("a worker"))
        }
        served = &mut serving => (served, (!shutdown.is_cancelled()).then_some("the listener")),
    };
    let Ok(drained) = served else {
        // Its connections live on, on the workers.
        tracing::error!("the listener ended: draining");
        stop.cancel();
        let finished = async {
            connections.wait().await;
            tracker.wait().await;
        };
        if timeout(drain_timeout, finished).await.is_err() {
            tracing::warn!("drain time is up");
        }
        return Err(Ended {
            part: "the listener",
        });
    };
    ended.map_or(Ok(drained), |part| Err(Ended { part }))
}

/// Serves operators until `stop`, again and again where that ends by itself: `listen` again, where it was.
pub(super) async fn keep_serving<S: Serve>(
    mut listener: Listener,
    listen: impl Fn(SocketAddr) -> Result<Listener, BindError>,
    service: S,
    stop: CancellationToken,
) {
    // With the port that was really taken.
    let address = listener.local_addr();
    loop {
        // In a task, which a panic ends, and not in this one, which has to go on.
        let seat = Seat::here(service.clone());
        let serving = listener.serve(seat, Tracker::default(), stop.clone());
        let served = tokio::spawn(serving).await;
        if stop.is_cancelled() {
            return;
        }
        tracing::error!(
            panicked = served.is_err(),
            "the admin listener ended and is started again"
        );
        listener = loop {
            if stop.run_until_cancelled(sleep(AGAIN)).await.is_none() {
                return;
            }
            match listen(address) {
                Ok(listener) => break listener,
                Err(error) => tracing::error!(%error, "admin listener"),
            }
        };
    }
}

/// How soon what ended is started again.
const AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
