//! How people show who they are, and how long that holds.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::{LOCATION, ORIGIN, SET_COOKIE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use maud::{Markup, html};

use super::certificate::{self, Holders};
use super::config::{Login, Logins, PublicUrl};
use super::cookie::{Cookie, Jar};
use super::oidc::{BEGIN, Landed, Refused, Way};
use super::page::{Page, html_response, respond};
use super::params::{Params, encoded};
use super::password::Passwords;
use super::roster::Roster;
use super::session::Sessions;
use super::{Config, Desk, Fault, Made, ROOT, Viewer};
use crate::admin::asked_host;
use crate::listener::{Body, Peer};
use crate::telemetry::{Limit, Metrics};
use crate::value::Visible;

/// Whether somebody is still let in.
pub(super) type Holds = Box<dyn Fn() -> bool + Send + Sync>;

/// The door.
pub(super) struct Door {
    logins: Logins,
    passwords: Option<PathBuf>,
    holders: Holders,
    oidc: Option<Way>,
    public_url: Option<PublicUrl>,
    sessions: Arc<Sessions>,
    /// Whether passwords still let in those who have logged in by one.
    roster: Option<Arc<Roster>>,
    metrics: Metrics,
    tries: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

impl Door {
    pub(super) fn new(config: &Config, metrics: &Metrics) -> Self {
        let is_asked = config.login.has(Login::Oidc);
        let oidc = config.oidc.as_ref().filter(|_| is_asked);
        let oidc = oidc.zip(config.public_url.as_ref());
        let sessions = Arc::new(Sessions::new(config, metrics));
        let has_passwords = config.login.has(Login::Password);
        let passwords = config.passwords.clone().filter(|_| has_passwords);
        let roster = passwords.map(|path| Arc::new(Roster::new(path, sessions.clone())));
        let door = Self {
            logins: config.login.clone(),
            passwords: config.passwords.clone(),
            holders: config.certificates.clone(),
            oidc: oidc.map(|(oidc, public_url)| Way::new(oidc, public_url)),
            public_url: config.public_url.clone(),
            sessions,
            roster,
            metrics: metrics.clone(),
            tries: Mutex::default(),
        };
        for (login, way) in WAYS {
            if door.logins.has(login) {
                metrics.console_asks(way);
            }
        }
        door
    }

    /// Whose request it is; `None`: nobody who may look on. Who has logged in is that one, whatever certificate the browser
    /// has.
    pub(super) fn who(&self, parts: &Parts) -> Option<Viewer> {
        if self.logins.has(Login::None) {
            return Some(Viewer::anybody());
        }
        let session = self.sessions.of(parts, self.jar(parts));
        session.or_else(|| self.by_certificate(parts))
    }

    /// The same of somebody who looks on: that alone keeps no session.
    pub(super) fn watcher(&self, parts: &Parts) -> Option<Viewer> {
        if self.logins.has(Login::None) {
            return Some(Viewer::anybody());
        }
        let session = self.sessions.seen(parts, self.jar(parts));
        session.or_else(|| self.by_certificate(parts))
    }

    /// Ends sessions of those whom the file of passwords does not let in any more.
    pub(super) async fn look_again(&self) {
        if let Some(roster) = &self.roster {
            roster.look().await;
        }
    }

    /// Says whether a viewer whom a request shows is still let in.
    pub(super) fn watch(&self, parts: &Parts, viewer: &Viewer) -> Holds {
        if !viewer.has_session {
            return Box::new(|| true);
        }
        let known_as = Sessions::known_as(parts, self.jar(parts));
        let (sessions, roster) = (self.sessions.clone(), self.roster.clone());
        Box::new(move || {
            if let Some(roster) = &roster {
                roster.look_soon();
            }
            known_as.is_some_and(|it| sessions.holds(&it))
        })
    }

    fn by_certificate(&self, parts: &Parts) -> Option<Viewer> {
        if !self.logins.has(Login::Certificate) {
            return None;
        }
        let peer = Peer::of(&parts.extensions)?;
        certificate::viewer(&self.holders, peer.certificate.as_deref()?)
    }

    /// How many have logged in.
    pub(super) fn sessions(&self) -> usize {
        self.sessions.count()
    }

    /// Where to log in, and what to go on with. Whom a page of another site has led here may have logged in: the browser
    /// sends no cookie of a session then, and does so when a page of ours leads on.
    pub(super) fn ask(&self, parts: &Parts) -> Response<Body> {
        let wanted = parts.uri.path_and_query().map_or(ROOT, |it| it.as_str());
        let wanted = if wanted.len() <= LONGEST_NEXT && is_ours(wanted) {
            wanted
        } else {
            ROOT
        };
        let has_sessions = [Login::Oidc, Login::Password];
        let has_sessions = has_sessions.iter().any(|login| self.logins.has(*login));
        if has_sessions && is_led_here(parts) {
            let body = html! { p { a.button.main href=(wanted) { "Go on" } } };
            let mut page = Page::new("", "Going on", body);
            page.next = Some(wanted.to_owned());
            return respond(Ok(Made::Page(page)), &Viewer::nobody());
        }
        see_other(&format!("{LOGIN}?next={}", encoded(wanted)))
    }

    pub(super) fn page(&self, params: &Params, refused: Option<&str>) -> Page {
        let next = params.get("next").unwrap_or_default();
        let body = html! {
            h1 { "Log in" }
            @if let Some(refused) = refused { p.fault role="alert" { (refused) } }
            @if let Some(way) = &self.oidc {
                p { a.button.main href={ (BEGIN) "?next=" (encoded(next)) } { "Log in at " (way.issuer_shown()) } }
            }
            @if self.logins.has(Login::Password) { (form(next)) }
            @if self.logins.has(Login::Certificate) {
                p { "Your browser may also show a certificate that is listed in the configuration of this gate "
                    "(console.certificates). It has shown none, or another one." }
            }
        };
        Page::new("", "Log in", body)
    }

    /// Lets somebody in, or says no: never which part was wrong.
    pub(super) async fn enter(&self, desk: &Desk, parts: &Parts, form: Params) -> Response<Body> {
        let nobody = Viewer::nobody();
        let password = self.passwords.clone();
        let path = password.filter(|_| self.logins.has(Login::Password));
        let Some(path) = path else {
            return respond(Err(Fault::NoSuchPage), &nobody);
        };
        if let Some(refused) = self.is_too_often(parts, &form, "password") {
            return refused;
        }
        let (name, password) = (
            form.get("name").unwrap_or_default().to_owned(),
            form.raw("password").unwrap_or_default().to_owned(),
        );
        let found = desk.think(move |_gate| {
            let users = Passwords::read(&path);
            let users = users.map_err(|error| {
                // Where the file is, and what is wrong with it, is nothing for whoever tries to log in.
                tracing::error!(%error, "the passwords of the console cannot be read");
                Fault::Failed(
                    "Nobody can log in by a password now: the log of dtgate says why.".to_owned(),
                )
            })?;
            Ok(users.who(&name, &password))
        });
        match found.await {
            Err(fault) => {
                self.metrics.console_login("password", "failed");
                respond(Err(fault), &nobody)
            }
            Ok(None) => {
                tracing::warn!(
                    address = address(parts).map(tracing::field::display),
                    "a login to the console was refused"
                );
                self.metrics.console_login("password", "refused");
                let page = self.page(&form, Some("Name or password is wrong."));
                with_status(
                    respond(Ok(Made::Page(page)), &nobody),
                    StatusCode::FORBIDDEN,
                )
            }
            Ok(Some(viewer)) => match self.let_in(parts, viewer, "password") {
                Err(fault) => respond(Err(fault), &nobody),
                Ok(cookie) => {
                    let next = form.get("next").filter(|next| is_ours(next));
                    with_cookie(see_other(next.unwrap_or(ROOT)), &cookie)
                }
            },
        }
    }

    /// Sends somebody to the issuer. From the page that the issuer leads back to: the cookie of the login is of one host.
    pub(super) async fn begin(&self, desk: &Desk, parts: &Parts) -> Response<Body> {
        let nobody = Viewer::nobody();
        let (Some(way), Some(public_url)) = (&self.oidc, &self.public_url) else {
            return respond(Err(Fault::NoSuchPage), &nobody);
        };
        if parts.method != Method::GET {
            return respond(Err(Fault::Method), &nobody);
        }
        let params = Params::of(parts.uri.query().unwrap_or_default());
        let next = params.get("next").filter(|next| is_ours(next));
        let next = next.unwrap_or(ROOT);
        let is_there = self.is_asked_publicly(parts) || params.get("there").is_some();
        if !is_there {
            let (origin, next) = (public_url.origin(), encoded(next));
            return see_other(&format!("{origin}{BEGIN}?there=1&next={next}"));
        }
        if let Some(refused) = self.is_too_often(parts, &params, "oidc") {
            return refused;
        }
        let jar = self.jar(parts);
        let former = Sessions::known_as(parts, jar);
        match Box::pin(way.begin(desk, next, jar, former)).await {
            Ok(begins) => with_cookie(see_other(&begins.to), &begins.cookie),
            Err(refused) => self.refuse(parts, &params, &refused),
        }
    }

    /// Lets somebody in whom the issuer leads back. By a page and not by a redirect: a browser that comes from another site
    /// sends the cookie of the session with nothing that the other site has begun.
    pub(super) async fn end(&self, desk: &Desk, parts: &Parts) -> Response<Body> {
        let nobody = Viewer::nobody();
        let Some(way) = &self.oidc else {
            return respond(Err(Fault::NoSuchPage), &nobody);
        };
        if parts.method != Method::GET {
            return respond(Err(Fault::Method), &nobody);
        }
        let jar = self.jar(parts);
        let ended = Box::pin(way.end(desk, parts, jar, address(parts))).await;
        let answer = match ended {
            Err(refused) => self.refuse(parts, &Params::default(), &refused),
            Ok(landed) => match self.let_in(parts, landed.viewer, "oidc") {
                Err(fault) => respond(Err(fault), &nobody),
                Ok(cookie) => {
                    let Landed { next, former, .. } = landed;
                    // The browser does not show it now: another site has led it here.
                    if let Some(former) = former {
                        self.sessions.end_known(&former);
                    }
                    let body = html! {
                        h1 { "You are logged in" }
                        p { a.button.main href=(next) { "Go on" } }
                    };
                    let mut page = Page::new("", "Logged in", body);
                    page.next = Some(next);
                    with_cookie(respond(Ok(Made::Page(page)), &nobody), &cookie)
                }
            },
        };
        with_cookie(answer, &Cookie::Login.unset(jar))
    }

    /// What somebody is told whom the issuer did not let in.
    fn refuse(&self, parts: &Parts, params: &Params, refused: &Refused) -> Response<Body> {
        let address = address(parts).map(tracing::field::display);
        // Anybody can ask for that, as often as they like, and it says nothing.
        if matches!(refused, Refused::Unknown) {
            tracing::debug!(address, "nobody has begun this login to the console");
        } else {
            tracing::warn!(address, reason = %refused, "a login to the console by its issuer was refused");
        }
        let (result, status) = if refused.is_passing() {
            ("failed", StatusCode::BAD_GATEWAY)
        } else {
            ("refused", StatusCode::FORBIDDEN)
        };
        self.metrics.console_login("oidc", result);
        let text = format!("You are not logged in: {}.", refused.told());
        let page = self.page(params, Some(&text));
        let page = respond(Ok(Made::Page(page)), &Viewer::nobody());
        with_status(page, status)
    }

    /// The cookie of a new session.
    fn let_in(&self, parts: &Parts, viewer: Viewer, way: &'static str) -> Result<String, Fault> {
        let jar = self.jar(parts);
        tracing::info!(
            name = %Visible(&viewer.name),
            address = address(parts).map(tracing::field::display),
            way,
            "somebody logged in to the console"
        );
        let id = self.sessions.begin(viewer);
        let id = id.ok_or_else(|| Fault::Failed("no random number".to_owned()))?;
        // The one that the browser shows has ended: nobody goes on with an id that others may know.
        self.sessions.end(parts, jar);
        self.metrics.console_login(way, "good");
        Ok(Cookie::Session.set(&id, jar))
    }

    pub(super) fn leave(&self, parts: &Parts) -> Response<Body> {
        let jar = self.jar(parts);
        self.sessions.end(parts, jar);
        with_cookie(see_other(LOGIN), &Cookie::Session.unset(jar))
    }

    fn jar(&self, parts: &Parts) -> Jar {
        Jar::of(parts, self.is_secure(parts))
    }

    /// Whether the browser speaks TLS: with this listener, or with what stands before it under the public URL.
    fn is_secure(&self, parts: &Parts) -> bool {
        let is_tls = Peer::of(&parts.extensions).is_some_and(|peer| peer.tls);
        let is_encrypted = self
            .public_url
            .as_ref()
            .is_some_and(PublicUrl::is_encrypted);
        is_tls || (is_encrypted && self.is_asked_publicly(parts))
    }

    fn is_asked_publicly(&self, parts: &Parts) -> bool {
        let public_url = self.public_url.as_ref();
        let host = asked_host(parts);
        public_url
            .zip(host)
            .is_some_and(|(url, host)| url.host().as_str().eq_ignore_ascii_case(host.as_str()))
    }

    /// What somebody is told who tries to log in too often.
    fn is_too_often(
        &self,
        parts: &Parts,
        params: &Params,
        way: &'static str,
    ) -> Option<Response<Body>> {
        if address(parts).is_none_or(|address| self.may_try(address)) {
            return None;
        }
        self.metrics.reached(Limit::ConsoleLogins);
        self.metrics.console_login(way, "limited");
        let page = self.page(params, Some("That was tried too often. Wait a minute."));
        let framed = respond(Ok(Made::Page(page)), &Viewer::nobody());
        Some(with_status(framed, StatusCode::TOO_MANY_REQUESTS))
    }

    /// So many from one address in a minute.
    fn may_try(&self, address: IpAddr) -> bool {
        let now = Instant::now();
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        tries.retain(|_, (since, _)| now.duration_since(*since) < MINUTE);
        let address = network(address);
        if tries.len() >= ADDRESSES && !tries.contains_key(&address) {
            // Many addresses keep nobody else out.
            let oldest = tries.iter().min_by_key(|(_, (since, _))| *since);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                tries.remove(&oldest);
            }
        }
        let (_, count) = tries.entry(address).or_insert((now, 0));
        *count += 1;
        *count <= TRIES
    }
}

fn form(next: &str) -> Markup {
    html! {
        form.login method="post" action=(LOGIN) {
            input type="hidden" name="next" value=(next);
            label { "Name" input name="name" autocomplete="username" required autofocus; }
            label { "Password" input name="password" type="password" autocomplete="current-password" required; }
            button.main type="submit" { "Log in" }
        }
    }
}

fn address(parts: &Parts) -> Option<IpAddr> {
    Peer::of(&parts.extensions).map(|peer| peer.address.ip())
}

/// What is one address to the limit of logins: of IPv6 somebody has a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(network.into())
        }
        IpAddr::V4(address) => IpAddr::V4(address),
    }
}

/// Whether a request is one that a page of ours, or somebody at the browser, makes. A page of another site can lead here; it
/// cannot have the browser ask in the background, where a certificate, or loopback, would speak for whoever sits before it:
/// how long an answer takes says something, and a heavy search costs something.
pub(super) fn is_meant(parts: &Parts) -> bool {
    let text = |name: &HeaderName| parts.headers.get(name).and_then(|it| it.to_str().ok());
    match text(&FETCH_SITE) {
        None | Some("none" | "same-origin") => true,
        Some(_) => {
            text(&FETCH_MODE) == Some("navigate") && text(&FETCH_DESTINATION) == Some("document")
        }
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

/// Whether a page of another site leads somebody here.
fn is_led_here(parts: &Parts) -> bool {
    let site = parts.headers.get("sec-fetch-site");
    let site = site.and_then(|site| site.to_str().ok());
    let is_led = site.is_some_and(|site| !["none", "same-origin"].contains(&site));
    is_led && parts.method == Method::GET
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
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

fn with_status(mut response: Response<Body>, status: StatusCode) -> Response<Body> {
    *response.status_mut() = status;
    response
}

pub(super) const LOGIN: &str = "/console/login";
pub(super) const LOGOUT: &str = "/console/logout";
/// The ways to log in, as metrics call them.
const WAYS: [(Login, &str); 2] = [(Login::Oidc, "oidc"), (Login::Password, "password")];
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_DESTINATION: HeaderName = HeaderName::from_static("sec-fetch-dest");
/// Bytes of an address to go on with.
const LONGEST_NEXT: usize = 4 << 10;
const MINUTE: Duration = Duration::from_mins(1);
/// Logins that one address may try in a minute.
const TRIES: u32 = 10;
/// Addresses of which that is known.
const ADDRESSES: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::desk::tests::gate_of;
    use http::Request;
    use http_body_util::BodyExt;

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
    fn a_page_of_another_site_can_lead_here_and_cannot_ask_in_the_background() {
        let ask = |fields: &[(&str, &str)]| {
            let mut request = Request::get("/console/decisions");
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            is_meant(&request.body(()).unwrap().into_parts().0)
        };
        assert!(ask(&[]));
        assert!(ask(&[("sec-fetch-site", "none")]));
        assert!(ask(&[
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-mode", "cors")
        ]));
        for site in ["cross-site", "same-site"] {
            let of = |mode, destination| {
                ask(&[
                    ("sec-fetch-site", site),
                    ("sec-fetch-mode", mode),
                    ("sec-fetch-dest", destination),
                ])
            };
            assert!(of("navigate", "document"));
            assert!(!of("navigate", "iframe"));
            assert!(!of("no-cors", "image"));
            assert!(!of("cors", "empty"));
        }
    }

    #[tokio::test]
    async fn whoever_tries_to_log_in_does_not_hear_where_the_passwords_are() {
        let config = Config {
            passwords: Some("/nowhere/users".into()),
            ..Config::default()
        };
        let door = Door::new(&config, &Metrics::new("1.2.3"));
        let desk = Desk::new(&config, gate_of(1));
        let parts = Request::post(LOGIN).body(()).unwrap().into_parts().0;
        let answer = door.enter(&desk, &parts, Params::of("name=a&password=b"));
        let answer = answer.await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body);
        assert!(
            text.contains("Nobody can log in") && !text.contains("nowhere"),
            "{text}"
        );
    }

    #[test]
    fn one_address_may_try_so_often() {
        let door = Door::new(&Config::default(), &Metrics::new("1.2.3"));
        let (one, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        for _ in 0..TRIES {
            assert!(door.may_try(one));
        }
        assert!(!door.may_try(one));
        assert!(door.may_try(other));
        assert!(!door.may_try("::ffff:10.0.0.1".parse().unwrap()));
        for host in 0..TRIES {
            assert!(door.may_try(format!("2001:db8:0:1::{host:x}").parse().unwrap()));
        }
        assert!(!door.may_try("2001:db8:0:1:ffff::1".parse().unwrap()));
        assert!(door.may_try("2001:db8:0:2::1".parse().unwrap()));
    }

    #[test]
    fn many_addresses_keep_nobody_else_out() {
        let door = Door::new(&Config::default(), &Metrics::new("1.2.3"));
        for number in 0..u32::try_from(ADDRESSES).unwrap() {
            assert!(door.may_try(IpAddr::V4((0x0a00_0000 + number).into())));
        }
        assert!(door.may_try("192.0.2.1".parse().unwrap()));
        let tries = door.tries.lock().unwrap();
        assert_eq!(tries.len(), ADDRESSES);
        assert!(!tries.contains_key(&"10.0.0.0".parse().unwrap()));
    }
}
