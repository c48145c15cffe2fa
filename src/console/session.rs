//! Who has logged in. In memory only: a restart ends all sessions.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use http::header::COOKIE;
use http::request::Parts;
use sha2::{Digest, Sha256};

use super::{Config, Viewer};

/// The sessions that there are. Of their ids only hashes are kept.
pub(super) struct Sessions {
    idle: Duration,
    most: Duration,
    table: Mutex<HashMap<[u8; 32], Session>>,
}

struct Session {
    viewer: Viewer,
    began: Instant,
    used: Instant,
}

impl Sessions {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            idle: config.session_idle.as_std(),
            most: config.session_max.as_std(),
            table: Mutex::default(),
        }
    }

    /// Begins one, with an id that nobody had before. Where there are too many, the one that was not used for longest ends.
    pub(super) fn begin(&self, viewer: Viewer) -> Option<String> {
        let mut id = [0; 32];
        aws_lc_rs::rand::fill(&mut id).ok()?;
        let id = BASE64URL_NOPAD.encode(&id);
        let now = Instant::now();
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.retain(|_, session| self.goes_on(session, now));
        if table.len() >= MOST {
            let oldest = table.iter().min_by_key(|(_, session)| session.used);
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
    pub(super) fn of(&self, parts: &Parts) -> Option<Viewer> {
        let id = id(parts)?;
        let now = Instant::now();
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let session = table.get_mut(&hash(&id))?;
        if !self.goes_on(session, now) {
            table.remove(&hash(&id));
            return None;
        }
        session.used = now;
        Some(session.viewer.clone())
    }

    pub(super) fn end(&self, parts: &Parts) {
        if let Some(id) = id(parts) {
            let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            table.remove(&hash(&id));
        }
    }

    fn goes_on(&self, session: &Session, now: Instant) -> bool {
        now.duration_since(session.used) < self.idle
            && now.duration_since(session.began) < self.most
    }
}

/// The cookie of a session, for as long as the browser runs. Over TLS only this very host can set it.
pub(super) fn cookie(id: &str, is_tls: bool) -> String {
    let (name, secure) = if is_tls {
        (SECURE, "; Secure")
    } else {
        (PLAIN, "")
    };
    format!("{name}={id}; Path=/; HttpOnly; SameSite=Strict{secure}")
}

/// One that takes it away.
pub(super) fn no_cookie(is_tls: bool) -> String {
    format!("{}; Max-Age=0", cookie("", is_tls))
}

/// By either name: which of them counts was decided when it was set, and an id that was not given out finds nothing.
fn id(parts: &Parts) -> Option<String> {
    let fields = parts.headers.get_all(COOKIE).iter();
    let fields = fields.filter_map(|field| field.to_str().ok());
    let mut cookies = fields.flat_map(|field| field.split(';'));
    cookies.find_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        let is_ours = matches!(name, SECURE | PLAIN) && !value.is_empty();
        is_ours.then(|| value.to_owned())
    })
}

fn hash(id: &str) -> [u8; 32] {
    Sha256::digest(id.as_bytes()).into()
}

const SECURE: &str = "__Host-dtgate-console";
const PLAIN: &str = "dtgate-console";
/// Sessions at once.
const MOST: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parts(cookie: &str) -> Parts {
        let request = Request::get("/console").header(COOKIE, cookie);
        request.body(()).unwrap().into_parts().0
    }

    fn sessions(idle: Duration) -> Sessions {
        let mut sessions = Sessions::new(&Config::default());
        sessions.idle = idle;
        sessions
    }

    #[test]
    fn a_session_is_found_by_its_id_until_it_ends() {
        let sessions = sessions(Duration::from_mins(1));
        let id = sessions.begin(Viewer::anybody()).unwrap();
        for name in [PLAIN, SECURE] {
            let parts = parts(&format!("other=1; {name}={id}"));
            assert_eq!(sessions.of(&parts), Some(Viewer::anybody()));
        }
        for wrong in ["", "dtgate-console=", "dtgate-console=guessed", "x=y"] {
            assert_eq!(sessions.of(&parts(wrong)), None);
        }
        sessions.end(&parts(&format!("{PLAIN}={id}")));
        assert_eq!(sessions.of(&parts(&format!("{PLAIN}={id}"))), None);
    }

    #[test]
    fn one_that_is_not_used_ends_and_there_are_never_too_many() {
        let quick = sessions(Duration::ZERO);
        let id = quick.begin(Viewer::anybody()).unwrap();
        assert_eq!(quick.of(&parts(&format!("{PLAIN}={id}"))), None);
        let many = sessions(Duration::from_mins(1));
        let first = many.begin(Viewer::anybody()).unwrap();
        for _ in 0..MOST {
            many.begin(Viewer::anybody()).unwrap();
        }
        assert_eq!(many.table.lock().unwrap().len(), MOST);
        assert_eq!(many.of(&parts(&format!("{PLAIN}={first}"))), None);
    }
}
