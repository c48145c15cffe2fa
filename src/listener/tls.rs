//! TLS towards clients: certificates, keys, authorities and revocation lists from files to what accepts connections,
//! as a whole that can be exchanged while it runs.
//!
//! The cryptography is named here (aws-lc-rs) and never taken from a process-wide default. Every error names the
//! file to look at. Nothing of one set is left in the next: no session of an old one is taken up again. Knows
//! neither sockets nor HTTP beyond the two names in ALPN.

mod clients;
mod files;
mod names;
mod standing;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::time_provider::TimeProvider;
use tokio::sync::watch;

use super::Config;
use super::config::{Tls, TlsVersion};
use files::Reading;
use names::Names;

pub(super) use clients::{Refusal, refusal};
pub use files::{LoadError, LoadErrorKind, Served};
pub use standing::Standing;

/// Asks for the time, whose owner the listener is not.
pub type Now = fn() -> Timestamp;

/// The TLS of a listener, while it runs. Clones are the same.
#[derive(Clone)]
pub struct TlsSwap {
    /// `None`: the listener speaks plain HTTP.
    sets: Option<watch::Sender<Arc<Set>>>,
    now: Now,
}

/// What became of the wish for new files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// New handshakes get what is in the files now.
    Renewed,
    /// The files say what they said before.
    Unchanged,
}

/// All that one configuration says about TLS.
pub(super) struct Set {
    pub(super) server: Arc<ServerConfig>,
    /// Who judges clients' certificates, where they are asked for.
    clients: Option<Arc<dyn ClientCertVerifier>>,
    /// Of everything that was read for it.
    digest: [u8; 32],
    /// What is not well, and does not stop it.
    warnings: Vec<String>,
    served: Vec<Served>,
}

impl TlsSwap {
    pub(super) fn load(tls: Option<&Tls>, now: Now) -> Result<Self, LoadError> {
        let set = tls.map(|tls| Set::load(tls, now)).transpose()?;
        let sets = set.map(|set| watch::Sender::new(Arc::new(set)));
        Ok(Self { sets, now })
    }

    /// What is not well with the present set.
    pub(super) fn warnings(&self) -> Vec<String> {
        let sets = self.sets.as_ref();
        sets.map(|sets| sets.borrow().warnings.clone())
            .unwrap_or_default()
    }

    pub(super) fn now(&self) -> Now {
        self.now
    }

    /// Reads all files again. Only when all of it is good do new handshakes use it; what cannot be used changes
    /// nothing. Whether the files are the same as before or have changed, nobody is interrupted who is still let in:
    /// of the connections that are open, those end whose clients the new set would refuse, after the requests that
    /// have begun.
    ///
    /// Reads files: not for a thread on which others wait.
    pub fn renew(&self, config: &Config) -> Result<Change, LoadError> {
        let (sets, tls) = match (&self.sets, &config.tls) {
            (None, None) => return Ok(Change::Unchanged),
            (Some(sets), Some(tls)) => (sets, tls),
            (None, Some(Tls { files, .. })) => {
                return Err(LoadError::new(
                    &files.certificate,
                    LoadErrorKind::SwitchedOn,
                ));
            }
            (Some(_), None) => {
                return Err(LoadError::new(&PathBuf::new(), LoadErrorKind::SwitchedOff));
            }
        };
        let set = Set::load(tls, self.now)?;
        let (digest, warnings) = (set.digest, set.warnings.clone());
        let renewed = sets.send_if_modified(|current| {
            let differs = current.digest != digest;
            if differs {
                *current = Arc::new(set);
            }
            differs
        });
        Ok(if renewed {
            warn(&warnings);
            Change::Renewed
        } else {
            Change::Unchanged
        })
    }

    /// The present certificates. None: plain HTTP.
    pub fn served(&self) -> Vec<Served> {
        let sets = self.sets.as_ref();
        sets.map(|sets| sets.borrow().served.clone())
            .unwrap_or_default()
    }

    pub(super) fn is_on(&self) -> bool {
        self.sets.is_some()
    }

    /// The present set, and all that come after it; `None`: plain HTTP.
    pub(super) fn sets(&self) -> Option<watch::Receiver<Arc<Set>>> {
        self.sets.as_ref().map(watch::Sender::subscribe)
    }
}

impl fmt::Debug for TlsSwap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSwap").finish_non_exhaustive()
    }
}

impl Set {
    pub(super) fn load(tls: &Tls, now: Now) -> Result<Self, LoadError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut reading = Reading::new(now());
        let mut names = Names::new(reading.server(&tls.files, &provider)?);
        for files in &tls.certificates {
            names.add(reading.server(files, &provider)?, &files.certificate)?;
        }
        let clients = tls
            .clients
            .as_ref()
            .map(|clients| reading.clients(clients, &provider));
        let clients = clients.transpose()?;
        let versions: &[_] = match tls.min_version {
            TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let builder = ServerConfig::builder_with_details(provider, Arc::new(Clock(now)))
            .with_protocol_versions(versions)
            .expect("aws-lc-rs knows both versions");
        let builder = match &clients {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
            None => builder.with_no_client_auth(),
        };
        // With sessions of its own, as each of them has.
        let mut server = builder.with_cert_resolver(Arc::new(names));
        server.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
        reading.also(&format!("{:?}", tls.min_version));
        let (digest, warnings, certificates) = reading.done();
        Ok(Self {
            server: Arc::new(server),
            clients,
            digest,
            warnings,
            served: certificates,
        })
    }

    /// Whether this set lets a client in: with the chain that it has shown, or without one.
    fn judge(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(), Refusal> {
        match (&self.clients, chain.split_first()) {
            // Nobody vouches for it any more.
            (None, Some(_)) => Err(Refusal::NotAsked),
            (Some(clients), None) if clients.client_auth_mandatory() => Err(Refusal::Missing),
            (None | Some(_), None) => Ok(()),
            (Some(clients), Some((certificate, intermediates))) => clients
                .verify_client_cert(certificate, intermediates, unix(now))
                .map(drop)
                .map_err(|error| Refusal::of(&error).unwrap_or(Refusal::Other)),
        }
    }
}

/// Says what is not well where operators look.
pub(super) fn warn(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!("TLS: {warning}");
    }
}

/// Whether the client and we agreed on HTTP/2.
pub(super) fn is_http2(connection: &rustls::ServerConnection) -> bool {
    connection.alpn_protocol() == Some(HTTP_2)
}

/// Everybody's time, as rustls asks for it.
#[derive(Debug)]
struct Clock(Now);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix((self.0)()))
    }
}

fn unix(time: Timestamp) -> UnixTime {
    let seconds = u64::try_from(time.as_second()).unwrap_or_default();
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
}

const HTTP_1: &[u8] = b"http/1.1";
const HTTP_2: &[u8] = b"h2";

#[cfg(test)]
pub(super) mod tests;
