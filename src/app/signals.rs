//! What signals do. None ends the program in the middle of a request, except those that nothing can be done about:
//! SIGKILL, and what the system sends for a fault of the program.

use std::io;

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What SIGHUP does: a terminal that is closed sends it, and whoever wants a service to read its files again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hangup {
    /// The same as SIGTERM.
    Ends,
    /// Files are read again, by whoever waits for that.
    Reloads,
}

/// SIGHUP after SIGHUP; several that come while nobody waits are one.
#[derive(Default)]
pub struct Hangups(Arc<Notify>);

impl Hangups {
    /// Returns when the next one has come.
    pub async fn next(&mut self) {
        self.0.notified().await;
    }
}

/// Cancelled by SIGTERM, SIGINT, SIGQUIT and SIGXCPU. From here on no other signal ends the program: a handler once
/// set stays set.
///
/// Takes SIGXFSZ too, so that a file that may not grow (`RLIMIT_FSIZE`) is a failed write, which log and journal heal
/// from. SIGPIPE is ignored in every Rust program. Has to be called within a tokio runtime, before the first socket.
pub fn signals(hangup: Hangup) -> io::Result<(CancellationToken, Hangups)> {
    for kind in ignored() {
        drop(signal(kind)?);
    }
    for number in REAL_TIME {
        // The C library keeps some for itself, and says no.
        drop(signal(SignalKind::from_raw(number)));
    }
    let mut hung_up = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut out_of_time = signal(SignalKind::from_raw(SIGXCPU))?;
    let stopped = CancellationToken::new();
    let hangups = Arc::new(Notify::new());
    let told = hangups.clone();
    // Whatever ends the task below, the program drains: it must not stay behind deaf.
    let stop = stopped.clone().drop_guard();
    tokio::spawn(async move {
        let name = loop {
            tokio::select! {
                _ = terminate.recv() => break "SIGTERM",
                _ = interrupt.recv() => break "SIGINT",
                _ = quit.recv() => break "SIGQUIT",
                _ = out_of_time.recv() => break "SIGXCPU",
                _ = hung_up.recv() => match hangup {
                    Hangup::Ends => break "SIGHUP",
                    Hangup::Reloads => told.notify_one(),
                },
            }
        };
        tracing::info!(signal = name, "draining");
        drop(stop);
        while hangup == Hangup::Reloads && hung_up.recv().await.is_some() {
            tracing::warn!(
                signal = "SIGHUP",
                "nothing is read again while requests are drained"
            );
        }
    });
    Ok((stopped, Hangups(hangups)))
}

/// What would end the program, can be sent by anybody who may, and says nothing to it.
fn ignored() -> Vec<SignalKind> {
    let mut kinds = vec![
        SignalKind::alarm(),
        SignalKind::io(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
        SignalKind::from_raw(SIGPROF),
        SignalKind::from_raw(SIGVTALRM),
        SignalKind::from_raw(SIGXFSZ),
    ];
    if cfg!(target_os = "linux") {
        kinds.extend([SIGPWR, SIGSTKFLT].map(SignalKind::from_raw));
    }
    kinds
}

// Their numbers on all systems that this is built for; tokio has no names for them.
const SIGXCPU: i32 = 24;
const SIGXFSZ: i32 = 25;
const SIGVTALRM: i32 = 26;
const SIGPROF: i32 = 27;
// On Linux; elsewhere other signals have these numbers.
const SIGSTKFLT: i32 = 16;
const SIGPWR: i32 = 30;
#[cfg(target_os = "linux")]
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;
#[cfg(not(target_os = "linux"))]
const REAL_TIME: [i32; 0] = [];
