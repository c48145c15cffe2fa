//! Who has logged in. In memory only: a restart ends all sessions.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use http::request::Parts;
use sha2::{Digest, Sha256};

use super::cookie::{Cookie, Jar};
use super::{Config, Viewer};
use crate::telemetry::{Limit, Metrics};

/// The sessions that there are. Of their ids only hashes are kept.
pub(super) struct Sessions {
    idle: Duration,
    most: Duration,
    metrics: Metrics,
    table: Mutex<HashMap<[u8; 32], Session>>,
}

struct Session {
    viewer: Viewer,
    began: Instant,
    used: Instant,
}

impl Sessions {
    pub(super) fn new(config: &Config, metrics: &Metrics) -> Self {
        Self {
            idle: config.session_idle.as_std(),
            most: config.session_max.as_std(),
            metrics: metrics.clone(),
            table: Mutex::default(),
        }
    }

    /// Begins one, with an id that nobody had before. Where there are too many, the one that was not used for longest ends:
    /// of this person, where these have too many, and or else of all.
    pub(super) fn begin(&self, viewer: Viewer) -> Option<String> {
        let id = unguessable()?;
        let now = Instant::now();
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.retain(|_, session| self.goes_on(session, now));
        let is_own = |session: &Session| {
            let person = viewer.person;
            person.is_some() && session.viewer.person == person
        };
        let has_many = table.values().filter(|it| is_own(it)).count() >= OF_ONE;
        if has_many || table.len() >= MOST {
            self.metrics.reached(Limit::ConsoleSessions);
            let ending = table.iter().filter(|(_, it)| !has_many || is_own(it));
            let oldest = ending.min_by_key(|(_, session)| session.used);
            if let Some(oldest) = oldest.map(|(hash, _)| *hash) {
                table.remove(&oldest);
            }
        }
        let session = Session {
            viewer,
            began: now,
            used: now,
        };
        table.insert(hash(&id), session);
        Some(id)
    }

    /// Whose request it is.
    pub(super) fn of(&self, parts: &Parts, jar: Jar) -> Option<Viewer> {
        self.found(parts, jar, true)
    }

    /// The same. Who asks does not use it.
    pub(super) fn seen(&self, parts: &Parts, jar: Jar) -> Option<Viewer> {
        self.found(parts, jar, false)
    }

    fn found(&self, parts: &Parts, jar: Jar, is_used: bool) -> Option<Viewer> {
        let id = hash(Cookie::Session.of(parts, jar)?);
        let now = Instant::now();
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let session = table.get_mut(&id)?;
        if !self.goes_on(session, now) {
            table.remove(&id);
            return None;
        }
        if is_used {
            session.used = now;
        }
        Some(session.viewer.clone())
    }

    /// By which a session is known again that a request shows.
    pub(super) fn known_as(parts: &Parts, jar: Jar) -> Option<[u8; 32]> {
        Cookie::Session.of(parts, jar).map(hash)
    }

    /// Whether it has not ended. Who asks does not use it.
    pub(super) fn holds(&self, known_as: &[u8; 32]) -> bool {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let session = table.get(known_as);
        session.is_some_and(|session| self.goes_on(session, Instant::now()))
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        let now = Instant::now();
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.retain(|_, session| self.goes_on(session, now));
        table.len()
    }

    pub(super) fn end(&self, parts: &Parts, jar: Jar) {
        if let Some(known_as) = Self::known_as(parts, jar) {
            self.end_known(&known_as);
        }
    }

    /// The same for one that is known.
    pub(super) fn end_known(&self, known_as: &[u8; 32]) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.remove(known_as);
    }

    /// Ends those of viewers who may not go on.
    pub(super) fn end_all_but(&self, may_go_on: impl Fn(&Viewer) -> bool) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.retain(|_, session| may_go_on(&session.viewer));
    }

    fn goes_on(&self, session: &Session, now: Instant) -> bool {
        now.duration_since(session.used) < self.idle
            && now.duration_since(session.began) < self.most
    }
}

/// So many bits that nobody can guess them, as they stand in a URL or a cookie.
pub(super) fn unguessable() -> Option<String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(BASE64URL_NOPAD.encode(&bytes))
}

/// By which a secret is known again that is not kept.
pub(super) fn hash(id: &str) -> [u8; 32] {
    Sha256::digest(id.as_bytes()).into()
}

/// Sessions at once, and of one person.
const MOST: usize = 1_000;
const OF_ONE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::viewer::Person;
    use http::Request;
    use http::header::COOKIE;

    const PLAIN: &str = "dtgate-console";

    fn parts(cookie: &str) -> Parts {
        let request = Request::get("/console").header(COOKIE, cookie);
        request.body(()).unwrap().into_parts().0
    }

    fn plain(sessions: &Sessions, cookie: &str) -> Option<Viewer> {
        let parts = parts(cookie);
        sessions.of(&parts, Jar::of(&parts, false))
    }

    #[test]
    fn who_looks_on_does_not_use_a_session() {
        let sessions = sessions(Duration::from_mins(1));
        let id = sessions.begin(Viewer::anybody()).unwrap();
        let parts = parts(&format!("{PLAIN}={id}"));
        let used = || {
            sessions
                .table
                .lock()
                .unwrap()
                .values()
                .map(|it| it.used)
                .max()
        };
        let before = used();
        std::thread::sleep(Duration::from_millis(2));
        assert!(sessions.seen(&parts, Jar::of(&parts, false)).is_some());
        assert_eq!(used(), before);
        assert!(plain(&sessions, &format!("{PLAIN}={id}")).is_some());
        assert!(used() > before);
    }

    fn sessions(idle: Duration) -> Sessions {
        let mut sessions = Sessions::new(&Config::default(), &Metrics::new("1.2.3"));
        sessions.idle = idle;
        sessions
    }

    #[test]
    fn a_session_is_found_by_its_id_until_it_ends() {
        let sessions = sessions(Duration::from_mins(1));
        let id = sessions.begin(Viewer::anybody()).unwrap();
        for (name, is_secure) in [(PLAIN, false), ("__Host-dtgate-console", true)] {
            let parts = parts(&format!("other=1; {name}={id}"));
            let jar = |is_secure| Jar::of(&parts, is_secure);
            assert_eq!(sessions.of(&parts, jar(is_secure)), Some(Viewer::anybody()));
            // Who has a session of his own could give it to others by a cookie for a whole domain.
            assert_eq!(sessions.of(&parts, jar(!is_secure)), None);
        }
        for wrong in ["", "dtgate-console=", "dtgate-console=guessed", "x=y"] {
            assert_eq!(plain(&sessions, wrong), None);
        }
        let ours = parts(&format!("{PLAIN}={id}"));
        sessions.end(&ours, Jar::of(&ours, false));
        assert_eq!(plain(&sessions, &format!("{PLAIN}={id}")), None);
    }

    #[test]
    fn who_logs_in_again_and_again_ends_sessions_of_their_own_alone() {
        let sessions = sessions(Duration::from_mins(1));
        let of = |person: Person| Viewer {
            name: "vic".to_owned(),
            person: Some(person),
            ..Viewer::anybody()
        };
        let begin = |person: Person| {
            let id = sessions.begin(of(person)).unwrap();
            format!("{PLAIN}={id}")
        };
        let others = [
            begin(Person::by_password("audrey")),
            begin(Person::by_issuer("https://a.example", "vic")),
        ];
        let vics: Vec<String> = (0..MOST + 5)
            .map(|_| begin(Person::by_password("vic")))
            .collect();
        for other in &others {
            assert!(plain(&sessions, other).is_some());
        }
        let (ended, left) = vics.split_at(vics.len() - OF_ONE);
        assert!(ended.iter().all(|it| plain(&sessions, it).is_none()));
        assert!(left.iter().all(|it| plain(&sessions, it).is_some()));
        assert_eq!(sessions.count(), OF_ONE + others.len());
        let text = sessions.metrics.encode();
        assert!(text.contains("limit=\"console_sessions\"} 989"), "{text}");
    }

    #[test]
    fn one_that_is_not_used_ends_and_there_are_never_too_many() {
        let quick = sessions(Duration::ZERO);
        let id = quick.begin(Viewer::anybody()).unwrap();
        assert_eq!(plain(&quick, &format!("{PLAIN}={id}")), None);
        let many = sessions(Duration::from_mins(1));
        let first = many.begin(Viewer::anybody()).unwrap();
        for _ in 0..MOST {
            many.begin(Viewer::anybody()).unwrap();
        }
        assert_eq!(many.table.lock().unwrap().len(), MOST);
        assert_eq!(plain(&many, &format!("{PLAIN}={first}")), None);
    }
}
