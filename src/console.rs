//! Pages for people: what was decided, about which token, by which policies, and what another policy would have done.
//!
//! | path                          | page                                                                    |
//! | ----------------------------- | ----------------------------------------------------------------------- |
//! | `/console`                    | now: what comes in, what is refused, how the gate is                    |
//! | `/console/now`                | the same for its script: to ask for it is no use of a session           |
//! | `/console/decisions`          | decisions, by everything that `dtgate audit query` takes                |
//! | `/console/decisions.csv`, `….json` | the decisions of a search, as a file                              |
//! | `/console/decisions/{id}`     | one decision: who, what, the difference, each policy, the outcome       |
//! | `/console/decisions/{id}/proof` | the evidence for its record, as `dtgate audit prove` writes it       |
//! | `/console/tokens/{id}`        | a token from its creation to its removal                                |
//! | `/console/callers`            | who changes most, and who is refused most                               |
//! | `/console/policies`           | the policies in force, and how often each objected                      |
//! | `/console/policies/{name}`    | one policy: its source, its tests, its objections                       |
//! | `/console/playground`, `…/…`  | a request and policies, edited until they fit; for authors              |
//! | `/console/live`               | decisions as they come, as server-sent events                           |
//! | `/console/login`, `…/logout`  | who looks on                                                            |
//! | `/console/login/oidc`, `/console/login/callback` | to an issuer, and back                                  |
//! | `/console/assets/…`           | style, scripts                                                          |
//!
//! It guarantees that nothing here changes what is enforced or what is recorded; that a page is made on a thread of low
//! priority and not on one that moves bytes, that no more than so many are made at once, each for so long at most; that
//! every text of others is shown as a text; and that a viewer who is no auditor is shown no name and no id of a token or
//! a caller. All other paths are for whoever stands behind it.

mod assets;
mod behind;
mod certificate;
mod config;
mod cookie;
mod desk;
mod download;
mod fault;
mod file;
mod live;
mod login;
mod oidc;
mod origin;
mod page;
mod pages;
mod params;
mod password;
pub mod play;
mod plot;
mod reached;
mod role;
mod roster;
mod row;
mod search;
mod session;
mod shares;
mod tries;
mod viewer;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Response};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use tokio::time::timeout;
use tower::Service;

pub use certificate::{Holder, Holders};
pub use config::{Config, ConfigError, Login, Logins, PublicUrl};
pub use desk::{Gate, KeptPolicies, Open};
pub use oidc::{Configured, Oidc, OidcError};
pub use password::{PasswordsError, line as password_line};
pub use role::{Role, Roles};

use crate::admin::is_asked_by_name;
use crate::audit::Stop;
use crate::listener::Body;
use desk::Desk;
use download::{Downloads, Form};
use fault::Fault;
use file::File;
use live::Live;
use login::{Door, LOGIN, LOGOUT};
use oidc::{BEGIN, CALLBACK};
use origin::{is_from_here, is_meant};
use page::Page;
use params::Params;
use play::{Deed, Playground};
use reached::Kept;
use search::{CHOICES, FIELDS};
use viewer::Viewer;

/// Shows the console, and leaves every other path to `rest`.
#[derive(Clone)]
pub struct Console<S> {
    rest: S,
    /// `None`: there is no console.
    shared: Option<Arc<Shared>>,
}

struct Shared {
    desk: Arc<Desk>,
    door: Door,
    downloads: Downloads,
    hosts: Vec<String>,
    live: Live,
    playground: Playground,
}

/// What a page is made of.
struct Asked<'a> {
    gate: &'a Gate,
    kept: &'a Kept,
    viewer: &'a Viewer,
    params: &'a Params,
    now: jiff::Timestamp,
    /// When nobody waits for it any more.
    stop: &'a Stop,
}

/// Which page.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Route {
    Now,
    Decisions,
    Decision(String),
    Evidence(String),
    Token(String),
    Callers,
    Policies,
    Policy(String),
    Playground,
    /// A file of the policies, for the editor.
    Source,
    Play(Deed),
}

/// What was made for whoever asked.
enum Made {
    Page(Page),
    File(File),
    /// For a script of a page.
    Json(Value),
}

impl<S> Console<S> {
    /// `shown`: how, and beside which gate; without it there is no console, and all is left to `rest`.
    pub fn new(rest: S, shown: Option<(Config, Gate)>) -> Self {
        let shared = shown.map(|(config, gate)| {
            let metrics = gate.metrics.clone();
            let public = config.public_url.as_ref();
            let public = public.map(|url| url.host().host().to_owned());
            let live = Live::new(gate.clone());
            let playground = Playground::new(gate.clone());
            let door = Door::new(&config, &gate);
            let desk = Arc::new(Desk::new(&config, gate));
            let shared = Arc::new(Shared {
                live,
                door,
                hosts: config.hosts.iter().cloned().chain(public).collect(),
                downloads: Downloads::new(desk.clone()),
                desk,
                playground,
            });
            let asked = Arc::downgrade(&shared);
            metrics.console_from(move || {
                let shared = asked.upgrade();
                shared.map_or((0, 0), |it| (it.door.sessions(), it.live.count()))
            });
            shared
        });
        Self { rest, shared }
    }
}

impl<S> Service<Request<Body>> for Console<S>
where
    S: Service<
            Request<Body>,
            Response = Response<Body>,
            Error = Infallible,
            Future: Send + 'static,
        >,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.rest.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        match &self.shared {
            Some(shared) if path == ROOT || path.starts_with(BELOW) => {
                let shared = shared.clone();
                Box::pin(async move { Ok(shared.counted(request).await) })
            }
            _ => Box::pin(self.rest.call(request)),
        }
    }
}

impl Shared {
    /// Style and scripts are not counted.
    async fn counted(&self, request: Request<Body>) -> Response<Body> {
        let is_file = request.uri().path().starts_with(ASSETS);
        let answer = Box::pin(self.answer(request)).await;
        if !is_file {
            self.desk.metrics().console_answered(answer.status());
        }
        answer
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        if !is_asked_by_name(&parts, &self.hosts) {
            return page::respond(Err(Fault::Host), &Viewer::nobody());
        }
        if let Some(name) = path.strip_prefix(ASSETS) {
            return assets::answer(name, &parts.headers);
        }
        if !is_meant(&parts) {
            return page::respond(Err(Fault::Elsewhere), &Viewer::nobody());
        }
        let is_post = parts.method == Method::POST;
        if is_post && !is_from_here(&parts) {
            return page::respond(Err(Fault::Elsewhere), &Viewer::nobody());
        }
        match path {
            LOGIN if is_post => {
                return match read(body, LONGEST_FORM).await {
                    Ok(form) => self.door.enter(&parts, form).await,
                    Err(fault) => page::respond(Err(fault), &Viewer::nobody()),
                };
            }
            LOGIN => {
                let params = Params::of(parts.uri.query().unwrap_or_default());
                let page = self.door.page(&params, None);
                return page::respond(Ok(Made::Page(page)), &Viewer::nobody());
            }
            LOGOUT if is_post => return self.door.leave(&parts),
            BEGIN => return self.door.begin(&parts).await,
            CALLBACK => return self.door.end(&parts).await,
            _ => {}
        }
        self.door.look_again().await;
        let viewer = match path {
            LIVE | NOW => self.door.watcher(&parts),
            _ => self.door.who(&parts),
        };
        let Some(viewer) = viewer else {
            return self.door.ask(&parts);
        };
        if is_post && let Some(Route::Play(deed)) = Route::of(path, &parts.method) {
            let made = self.play(deed, body, viewer.clone()).await;
            return page::respond(made, &viewer);
        }
        let route = Route::of(path, &parts.method);
        let params = match asked(path, route.as_ref(), parts.uri.query().unwrap_or_default()) {
            Ok(params) => params,
            Err(fault) => return page::respond(Err(fault), &viewer),
        };
        if path == LIVE && parts.method == Method::GET {
            let holds = self.door.watch(&parts, &viewer);
            let live = self.live.answer(&params, &parts, viewer.clone(), holds);
            return live.unwrap_or_else(|fault| page::respond(Err(fault), &viewer));
        }
        if let (Some(form), &Method::GET) = (Form::of(path), &parts.method) {
            let file = self.downloads.answer(form, params, viewer.clone()).await;
            return file.unwrap_or_else(|fault| page::respond(Err(fault), &viewer));
        }
        let made = match (route, &parts.method) {
            // A judgement has limits of its own, and no page of another site may ask for it.
            (Some(Route::Play(_)), _) => Err(Fault::Method),
            (Some(route), &Method::GET) => self.desk.make(route, params, viewer.clone()).await,
            (Some(_), _) => Err(Fault::Method),
            (None, _) => Err(Fault::NoSuchPage),
        };
        page::respond(made, &viewer)
    }

    /// Nothing is read of somebody who is no author.
    async fn play(&self, deed: Deed, body: Body, viewer: Viewer) -> Result<Made, Fault> {
        if !viewer.is_author {
            return Err(Fault::NotAllowed("author"));
        }
        let inside = self.playground.enter(&viewer)?;
        let params = read(body, LONGEST_DRAFT).await?;
        self.playground.make(deed, inside, params, viewer).await
    }
}

/// A form of so many bytes at most, whole.
async fn read(body: Body, longest: usize) -> Result<Params, Fault> {
    let reading = Limited::new(body, longest).collect();
    let Ok(Ok(read)) = timeout(BODY_TIMEOUT, reading).await else {
        return Err(Fault::Invalid(
            "The form is too long, or it did not come.".to_owned(),
        ));
    };
    Params::of_form(&String::from_utf8_lossy(&read.to_bytes()))
}

/// What is asked of a page: nothing that it does not know.
fn asked(path: &str, route: Option<&Route>, query: &str) -> Result<Params, Fault> {
    let params = Params::of_page(query)?;
    let is_search = Form::of(path).is_some() || route == Some(&Route::Decisions);
    match route {
        _ if is_search => {
            let fields: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
            params.expect(CHOICES, &fields)
        }
        _ if path == LIVE => params.expect(&[live::GATES, live::FROM], &["environment"]),
        Some(Route::Now) => params.expect(&["last"], &["environment"]),
        Some(Route::Callers) => params.expect(&["since", "until", "order"], &["environment"]),
        Some(Route::Decision(_) | Route::Evidence(_)) => params.expect(&["gate"], &[]),
        Some(Route::Token(_)) => params.expect(&["all"], &[]),
        Some(Route::Policies | Route::Policy(_)) => params.expect(&[], &[]),
        Some(Route::Playground) => params.expect(play::ASKED, &[]),
        Some(Route::Source) => params.expect(&["path"], &[]),
        // There is no such page, or it is asked by a form.
        _ => Ok(()),
    }?;
    Ok(params)
}

impl Route {
    fn of(path: &str, method: &Method) -> Option<Self> {
        let rest = path.strip_prefix(ROOT)?.trim_start_matches('/');
        let mut parts = rest.split('/');
        let (first, second, third) = (parts.next()?, parts.next(), parts.next());
        if parts.next().is_some() {
            return None;
        }
        let named = |name: &str| {
            let name = percent_encoding::percent_decode_str(name).decode_utf8();
            name.ok().filter(|name| !name.is_empty()).map(String::from)
        };
        match (first, second, third) {
            ("" | "now", None, None) => Some(Self::Now),
            ("decisions", None, None) => Some(Self::Decisions),
            ("decisions", Some(id), None) => named(id).map(Self::Decision),
            ("decisions", Some(id), Some("proof")) => named(id).map(Self::Evidence),
            ("tokens", Some(id), None) => named(id).map(Self::Token),
            ("callers", None, None) => Some(Self::Callers),
            ("policies", None, None) => Some(Self::Policies),
            ("policies", Some(name), None) => named(name).map(Self::Policy),
            ("playground", None, None) if method == Method::POST => Some(Self::Play(Deed::Page)),
            ("playground", None, None) => Some(Self::Playground),
            ("playground", Some("file"), None) => Some(Self::Source),
            ("playground", Some(deed), None) => Deed::of(deed).map(Self::Play),
            _ => None,
        }
    }

    /// On a thread of its own.
    fn make(&self, asked: &Asked<'_>) -> Result<Made, Fault> {
        let page = match self {
            Self::Now => pages::now::page(asked),
            Self::Decisions => pages::decisions::page(asked),
            Self::Decision(id) => pages::decision::page(asked, id),
            Self::Evidence(id) => return pages::decision::evidence(asked, id).map(Made::File),
            Self::Token(id) => pages::token::page(asked, id),
            Self::Callers => pages::callers::page(asked),
            Self::Policies => pages::policies::page(asked),
            Self::Policy(name) => pages::policies::one(asked, name),
            Self::Playground => return play::page(asked).map(Made::Page),
            Self::Source => return play::file(asked).map(Made::File),
            Self::Play(deed) => return play::done(asked, *deed),
        };
        behind::told(asked, page).map(Made::Page)
    }
}

/// Where the console is.
pub const ROOT: &str = "/console";
const BELOW: &str = "/console/";
const ASSETS: &str = "/console/assets/";
const LIVE: &str = "/console/live";
/// The page that looks on, again.
const NOW: &str = "/console/now";
/// Bytes of a form.
const LONGEST_FORM: usize = 8 << 10;
/// Bytes of a request with edited policies, as a form has them.
const LONGEST_DRAFT: usize = 2 << 20;
/// How long a form may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
