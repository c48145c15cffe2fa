//! How people show who they are, and how long that holds.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::{LOCATION, ORIGIN, SET_COOKIE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use maud::html;

use super::config::Login;
use super::page::{Page, html_response, respond};
use super::params::{Params, encoded};
use super::password::Passwords;
use super::session::{Sessions, cookie, no_cookie};
use super::{Config, Desk, Fault, Made, ROOT, Viewer};
use crate::admin::asked_host;
use crate::listener::{Body, Peer};

/// The door.
pub(super) struct Door {
    login: Login,
    passwords: Option<PathBuf>,
    sessions: Sessions,
    tries: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

impl Door {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            login: config.login,
            passwords: config.passwords.clone(),
            sessions: Sessions::new(config),
            tries: Mutex::default(),
        }
    }

    /// Whose request it is; `None`: nobody who has logged in.
    pub(super) fn who(&self, parts: &Parts) -> Option<Viewer> {
        match self.login {
            Login::None => Some(Viewer::anybody()),
            Login::Password => self.sessions.of(parts),
        }
    }

    /// Where to log in, and what to go on with.
    pub(super) fn ask(parts: &Parts) -> Response<Body> {
        let wanted = parts.uri.path_and_query().map_or(ROOT, |it| it.as_str());
        see_other(&format!("{LOGIN}?next={}", encoded(wanted)))
    }

    pub(super) fn page(params: &Params, refused: Option<&str>) -> Page {
        let next = params.get("next").unwrap_or_default();
        let body = html! {
            h1 { "Log in" }
            @if let Some(refused) = refused { p.fault role="alert" { (refused) } }
            form.login method="post" action=(LOGIN) {
                input type="hidden" name="next" value=(next);
                label { "Name" input name="name" autocomplete="username" required autofocus; }
                label { "Password" input name="password" type="password" autocomplete="current-password" required; }
                button.main type="submit" { "Log in" }
            }
        };
        Page::new("", "Log in", body)
    }

    /// Lets somebody in, or says no: never which part was wrong.
    pub(super) async fn enter(&self, desk: &Desk, parts: &Parts, form: Params) -> Response<Body> {
        let nobody = Viewer::nobody();
        let peer = Peer::of(&parts.extensions);
        let address = peer.as_ref().map(|peer| peer.address.ip());
        if address.is_some_and(|address| !self.may_try(address)) {
            let page = Self::page(&form, Some("That was tried too often. Wait a minute."));
            let framed = respond(Ok(Made::Page(page)), &nobody);
            return with_status(framed, StatusCode::TOO_MANY_REQUESTS);
        }
        let Some(path) = self.passwords.clone() else {
            return respond(Err(Fault::NoSuchPage), &nobody);
        };
        let (name, password) = (
            form.get("name").unwrap_or_default().to_owned(),
            form.raw("password").unwrap_or_default().to_owned(),
        );
        let known = name.clone();
        let found = desk.think(move |_gate| {
            let users = Passwords::read(&path);
            let users = users.map_err(|error| Fault::Failed(error.to_string()))?;
            Ok(users.who(&name, &password))
        });
        let is_tls = peer.is_some_and(|peer| peer.tls);
        match found.await {
            Err(fault) => respond(Err(fault), &nobody),
            Ok(None) => {
                tracing::warn!(
                    address = address.map(tracing::field::display),
                    "a login to the console was refused"
                );
                let page = Self::page(&form, Some("Name or password is wrong."));
                with_status(
                    respond(Ok(Made::Page(page)), &nobody),
                    StatusCode::FORBIDDEN,
                )
            }
            Ok(Some(viewer)) => {
                tracing::info!(name = %known, address = address.map(tracing::field::display), "somebody logged in to the console");
                let Some(id) = self.sessions.begin(viewer) else {
                    return respond(Err(Fault::Failed("no random number".to_owned())), &nobody);
                };
                // One that was there before has ended: nobody goes on with an id that others may know.
                self.sessions.end(parts);
                let next = form.get("next").filter(|next| is_ours(next));
                with_cookie(see_other(next.unwrap_or(ROOT)), &cookie(&id, is_tls))
            }
        }
    }

    pub(super) fn leave(&self, parts: &Parts) -> Response<Body> {
        self.sessions.end(parts);
        let is_tls = Peer::of(&parts.extensions).is_some_and(|peer| peer.tls);
        with_cookie(see_other(LOGIN), &no_cookie(is_tls))
    }

    /// So many from one address in a minute.
    fn may_try(&self, address: IpAddr) -> bool {
        let now = Instant::now();
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        tries.retain(|_, (since, _)| now.duration_since(*since) < MINUTE);
        if tries.len() >= ADDRESSES && !tries.contains_key(&address) {
            return false;
        }
        let (_, count) = tries.entry(address).or_insert((now, 0));
        *count += 1;
        *count <= TRIES
    }
}

/// Whether a request that does something comes from a page of ours, and not from one of somebody else in the same browser.
pub(super) fn is_from_here(parts: &Parts) -> bool {
    let text = |name: &HeaderName| parts.headers.get(name).and_then(|it| it.to_str().ok());
    if let Some(site) = text(&FETCH_SITE) {
        return site == "same-origin";
    }
    let host = asked_host(parts);
    let origin = text(&ORIGIN).and_then(|origin| origin.split_once("://"));
    matches!((origin, host), (Some((_, origin)), Some(host)) if origin.eq_ignore_ascii_case(host.as_str()))
}

/// A path of the console, and of no other host.
fn is_ours(next: &str) -> bool {
    let is_plain = next
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    is_plain && (next == ROOT || next.starts_with("/console/") || next.starts_with("/console?"))
}

fn see_other(path: &str) -> Response<Body> {
    let mut response = html_response(StatusCode::SEE_OTHER, String::new());
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(LOCATION, path);
    }
    response
}

fn with_cookie(mut response: Response<Body>, cookie: &str) -> Response<Body> {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

fn with_status(mut response: Response<Body>, status: StatusCode) -> Response<Body> {
    *response.status_mut() = status;
    response
}

pub(super) const LOGIN: &str = "/console/login";
pub(super) const LOGOUT: &str = "/console/logout";
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MINUTE: Duration = Duration::from_mins(1);
/// Logins that one address may try in a minute.
const TRIES: u32 = 10;
/// Addresses of which that is known.
const ADDRESSES: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn only_a_page_of_the_console_can_be_next() {
        for fine in [
            "/console",
            "/console/decisions?since=7d",
            "/console?last=7d",
        ] {
            assert!(is_ours(fine), "{fine}");
        }
        for other in [
            "//evil.example",
            "https://evil.example/console",
            "/consoles",
            "/console\\@evil",
            "/console/\r\nx",
            "javascript:alert(1)",
            "",
        ] {
            assert!(!is_ours(other), "{other}");
        }
    }

    #[test]
    fn what_does_something_has_to_come_from_a_page_of_ours() {
        let ask = |fields: &[(&str, &str)]| {
            let mut request = Request::post(LOGIN).header("host", "gate.example:8081");
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            is_from_here(&request.body(()).unwrap().into_parts().0)
        };
        assert!(ask(&[("sec-fetch-site", "same-origin")]));
        assert!(ask(&[("origin", "https://gate.example:8081")]));
        assert!(!ask(&[]));
        assert!(!ask(&[("sec-fetch-site", "cross-site")]));
        assert!(!ask(&[
            ("sec-fetch-site", "same-site"),
            ("origin", "https://gate.example:8081")
        ]));
        assert!(!ask(&[("origin", "https://evil.example")]));
        assert!(!ask(&[("origin", "null")]));
    }

    #[test]
    fn one_address_may_try_so_often() {
        let door = Door::new(&Config::default());
        let (one, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        for _ in 0..TRIES {
            assert!(door.may_try(one));
        }
        assert!(!door.may_try(one));
        assert!(door.may_try(other));
    }
}
