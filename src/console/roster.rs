//! Whether those who have logged in by a password are still in the file: who was taken out of it, or whose line is another
//! one now, is logged out.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::time::timeout;

use super::password::Passwords;
use super::session::Sessions;

/// Looks at the file now and then.
pub(super) struct Roster {
    path: PathBuf,
    sessions: Arc<Sessions>,
    looked: Mutex<Option<Instant>>,
    every: Duration,
}

impl Roster {
    pub(super) fn new(path: PathBuf, sessions: Arc<Sessions>) -> Self {
        Self {
            path,
            sessions,
            looked: Mutex::default(),
            every: EVERY,
        }
    }

    /// Ends sessions of whom the file does not let in any more, unless somebody has looked a moment ago. While the file
    /// cannot be read, sessions go on until they end by themselves.
    pub(super) async fn look(&self) {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|looked| looked.elapsed() < self.every) {
            return;
        }
        *looked = Some(Instant::now());
        let path = self.path.clone();
        let reading = tokio::task::spawn_blocking(move || Passwords::read(&path));
        match timeout(PATIENCE, reading).await {
            Ok(Ok(Ok(passwords))) => self.sessions.end_all_but(|it| passwords.lets_in(it)),
            Ok(Ok(Err(error))) => {
                tracing::error!(%error, "the passwords of the console cannot be read");
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }

    /// The same, where nobody can wait for it.
    pub(super) fn look_soon(self: &Arc<Self>) {
        let roster = self.clone();
        let is_due = self
            .looked
            .try_lock()
            .is_ok_and(|looked| looked.is_none_or(|looked| looked.elapsed() >= self.every));
        if is_due {
            tokio::spawn(async move { roster.look().await });
        }
    }
}

/// Between two looks.
const EVERY: Duration = Duration::from_secs(10);
/// How long a disk is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::password::line;
    use crate::console::{Config, Viewer};
    use crate::telemetry::Metrics;

    #[tokio::test]
    async fn who_is_taken_out_of_the_file_or_has_another_line_is_logged_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        let hash = line("x", &[], "correct horse").unwrap();
        let hash = hash.rsplit(' ').next().unwrap().to_owned();
        let write = |lines: &[(&str, &str)]| {
            let lines = lines
                .iter()
                .map(|(name, roles)| format!("{name} {roles} {hash}\n"));
            std::fs::write(&path, lines.collect::<String>()).unwrap();
        };
        write(&[("alice", "auditor"), ("bob", "viewer"), ("carol", "author")]);
        let sessions = Arc::new(Sessions::new(&Config::default(), &Metrics::new("1.2.3")));
        let users = Passwords::read(&path).unwrap();
        for name in ["alice", "bob", "carol"] {
            sessions
                .begin(users.who(name, "correct horse").unwrap())
                .unwrap();
        }
        // By an issuer: the file says nothing of them.
        let elsewhere = Viewer {
            name: "bob".to_owned(),
            has_session: true,
            ..Viewer::anybody()
        };
        sessions.begin(elsewhere).unwrap();
        let roster = Roster {
            every: Duration::ZERO,
            ..Roster::new(path.clone(), sessions.clone())
        };
        roster.look().await;
        assert_eq!(sessions.count(), 4);
        write(&[("alice", "viewer"), ("carol", "author")]);
        roster.look().await;
        assert_eq!(sessions.count(), 2);
        std::fs::write(&path, "no line").unwrap();
        roster.look().await;
        assert_eq!(sessions.count(), 2);
        let seldom = Roster::new(path.clone(), sessions.clone());
        write(&[("carol", "author")]);
        seldom.look().await;
        write(&[]);
        seldom.look().await;
        assert_eq!(sessions.count(), 2);
    }
}
