//! Bundles that were fetched, as files: the newest one, which the gate reads, and beside it the one that was in force
//! last.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::remembered::replace;
use super::{Config, Name, Remembered, Vouched};
use crate::policy::{Before, Packed};
use crate::value::Sha256Hex;

/// What a server said of what was fetched.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Said {
    /// SHA-256 of the bundle.
    pub(super) digest: String,
    #[serde(default)]
    pub(super) etag: Option<String>,
    /// When the server last said that this is the bundle.
    #[serde(default)]
    pub(super) confirmed: Option<String>,
    /// Which server: SHA-256 of its URL, which may have a secret in its query.
    #[serde(default)]
    pub(super) server: String,
}

/// Where the copy is of what was in force last.
pub fn good(state: &Path, name: &Name) -> PathBuf {
    state.join(format!("{name}.good.tar.gz"))
}

/// The files of one bundle.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    state: PathBuf,
    name: Name,
    /// What the gate reads.
    current: PathBuf,
    /// What may stand there.
    packed: Packed,
    /// Who has it, as in [`Said::server`].
    pub(super) server: String,
}

impl Stored {
    /// `is_shared`: there are other sources of policies beside it.
    pub(super) fn new(state: &Path, name: &Name, config: &Config, is_shared: bool) -> Self {
        let current = config.path(state, name);
        let url = config.remote().map(|remote| remote.url.to_string());
        Self {
            server: Sha256Hex::of(url.unwrap_or_default().as_bytes())
                .as_str()
                .to_owned(),
            state: state.to_owned(),
            name: name.clone(),
            packed: Packed {
                is_shared,
                ..config.packed(name, current.clone())
            },
            current,
        }
    }

    fn good(&self) -> PathBuf {
        good(&self.state, &self.name)
    }

    fn said_path(&self) -> PathBuf {
        self.state.join(format!("{}.server.json", self.name))
    }

    pub(super) fn is_there(&self) -> bool {
        self.current.exists()
    }

    /// Whether what is there may be read, and is of this server.
    pub(super) fn is_good(&self) -> bool {
        self.said().server == self.server
            && fs::read(&self.current).is_ok_and(|bytes| self.vet(&bytes).is_ok())
    }

    /// Whether what is there was in force here.
    pub(super) fn was_in_force(&self) -> bool {
        let Ok(bytes) = fs::read(&self.current) else {
            return false;
        };
        self.is_remembered(Sha256Hex::of(&bytes).as_str())
            || fs::read(self.good()).is_ok_and(|good| good == bytes)
    }

    /// Refuses what may not be put there: the gate reads only what was signed.
    pub(super) fn vet(&self, bytes: &[u8]) -> Result<(), String> {
        self.packed.vet(bytes)
    }

    /// What the server said last. What cannot be read was never said.
    pub(super) fn said(&self) -> Said {
        let text = fs::read_to_string(self.said_path()).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The `ETag` of what is in force. That of a bundle that was refused, or is not in force yet, is none.
    pub(super) fn etag(&self) -> Option<String> {
        let said = self.said();
        let in_force = Remembered::read(&self.state, &self.name).ok()??;
        let is_its = said.server == self.server && said.digest == in_force.digest;
        said.etag.filter(|_| is_its)
    }

    /// Whether this is what was in force last, as far as that is known.
    pub(super) fn is_remembered(&self, digest: &str) -> bool {
        let last = Remembered::read(&self.state, &self.name);
        matches!(last, Ok(Some(last)) if last.digest == digest)
    }

    /// When this server last vouched for what was in force last. A moment that is still to come is none.
    pub(super) fn confirmed(&self, now: Timestamp) -> Option<Timestamp> {
        let last = Remembered::read(&self.state, &self.name).ok()??;
        let said = self.vouched(&last.digest);
        // What the server said last may be about another one, which was refused.
        let vouched = said.into_iter().chain(last.vouched);
        let its = vouched.filter(|vouched| vouched.server == self.server);
        let moments = its.filter_map(|vouched| vouched.at.parse().ok());
        moments.filter(|moment| *moment <= now).max()
    }

    /// When what was in force last was put in force.
    pub(super) fn since(&self) -> Option<Timestamp> {
        let last = Remembered::read(&self.state, &self.name).ok()??;
        last.since?.parse().ok()
    }

    /// What the server said last, if it was about this one.
    pub(super) fn vouched(&self, digest: &str) -> Option<Vouched> {
        let said = self.said();
        let at = said.confirmed.filter(|_| said.digest == digest)?;
        Some(Vouched {
            server: said.server,
            at,
        })
    }

    /// Remembers what the server has said, if it is about what was in force last: what it says next may be about another.
    pub(super) fn vouch(&self, said: &Said) -> io::Result<()> {
        let Some(vouched) = self.vouched(&said.digest) else {
            return Ok(());
        };
        let changed = Remembered::change(&self.state, &self.name, |last| {
            let last = last.filter(|last| last.digest == said.digest)?;
            Some(Remembered {
                vouched: Some(vouched),
                ..last
            })
        });
        changed.map_err(io::Error::other)
    }

    /// Keeps what was fetched, and says whether it is another one than before.
    pub(super) fn keep(&self, bytes: &[u8], said: &Said) -> io::Result<bool> {
        let before = fs::read(&self.current).unwrap_or_default();
        let is_other = before != bytes;
        if is_other {
            replace(&self.current, bytes)?;
        }
        self.say(said)?;
        Ok(is_other)
    }

    pub(super) fn say(&self, said: &Said) -> io::Result<()> {
        replace(
            &self.said_path(),
            serde_json::json!(said).to_string().as_bytes(),
        )
    }

    /// It is in force: from here on a start takes it, whatever else is fetched and refused.
    pub(super) fn is_in_force(&self, bytes: &[u8]) -> io::Result<()> {
        if fs::read(self.good()).is_ok_and(|good| good == bytes) {
            return Ok(());
        }
        replace(&self.good(), bytes)
    }

    /// The digest of what is there, if it is not what is in force. `None`: nothing of it is, and what was last counts.
    pub(super) fn waiting(&self, in_force: Option<&str>) -> Option<String> {
        let current = fs::read(&self.current).ok()?;
        let digest = Sha256Hex::of(&current);
        let is_other = match in_force {
            Some(in_force) => digest.as_str() != in_force,
            None => fs::read(self.good()).ok()? != current,
        };
        is_other.then(|| digest.as_str().to_owned())
    }

    /// What is in force is read again, and nothing older. `false`: it is not here any more.
    pub(super) fn put_back(&self, in_force: Option<&str>) -> io::Result<bool> {
        let good = match fs::read(self.good()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            good => good?,
        };
        if in_force.is_some_and(|digest| Sha256Hex::of(&good).as_str() != digest) {
            return Ok(false);
        }
        replace(&self.current, &good)?;
        Ok(true)
    }

    /// Only what is no older than that may be read.
    pub(super) fn not_older(&mut self, before: &[Before]) {
        self.packed.before = before.to_vec();
    }

    /// For a start: what was in force last, and nothing that came later. What is known to have been in force stays, though
    /// that could not be kept.
    pub(super) fn restore(&self) -> io::Result<()> {
        let current = fs::read(&self.current).unwrap_or_default();
        let before = self.packed.before.iter();
        let own = before.filter(|it| it.name == self.packed.name);
        let highest = own
            .filter_map(|it| it.least.as_ref())
            .max_by_key(|it| it.sequence);
        if highest.is_some_and(|it| it.digest == Sha256Hex::of(&current).as_str()) {
            return Ok(());
        }
        match fs::read(self.good()) {
            Ok(bytes) if fs::read(&self.current).ok().as_ref() != Some(&bytes) => {
                replace(&self.current, &bytes)
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(state: &Path, url: &str) -> Stored {
        let config: Config = toml::from_str(&format!("url = 'http://127.0.0.1:1/{url}'")).unwrap();
        let name = Name::try_from("platform".to_owned()).unwrap();
        Stored::new(state, &name, &config, false)
    }

    fn digest(bytes: &[u8]) -> String {
        Sha256Hex::of(bytes).as_str().to_owned()
    }

    #[test]
    fn what_a_start_takes_is_what_was_in_force() {
        let state = tempfile::tempdir().unwrap();
        let one = stored(state.path(), "a");
        let said = Said::default();
        assert!(one.keep(b"one", &said).unwrap());
        // Another came before it was kept what was in force.
        assert!(one.keep(b"three", &said).unwrap());
        one.is_in_force(b"one").unwrap();
        one.restore().unwrap();
        assert_eq!(
            fs::read(state.path().join("platform.tar.gz")).unwrap(),
            b"one"
        );
    }

    #[test]
    fn what_is_put_back_is_what_is_in_force_and_nothing_older() {
        let state = tempfile::tempdir().unwrap();
        let (one, said) = (stored(state.path(), "a"), Said::default());
        let current = || fs::read(state.path().join("platform.tar.gz")).unwrap();
        one.keep(b"one", &said).unwrap();
        one.is_in_force(b"one").unwrap();
        // The second is in force, and that could not be kept.
        one.keep(b"two", &said).unwrap();
        let two = digest(b"two");
        assert_eq!(one.waiting(Some(&two)), None);
        one.keep(b"three", &said).unwrap();
        assert_eq!(one.waiting(Some(&two)), Some(digest(b"three")));
        assert!(!one.put_back(Some(&two)).unwrap());
        assert_eq!(current(), b"three");
        assert!(one.put_back(Some(&digest(b"one"))).unwrap());
        assert_eq!(current(), b"one");
    }

    #[test]
    fn only_its_own_server_has_vouched_for_a_bundle_and_never_in_the_future() {
        let state = tempfile::tempdir().unwrap();
        let one = stored(state.path(), "a");
        let now: Timestamp = "2026-11-29T10:00:00Z".parse().unwrap();
        let say = |bytes: &[u8], server: &str, confirmed: &str| {
            let said = Said {
                digest: digest(bytes),
                etag: None,
                confirmed: Some(confirmed.to_owned()),
                server: server.to_owned(),
            };
            one.say(&said).unwrap();
            one.confirmed(now)
        };
        let in_force = Remembered {
            digest: digest(b"one"),
            ..Remembered::default()
        };
        in_force.write(state.path(), &one.name).unwrap();
        let then = "2026-11-29T09:00:00Z";
        assert_eq!(say(b"one", &one.server, then), then.parse().ok());
        assert_eq!(say(b"two", &one.server, then), None);
        assert_eq!(one.since(), None);
        assert_eq!(say(b"one", "elsewhere", then), None);
        assert_eq!(say(b"one", &one.server, "2026-11-29T11:00:00Z"), None);
        // It has another one since, which was refused: what it has said of this one is still known.
        say(b"one", &one.server, then);
        one.vouch(&one.said()).unwrap();
        assert_eq!(
            say(b"two", &one.server, "2026-11-29T09:30:00Z"),
            then.parse().ok()
        );
        one.vouch(&one.said()).unwrap();
        assert_eq!(one.confirmed(now), then.parse().ok());
        assert_eq!(stored(state.path(), "b").confirmed(now), None);
    }

    #[test]
    fn two_that_write_the_same_file_do_not_write_into_each_other() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("a");
        std::thread::scope(|scope| {
            for letter in [b'a', b'b'] {
                let path = &path;
                scope.spawn(move || {
                    (0..50).for_each(|_| replace(path, &[letter; 10_000]).unwrap());
                });
            }
        });
        let read = fs::read(path).unwrap();
        assert!(read == [b'a'; 10_000] || read == [b'b'; 10_000]);
    }

    #[test]
    fn the_etag_of_one_server_is_not_shown_to_another() {
        let state = tempfile::tempdir().unwrap();
        let one = stored(state.path(), "a");
        let said = Said {
            digest: digest(b"one"),
            etag: Some("\"1\"".to_owned()),
            confirmed: None,
            server: one.server.clone(),
        };
        one.keep(b"one", &said).unwrap();
        let in_force = Remembered {
            digest: digest(b"one"),
            ..Remembered::default()
        };
        in_force.write(state.path(), &one.name).unwrap();
        assert_eq!(one.etag().as_deref(), Some("\"1\""));
        assert_eq!(stored(state.path(), "b").etag(), None);
    }
}
