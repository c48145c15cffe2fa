//! Whether those who have logged in by a password are still in the file: who was taken out of it, or whose line is another
//! one now, is logged out.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::time::timeout;

use super::password::Standing;
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

    /// Ends sessions of those whose own line is not in the file any more, unless somebody has looked a moment ago: also where
    /// other lines are wrong, so that nobody new is let in. A file that is gone has no lines. While it is there and cannot be
    /// read, sessions go on until they end by themselves.
    pub(super) async fn look(&self) {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|looked| looked.elapsed() < self.every) {
            return;
        }
        *looked = Some(Instant::now());
        let path = self.path.clone();
        let reading = tokio::task::spawn_blocking(move || Standing::read(&path));
        let Ok(Ok((standing, flaw))) = timeout(PATIENCE, reading).await else {
            return;
        };
        if let Some(error) = flaw {
            tracing::error!(%error, "the passwords of the console cannot be read");
        }
        if let Some(standing) = standing {
            self.sessions.end_all_but(|it| standing.lets_in(it));
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
    use crate::console::password::{Passwords, line};
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
        // Where the file cannot be used, those stay whose line is in it.
        let carol = format!("carol author {hash}\n");
        std::fs::write(&path, format!("no line\n{carol}{carol}")).unwrap();
        roster.look().await;
        assert_eq!(sessions.count(), 2);
        // It is there, and nobody can read it.
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        roster.look().await;
        assert_eq!(sessions.count(), 2);
        std::fs::remove_dir(&path).unwrap();
        let seldom = Roster::new(path.clone(), sessions.clone());
        write(&[("carol", "author")]);
        seldom.look().await;
        write(&[]);
        seldom.look().await;
        assert_eq!(sessions.count(), 2);
        // Whoever was taken out of it is logged out, whatever else stands in it.
        std::fs::write(&path, "no line\n").unwrap();
        roster.look().await;
        assert_eq!(sessions.count(), 1);
    }

    #[tokio::test]
    async fn where_the_file_is_gone_all_who_are_in_by_it_are_logged_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        std::fs::write(&path, line("alice", &[], "correct horse").unwrap()).unwrap();
        let sessions = Arc::new(Sessions::new(&Config::default(), &Metrics::new("1.2.3")));
        let alice = Passwords::read(&path).unwrap();
        sessions
            .begin(alice.who("alice", "correct horse").unwrap())
            .unwrap();
        let roster = Roster {
            every: Duration::ZERO,
            ..Roster::new(path.clone(), sessions.clone())
        };
        roster.look().await;
        assert_eq!(sessions.count(), 1);
        std::fs::remove_file(&path).unwrap();
        roster.look().await;
        assert_eq!(sessions.count(), 0);
    }
}
