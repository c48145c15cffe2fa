//! What the service manager (systemd) is told by `sd_notify(3)`: that the gate serves, that it reads its files again,
//! that it ends, and that it is alive. Where nobody asks (`NOTIFY_SOCKET` is not set), nothing is said.
//!
//! A datagram is written here, and not by a crate: those wait for a manager that does not read, and the gate must not.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::sleep;

/// Whoever started the gate and wants to know how it is. Clones tell the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Manager {
    socket: Option<Arc<UnixDatagram>>,
    /// How long it waits for a sign of life before it starts the gate anew.
    patience: Option<Duration>,
}

impl Manager {
    /// The one that the environment names.
    pub(super) fn of_this_process() -> Self {
        let variable = |name: &str| env::var(name).ok();
        let Some(path) = env::var_os("NOTIFY_SOCKET") else {
            return Self::default();
        };
        // The variables are inherited, too, by what others start.
        let is_meant =
            variable("WATCHDOG_PID").is_none_or(|meant| meant.parse() == Ok(std::process::id()));
        let patience = variable("WATCHDOG_USEC").filter(|_| is_meant);
        match connect(&path) {
            Ok(socket) => Self {
                socket: Some(Arc::new(socket)),
                patience: patience.and_then(|text| patience_of(&text)),
            },
            Err(error) => {
                tracing::warn!(%error, "the service manager cannot be told anything");
                Self::default()
            }
        }
    }

    /// The gate serves, by the files that are in force.
    pub(super) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// The gate goes on, and this is how it is.
    pub(super) fn status(&self, status: &str) {
        self.tell(&format!("STATUS={status}"));
    }

    /// Files are read again, until [`Manager::ready`] is said.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.tell(&format!(
            "RELOADING=1\nMONOTONIC_USEC={microseconds}\nSTATUS=reading files again"
        ));
    }

    /// No more connections are taken.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=draining");
    }

    /// Says that the gate is alive whenever everybody has answered who is asked: whoever does not is waited for, and
    /// nothing is said until then.
    pub(super) async fn keep_alive<F: Future<Output = ()>>(
        &self,
        mut everybody: impl FnMut() -> F,
    ) {
        let Some(patience) = self.patience else {
            return;
        };
        loop {
            everybody().await;
            self.tell("WATCHDOG=1");
            sleep(patience / 3).await;
        }
    }

    /// A manager that does not read misses it: nobody waits for that.
    fn tell(&self, words: &str) {
        let Some(socket) = &self.socket else {
            return;
        };
        let mut text = String::with_capacity(words.len() + 1);
        if writeln!(text, "{words}").is_ok()
            && let Err(error) = socket.send(text.as_bytes())
        {
            tracing::warn!(%error, "the service manager cannot be told anything");
        }
    }
}

fn patience_of(microseconds: &str) -> Option<Duration> {
    let microseconds = microseconds.parse().ok()?;
    (microseconds > 0).then(|| Duration::from_micros(microseconds))
}

fn connect(path: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address(path)?)?;
    Ok(socket)
}

/// A path, or behind `@` a name that stands in no directory, which only Linux has.
fn address(path: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = path.as_encoded_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(path)
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    fn manager(patience: Option<Duration>) -> (Manager, UnixDatagram) {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        for socket in [&ours, &theirs] {
            socket.set_nonblocking(true).unwrap();
        }
        let socket = Some(Arc::new(ours));
        (Manager { socket, patience }, theirs)
    }

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        let mut bytes = [0; 256];
        let next = || {
            socket
                .recv(&mut bytes)
                .ok()
                .map(|length| String::from_utf8_lossy(&bytes[..length]).into_owned())
        };
        std::iter::from_fn(next).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_not_said_to_be_alive() {
        let (manager, theirs) = manager(Some(Duration::from_secs(30)));
        let answers = Arc::new(Notify::new());
        let asked = answers.clone();
        tokio::spawn(async move { manager.keep_alive(|| asked.notified()).await });
        let pause = Duration::from_secs(11);
        sleep(pause).await;
        assert!(heard(&theirs).is_empty());
        for _ in 0..3 {
            answers.notify_one();
            sleep(pause).await;
            assert_eq!(heard(&theirs), ["WATCHDOG=1\n"]);
        }
        sleep(pause * 100).await;
        assert!(heard(&theirs).is_empty());
    }

    #[tokio::test]
    async fn nobody_is_told_where_nobody_asks() {
        Manager::default().ready("serving");
        Manager::default()
            .keep_alive(|| async { panic!("nobody wants to know") })
            .await;
        let (manager, theirs) = manager(None);
        manager
            .keep_alive(|| async { panic!("nobody wants to know") })
            .await;
        assert!(heard(&theirs).is_empty());
    }

    /// A full queue of datagrams is a manager that does not read.
    #[test]
    fn a_manager_that_does_not_read_is_not_waited_for() {
        let (manager, theirs) = manager(None);
        for _ in 0..10_000 {
            manager.reloading();
        }
        let first = heard(&theirs).swap_remove(0);
        assert!(first.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{first}");
    }

    #[test]
    fn a_time_is_read_as_systemd_gives_it() {
        assert_eq!(patience_of("30000000"), Some(Duration::from_secs(30)));
        for none in ["0", "", "-1", "soon"] {
            assert_eq!(patience_of(none), None, "{none}");
        }
    }
}
