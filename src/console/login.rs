//! How people show who they are, and how long that holds.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use http::header::{LOCATION, SET_COOKIE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use maud::{Markup, html};
use tokio::sync::OwnedSemaphorePermit;

use super::certificate::{self, Holders};
use super::config::{Login, Logins, PublicUrl};
use super::cookie::{Cookie, Jar};
use super::oidc::{BEGIN, Landed, Refused, Way};
use super::page::{Page, html_response, respond};
use super::params::{Params, encoded};
use super::password::Passwords;
use super::roster::Roster;
use super::session::Sessions;
use super::tries::{Browsers, Places, Trier, Tries, Whose};
use super::{Config, Desk, Fault, Gate, Made, ROOT, Viewer};
use crate::admin::asked_host;
use crate::identity::forwarded;
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
    /// For whom proxies ask.
    proxies: forwarded::Config,
    tries: Tries,
    browsers: Browsers,
    places: Places,
    /// Where logins are worked on. Pages have another one: neither takes the places of the other.
    desk: Desk,
}

impl Door {
    pub(super) fn new(config: &Config, gate: &Gate) -> Self {
        let metrics = &gate.metrics;
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
            proxies: config.forwarded.clone(),
            tries: Tries::default(),
            browsers: Browsers::new(),
            places: Places::new(),
            desk: Desk::with(LOGINS, config.page_timeout.as_std(), gate.clone()),
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
            @if self.logins.has(Login::None) {
                p { "Nobody has to log in here." }
                p { a.button href=(ROOT) { "Go on" } }
            }
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
    pub(super) async fn enter(&self, parts: &Parts, form: Params) -> Response<Body> {
        let nobody = Viewer::nobody();
        let password = self.passwords.clone();
        let path = password.filter(|_| self.logins.has(Login::Password));
        let Some(path) = path else {
            return respond(Err(Fault::NoSuchPage), &nobody);
        };
        let name = form.get("name").unwrap_or_default();
        let mark = Cookie::Known.of(parts, self.jar(parts));
        let is_known = self.browsers.knows(name, mark);
        let against = Whose::of(Trier {
            address: self.address(parts),
            name,
            is_known,
        });
        if !self.tries.are_left(&against) {
            return self.limited(&form, "password", TOO_OFTEN);
        }
        // Counted only then: those who wait are as many as somebody likes.
        let Some(place) = self.places.enter(is_known).await else {
            return self.limited(&form, "password", TOO_MANY);
        };
        if !self.tries.begin(&against) {
            return self.limited(&form, "password", TOO_OFTEN);
        }
        let found = self.look_at(path, &form, place).await;
        if !matches!(found, Ok(None)) {
            self.tries.take_back(&against);
        }
        match found {
            Err(fault) => {
                self.metrics.console_login("password", "failed");
                respond(Err(fault), &nobody)
            }
            Ok(None) => {
                tracing::warn!(
                    address = self.address(parts).map(tracing::field::display),
                    "a login to the console was refused"
                );
                self.metrics.console_login("password", "refused");
                let page = self.page(&form, Some("Name or password is wrong."));
                with_status(
                    respond(Ok(Made::Page(page)), &nobody),
                    StatusCode::FORBIDDEN,
                )
            }
            Ok(Some(viewer)) => self.enters(parts, &form, viewer),
        }
    }

    /// Whose name and password these are. Whoever has gone keeps their place until the password was looked at.
    async fn look_at(
        &self,
        path: PathBuf,
        form: &Params,
        place: OwnedSemaphorePermit,
    ) -> Result<Option<Viewer>, Fault> {
        let (name, password) = (
            form.get("name").unwrap_or_default().to_owned(),
            form.raw("password").unwrap_or_default().to_owned(),
        );
        let found = self.desk.think(move |_gate| {
            let _place = place;
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
        found.await
    }

    /// Somebody whose password is right.
    fn enters(&self, parts: &Parts, form: &Params, viewer: Viewer) -> Response<Body> {
        let mark = self.browsers.mark(&viewer.name);
        match self.let_in(parts, viewer, "password") {
            Err(fault) => respond(Err(fault), &Viewer::nobody()),
            Ok(cookie) => {
                let next = form.get("next").filter(|next| is_ours(next));
                let answer = with_cookie(see_other(next.unwrap_or(ROOT)), &cookie);
                let jar = self.jar(parts);
                let mark = mark.map(|mark| Cookie::Known.set(&mark, jar));
                match mark {
                    Some(mark) => with_cookie(answer, &mark),
                    None => answer,
                }
            }
        }
    }

    /// Sends somebody to the issuer. From the page that the issuer leads back to: the cookie of the login is of one host.
    pub(super) async fn begin(&self, parts: &Parts) -> Response<Body> {
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
        if !self.tries.begin(&Whose::of_address(self.address(parts))) {
            return self.limited(&params, "oidc", TOO_OFTEN);
        }
        let jar = self.jar(parts);
        let former = Sessions::known_as(parts, jar);
        match Box::pin(way.begin(&self.desk, next, jar, former)).await {
            Ok(begins) => with_cookie(see_other(&begins.to), &begins.cookie),
            Err(refused) => self.refuse(parts, &params, &refused),
        }
    }

    /// Lets somebody in whom the issuer leads back. By a page and not by a redirect: a browser that comes from another site
    /// sends the cookie of the session with nothing that the other site has begun.
    pub(super) async fn end(&self, parts: &Parts) -> Response<Body> {
        let nobody = Viewer::nobody();
        let Some(way) = &self.oidc else {
            return respond(Err(Fault::NoSuchPage), &nobody);
        };
        if parts.method != Method::GET {
            return respond(Err(Fault::Method), &nobody);
        }
        let jar = self.jar(parts);
        let ended = Box::pin(way.end(&self.desk, parts, jar, self.address(parts))).await;
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
        let address = self.address(parts).map(tracing::field::display);
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
            address = self.address(parts).map(tracing::field::display),
            way,
            "somebody logged in to the console"
        );
        // The one that the browser shows has ended: nobody goes on with an id that others may know.
        self.sessions.end(parts, jar);
        let id = self.sessions.begin(viewer);
        let id = id.ok_or_else(|| Fault::Failed("no random number".to_owned()))?;
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

    /// Who asks, behind what proxies of the configuration say.
    fn address(&self, parts: &Parts) -> Option<IpAddr> {
        let peer = Peer::of(&parts.extensions)?;
        let client = self.proxies.client(peer.address.ip(), &parts.headers);
        Some(client.address)
    }

    /// What somebody is told who has to wait.
    fn limited(&self, params: &Params, way: &'static str, text: &str) -> Response<Body> {
        self.metrics.reached(Limit::ConsoleLogins);
        self.metrics.console_login(way, "limited");
        let page = self.page(params, Some(text));
        let framed = respond(Ok(Made::Page(page)), &Viewer::nobody());
        with_status(framed, StatusCode::TOO_MANY_REQUESTS)
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
const TOO_OFTEN: &str = "That was tried too often. Wait a minute.";
const TOO_MANY: &str = "Many people try to log in at this moment. Try again.";
/// Logins that are worked on at once.
const LOGINS: usize = 2;
/// Bytes of an address to go on with.
const LONGEST_NEXT: usize = 4 << 10;

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

    #[tokio::test]
    async fn whoever_tries_to_log_in_does_not_hear_where_the_passwords_are() {
        let config = Config {
            passwords: Some("/nowhere/users".into()),
            ..Config::default()
        };
        let door = Door::new(&config, &gate_of(1));
        let parts = Request::post(LOGIN).body(()).unwrap().into_parts().0;
        let answer = door.enter(&parts, Params::of("name=a&password=b"));
        let answer = answer.await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body);
        assert!(
            text.contains("Nobody can log in") && !text.contains("nowhere"),
            "{text}"
        );
    }
}
