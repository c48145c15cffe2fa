//! The listening socket: its options, which every accepted one inherits, and taking connections off its queue.
//!
//! No error ends the wait for the next connection.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::sleep;
use tracing::warn;

use super::config::Keepalive;
use super::places::Places;
use crate::telemetry::{Limit, Metrics};

/// Descriptors that are held only to be given up when there are no others.
pub(super) struct Spares {
    most: usize,
    held: Vec<File>,
}

/// Has to be called within a tokio runtime.
pub(super) fn listen(
    address: SocketAddr,
    keepalive: &Keepalive,
) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // A restart must not wait for the last connections of the previous process to be forgotten.
    socket.set_reuseaddr(true)?;
    set(&SockRef::from(&socket), keepalive)?;
    socket.bind(address)?;
    let socket = socket.listen(BACKLOG)?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

/// What holds for every connection: an accepted socket has the options of the one that it came from.
fn set(socket: &SockRef<'_>, keepalive: &Keepalive) -> io::Result<()> {
    // Answers are small and written whole: waiting for more to send only adds delay.
    socket.set_tcp_nodelay(true)?;
    let probes = TcpKeepalive::new()
        .with_time(keepalive.idle.as_std())
        .with_interval(keepalive.interval.as_std())
        .with_retries(u32::from(keepalive.count.get()));
    socket.set_tcp_keepalive(&probes)?;
    #[cfg(target_os = "linux")]
    {
        // The probes are for connections on which nothing is under way; this is for the others.
        socket.set_tcp_user_timeout(Some(keepalive.unnoticed().min(LONGEST_USER_TIMEOUT)))?;
        // The system says that a socket takes more when a third of its buffer is free, and the buffer may be
        // megabytes: a client that is only slow would look as if it took nothing.
        socket.set_tcp_notsent_lowat(UNSENT)?;
    }
    Ok(())
}

/// The next connection.
///
/// It belongs to no runtime yet: it will to that of its worker.
pub(super) async fn accept(
    socket: &TcpListener,
    spares: &mut Spares,
    places: &Places,
    metrics: &Metrics,
) -> (std::net::TcpStream, SocketAddr) {
    loop {
        spares.refill();
        let accepted = socket.accept().await;
        match accepted.and_then(|(stream, address)| Ok((stream.into_std()?, address))) {
            Ok(accepted) => return accepted,
            Err(error) if is_of_the_client(&error) => {}
            // Out of file descriptors or memory, most likely. The connection stays in the queue meanwhile.
            Err(error) => {
                metrics.reached(Limit::Descriptors);
                warn!(%error, "cannot accept connections");
                places.shrink();
                // Trying again at once would only burn a processor, unless something has changed.
                if !spares.give_one_up() {
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Spares {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            held: Vec::with_capacity(most),
        }
    }

    /// Takes back what was given up, as far as there are descriptors again.
    fn refill(&mut self) {
        while self.held.len() < self.most {
            match File::open("/dev/null") {
                Ok(spare) => self.held.push(spare),
                Err(_none) => return,
            }
        }
    }

    fn give_one_up(&mut self) -> bool {
        self.held.pop().is_some()
    }
}

/// The client went away before we got to it.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
const BACKLOG: u32 = 1024;
/// What the system takes of an answer before the network does.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 32 << 10;

/// The kernel counts milliseconds in 31 bits.
#[cfg(target_os = "linux")]
const LONGEST_USER_TIMEOUT: Duration = Duration::from_millis(i32::MAX as u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_left_early_does_not_slow_the_others_down() {
        for (kind, of_the_client) in [
            (io::ErrorKind::ConnectionAborted, true),
            (io::ErrorKind::ConnectionReset, true),
            (io::ErrorKind::OutOfMemory, false),
            (io::ErrorKind::Other, false),
        ] {
            assert_eq!(is_of_the_client(&kind.into()), of_the_client, "{kind}");
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_accepted_connection_is_probed_as_configured() {
        let keepalive = Keepalive {
            idle: crate::value::Duration::from_secs(77),
            interval: crate::value::Duration::from_secs(11),
            count: std::num::NonZeroU16::new(3).unwrap(),
        };
        let (socket, address) = listen(([127, 0, 0, 1], 0).into(), &keepalive).unwrap();
        let client = tokio::net::TcpStream::connect(address).await.unwrap();
        let (accepted, _) = socket.accept().await.unwrap();
        let accepted = SockRef::from(&accepted);
        assert!(accepted.keepalive().unwrap());
        assert!(accepted.tcp_nodelay().unwrap());
        let seconds = |time: Duration| time.as_secs();
        assert_eq!(accepted.tcp_keepalive_time().map(seconds).unwrap(), 77);
        assert_eq!(accepted.tcp_keepalive_interval().map(seconds).unwrap(), 11);
        assert_eq!(accepted.tcp_keepalive_retries().unwrap(), 3);
        let gone = accepted.tcp_user_timeout().unwrap().map(seconds);
        assert_eq!(gone, Some(77 + 3 * 11));
        drop(client);
    }

    #[test]
    fn spares_come_back_when_there_are_descriptors_again() {
        let mut spares = Spares::new(2);
        assert!(!spares.give_one_up());
        spares.refill();
        assert!(spares.give_one_up() && spares.give_one_up() && !spares.give_one_up());
        spares.refill();
        assert_eq!(spares.held.len(), 2);
    }
}
