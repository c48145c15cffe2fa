//! `dtgate console`: the pages, beside a running gate, on a copy of its journal, or on a store.

use std::convert::Infallible;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use http::header::LOCATION;
use http::{HeaderValue, Request, Response, StatusCode};
use tower::service_fn;

use super::audit::Asking;
use super::load;
use crate::app::{self, Hangup};
use crate::audit;
use crate::console::{self, Gate, Login, ROOT};
use crate::listener::{self, Body, Clients, Files, Listener, Seat, Tls, Tracker, full};
use crate::telemetry::{self, Metrics};
use crate::trail;
use crate::value::{Duration, listening};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Console {
    #[command(flatten)]
    from: Asking,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", value_parser = listening, default_value_t = HERE)]
    listen: SocketAddr,
    /// Directory of policies: for the playground, and for the page of policies
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// File of those who may log in by a password [default: what the configuration says]
    #[arg(long, value_name = "FILE", conflicts_with = "no_login")]
    users: Option<PathBuf>,
    /// Certificate of the console (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Authorities that may issue certificates to people who look on (PEM), for console.login = "certificate"
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_client_ca: Option<PathBuf>,
    /// Ask nobody to log in. Everybody who reaches the address sees everything, so it has to be one of loopback
    #[arg(long)]
    no_login: bool,
}

const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8090);
const EXAMPLES: &str = "Example: look at the journal of a gate that runs here
  dtgate console --journal journal --no-login";

impl Console {
    pub(super) async fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let there = Arc::new(self.from.find()?);
        // What is wrong shows now, and not on the first page. A store is asked on a thread of its own, as by pages.
        let asked = there.clone();
        tokio::task::spawn_blocking(move || asked.open().map(drop)).await??;
        let policy = self.policies.as_ref();
        let policy = policy.map(|path| app::policies_at(path, &[])).transpose()?;
        let config = load(self.from.place.config.as_ref())?;
        let answered_within = app::answered_within(&config);
        let mut shown = config.console.unwrap_or_default();
        if self.no_login {
            shown.login = Login::None.into();
        } else if let Some(path) = self.users {
            shown.passwords = Some(path);
        }
        let tls = match (self.tls_certificate, self.tls_key) {
            (Some(certificate), Some(key)) => Some(Tls {
                // Who shows none is told so on a page.
                clients: self.tls_client_ca.map(|ca| Clients {
                    ca,
                    crl: None,
                    required: false,
                }),
                ..Tls::from(Files { certificate, key })
            }),
            _ => None,
        };
        if shown.login.has(Login::Password) && shown.passwords.is_none() {
            bail!(
                "nobody could log in: give --users FILE (dtgate new console-user NAME makes a line of it), or --no-login \
                 to ask nobody on an address of loopback"
            );
        }
        shown.check(self.listen, tls.as_ref())?;
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"));
        let entrypoints = config.policies.entrypoints.clone();
        let kept = there.journal();
        let kept = kept.map(|journal| app::kept(journal, entrypoints));
        let log = telemetry::init(&config.log, &metrics).context("log")?;
        let gate = Gate {
            trail: Arc::new(move || {
                let opened = there.open();
                opened.map_err(|error| trail::Error::Unopened(format!("{error:#}")))
            }),
            status: None,
            policies: policy.map(|policy| Arc::new(move || policy.clone()) as _),
            kept,
            worker: app::program(),
            now: app::now,
            answered_within,
            step_back: audit::step_back,
            metrics: metrics.clone(),
        };
        let (shutdown, _hangups) = app::signals(Hangup::Ends)?;
        let has_tls = tls.is_some();
        let settings = listener::Config {
            listen: self.listen,
            tls,
            // Whoever looks on at what comes would look on for ever.
            drain_timeout: Duration::from_secs(1),
            half_close_timeout: app::GONE,
            ..listener::Config::default()
        };
        let listener = Listener::bind(&settings, metrics, app::now)?;
        let scheme = if has_tls { "https" } else { "http" };
        writeln!(out, "{scheme}://{}{ROOT}", listener.local_addr())?;
        out.flush()?;
        let service = console::Console::new(service_fn(elsewhere), Some((shown, gate)));
        let _drained = listener
            .serve(Seat::here(service), Tracker::default(), shutdown)
            .await;
        drop(log);
        Ok(ExitCode::SUCCESS)
    }
}

/// There is nothing but the console.
async fn elsewhere(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let mut response = Response::new(full("The console is at /console\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    if request.uri().path() == "/" {
        *response.status_mut() = StatusCode::SEE_OTHER;
        let location = HeaderValue::from_static(ROOT);
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}
