//! Real panics in the real parts: a service that cannot be cloned ends an accept loop, a waker that panics ends the
//! thread of a runtime, a clock that does ends the journal's writer.

use std::convert::Infallible;
use std::future::poll_fn;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tower::service_fn;

use super::*;
use crate::listener::{self, Body, full};
use crate::telemetry::Metrics;

/// What ends whoever clones it, once it is set.
struct Trap(Arc<AtomicBool>);

impl Trap {
    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Clone for Trap {
    fn clone(&self) -> Self {
        assert!(!self.is_set(), "the trap");
        Self(self.0.clone())
    }
}

/// Panics when the time has come.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics")
    }
}

fn config() -> listener::Config {
    listener::Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        ..listener::Config::default()
    }
}

fn workers() -> Workers {
    Workers::start(NonZeroU16::MIN).unwrap()
}

async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = b"GET / HTTP/1.1\r\nhost: gate\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn within_half_a_minute<T>(task: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), task).await.unwrap()
}

#[tokio::test]
async fn an_accept_loop_that_ends_is_an_error_after_what_runs_was_answered() {
    let listener = Listener::bind(&config(), Metrics::new("1.2.3"), crate::app::now).unwrap();
    let address = listener.local_addr();
    let workers = workers();
    let set = Arc::new(AtomicBool::new(false));
    let (arrived, released) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handle = {
        let (trap, arrived, released) = (Trap(set.clone()), arrived.clone(), released.clone());
        move |_: Request<Body>| {
            // Held by the service, and cloned with it.
            assert!(!trap.is_set());
            let (arrived, released) = (arrived.clone(), released.clone());
            async move {
                arrived.notify_one();
                released.notified().await;
                Ok::<_, Infallible>(Response::new(full("done")))
            }
        }
    };
    let service = service_fn(handle);
    let seats = workers.seats(|| service.clone());
    let serving = tokio::spawn(async move {
        let (tracker, shutdown) = (Tracker::default(), CancellationToken::new());
        let time = Duration::from_secs(30);
        serve(listener, seats, &workers, tracker, shutdown, time).await
    });
    let client = tokio::spawn(ask(address));
    within_half_a_minute(arrived.notified()).await;
    set.store(true, Ordering::Relaxed);
    drop(TcpStream::connect(address).await.unwrap());
    // The socket goes with the loop.
    within_half_a_minute(async { while TcpStream::connect(address).await.is_ok() {} }).await;
    assert!(!serving.is_finished());
    released.notify_one();
    let answer = within_half_a_minute(client).await.unwrap().unwrap();
    assert!(answer.ends_with("done"), "{answer}");
    let ended = within_half_a_minute(serving).await.unwrap().unwrap_err();
    assert!(
        ended.to_string().starts_with("the listener ended"),
        "{ended}"
    );
}

#[tokio::test]
async fn a_worker_that_ends_is_an_error() {
    let listener = Listener::bind(&config(), Metrics::new("1.2.3"), crate::app::now).unwrap();
    let address = listener.local_addr();
    let workers = workers();
    let seats = workers.seats(|| {
        service_fn(|_: Request<Body>| async {
            let mut sleep = Box::pin(sleep(Duration::from_millis(1)));
            let waker = Waker::from(Arc::new(Panics));
            poll_fn(move |_| {
                assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Pending);
                Poll::<Result<Response<Body>, Infallible>>::Pending
            })
            .await
        })
    });
    let client = tokio::spawn(ask(address));
    let (tracker, shutdown) = (Tracker::default(), CancellationToken::new());
    let time = Duration::from_secs(30);
    let serving = serve(listener, seats, &workers, tracker, shutdown, time);
    let ended = within_half_a_minute(serving).await.unwrap_err();
    assert!(ended.to_string().starts_with("a worker ended"), "{ended}");
    let answer = within_half_a_minute(client).await.unwrap();
    assert!(answer.is_err() || answer.unwrap().is_empty());
}

#[tokio::test]
async fn a_shutdown_is_no_error() {
    let listener = Listener::bind(&config(), Metrics::new("1.2.3"), crate::app::now).unwrap();
    let (workers, shutdown) = (workers(), CancellationToken::new());
    let seats = workers.seats(|| {
        service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(full("done"))) })
    });
    shutdown.cancel();
    let time = Duration::from_secs(30);
    let serving = serve(
        listener,
        seats,
        &workers,
        Tracker::default(),
        shutdown,
        time,
    );
    assert_eq!(within_half_a_minute(serving).await.unwrap(), Drained::Clean);
}

#[tokio::test]
async fn an_admin_listener_that_ends_is_there_again() {
    let listener = Listener::bind(&config(), Metrics::new("1.2.3"), crate::app::now).unwrap();
    let address = listener.local_addr();
    let set = Arc::new(AtomicBool::new(false));
    let trap = Trap(set.clone());
    let service = service_fn(move |_: Request<Body>| {
        // Held by the service, and cloned with it.
        let set = trap.is_set();
        async move { Ok::<_, Infallible>(Response::new(full(format!("set {set}")))) }
    });
    let stop = CancellationToken::new();
    let listen = |listen| {
        Listener::bind(
            &listener::Config { listen, ..config() },
            Metrics::new("1.2.3"),
            crate::app::now,
        )
    };
    let serving = tokio::spawn(keep_serving(listener, listen, service, stop.clone()));
    let answer = within_half_a_minute(ask(address)).await.unwrap();
    assert!(answer.ends_with("set false"), "{answer}");
    set.store(true, Ordering::Relaxed);
    drop(TcpStream::connect(address).await.unwrap());
    within_half_a_minute(async { while TcpStream::connect(address).await.is_ok() {} }).await;
    set.store(false, Ordering::Relaxed);
    let answer = within_half_a_minute(async {
        loop {
            if let Ok(answer) = ask(address).await {
                return answer;
            }
        }
    });
    assert!(answer.await.ends_with("set false"));
    stop.cancel();
    within_half_a_minute(serving).await.unwrap();
}
