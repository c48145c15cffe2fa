//! `dtgate demo`: simulator, gate and shipped policies on loopback; the vendor's own example request, a
//! compliant one, and what the journal says about both; and pages that show it.

mod chance;
mod traffic;
mod wish;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::place;
use crate::app::{self, App, Hangup};
use crate::audit::lines::Lines;
use crate::audit::tail::render;
use crate::config::Config;
use crate::console::{self, Login, ROOT};
use crate::simulate::{self, Simulator, TokenView, seeds};
use crate::telemetry::{self, Metrics};
use crate::value::Duration;
use traffic::{HANGS_UP, Place, STAGE, Traffic};

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// End after the two requests; exit 0 when both answers were right, 1 otherwise
    #[arg(long)]
    once: bool,
    /// Send made-up requests of several teams besides: many at first, then one every few seconds, so that the console has something to show
    #[arg(long, conflicts_with = "once")]
    traffic: bool,
    /// Directory of policies
    #[arg(long, value_name = "DIR", default_value = "policies")]
    policies: PathBuf,
}

/// A simulated Dynatrace.
struct Simulated {
    simulator: Simulator,
    address: SocketAddr,
    serving: JoinHandle<io::Result<()>>,
}

/// The request of the vendor's documentation, "PUT update a token", byte for byte.
const EXAMPLE: &str = include_str!("demo/example.json");

const COMPLIANT: &str =
    r#"{"name":"payments-prod-ci","scopes":["DataExport","metrics.read","ReadConfig"]}"#;

impl Demo {
    pub(super) async fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        if self.policies == Path::new("policies") {
            place::POLICIES.expect(&self.policies, None)?;
        }
        // From the start on: a demo that is interrupted still removes its journal.
        let (shutdown, _hangups) = app::signals(Hangup::Ends).context("signals")?;
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"));
        let config = telemetry::Config {
            filter: "warn".parse()?,
            ..telemetry::Config::default()
        };
        let log = telemetry::init(&config, &metrics).context("log")?;
        let scratch = Scratch::new()?;
        let stop = CancellationToken::new();
        let prod = simulated(&stop, 0).await?;
        let stage = simulated(&stop, 1 << 32).await?;
        let upstream = prod.address;
        let mut config = config_of(&scratch, upstream)?;
        config.policies.directory.clone_from(&self.policies);
        let mut traffic = None;
        if self.traffic {
            let made = Traffic::new(places(&prod, &stage))?;
            config.policies.directory = with_teams(&self.policies, &scratch, &made.teams())?;
            config.upstream.url = None;
            config.environments = environments(upstream, stage.address)?;
            traffic = Some(made);
        }
        let app = App::build(&config, metrics, log.access())?;
        let (gate, admin) = (app.address(), app.admin_address());
        let gateway = tokio::spawn(app.run(stop.clone()));

        let journal = &config.journal.directory;
        let base = format!("http://{gate}");
        let showing = async {
            writeln!(out, "simulator  http://{upstream}")?;
            writeln!(out, "gate       {base}   (admin http://{admin})")?;
            writeln!(out, "console    http://{admin}{ROOT}")?;
            writeln!(out, "policies   {}\n", self.policies.display())?;
            let shown = shutdown.run_until_cancelled(show(out, gate, &prod.simulator, journal));
            let right = shown.await.unwrap_or(Ok(false))?;
            if self.once || shutdown.is_cancelled() {
                return Ok(right);
            }
            if let Some(traffic) = &mut traffic {
                let begun = shutdown.run_until_cancelled(traffic.begin(&base));
                let Some(begun) = begun.await else {
                    return Ok(right);
                };
                let (sent, callers) = begun?;
                writeln!(
                    out,
                    "\nTraffic: {callers} callers sent {sent} requests. One more comes every few seconds."
                )?;
            }
            hints(out, gate, admin, journal)?;
            if let Some(traffic) = &mut traffic {
                let going_on = shutdown.run_until_cancelled(traffic.go_on(&base));
                going_on.await.transpose()?;
            }
            shutdown.cancelled().await;
            anyhow::Ok(right)
        };
        let shown = showing.await;
        // Whatever came of it: while the gate runs, it writes into what is removed at the end.
        stop.cancel();
        gateway.await.context("gate")??;
        for it in [prod, stage] {
            it.serving.await.context("simulator")??;
        }
        let right = shown?;
        Ok(if right {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(1)
        })
    }
}

async fn simulated(stop: &CancellationToken, minted: u64) -> anyhow::Result<Simulated> {
    let socket = TcpListener::bind(ANY_PORT).await.context("simulator")?;
    let address = socket.local_addr()?;
    let options = simulate::Options {
        hangs_up_about: Some(HANGS_UP),
        minted,
        ..simulate::Options::default()
    };
    let simulator = Simulator::seeded(options, app::now);
    let stopped = stop.clone().cancelled_owned();
    let serving = tokio::spawn(simulate::serve(socket, simulator.clone(), stopped));
    Ok(Simulated {
        simulator,
        address,
        serving,
    })
}

/// Everything at an address of loopback, and the console open to whoever reaches that.
fn config_of(scratch: &Scratch, upstream: SocketAddr) -> anyhow::Result<Config> {
    let mut config = Config::default();
    config.listener.listen = ANY_PORT;
    config.admin.listen = ANY_PORT;
    config.console = Some(console::Config {
        login: Login::None.into(),
        ..console::Config::default()
    });
    config.upstream.url = Some(format!("http://{upstream}").parse()?);
    config.journal.directory = scratch.0.join("journal");
    // Nobody waits a minute to see that a record is proven.
    config.journal.checkpoint_interval = Duration::from_secs(5);
    Ok(config)
}

/// Where traffic goes.
fn places(prod: &Simulated, stage: &Simulated) -> Vec<Place> {
    let place = |stage: &'static str, prefix: &str, simulated: &Simulated| Place {
        stage,
        prefix: prefix.to_owned(),
        simulator: simulated.simulator.clone(),
        tokens: Vec::new(),
    };
    vec![
        place("prod", "", prod),
        place("stage", &format!("/e/{STAGE}"), stage),
    ]
}

/// Two of them, as a gate has that serves several.
fn environments<T: serde::de::DeserializeOwned>(
    prod: SocketAddr,
    stage: SocketAddr,
) -> anyhow::Result<T> {
    let text = format!(
        "[prod]\nhosts = [\"127.0.0.1\"]\nupstream.url = \"http://{prod}\"\n\
         [stage]\nid = \"{STAGE}\"\nprefix = \"strip\"\nupstream.url = \"http://{stage}\"\n"
    );
    toml::from_str(&text).context("environments")
}

/// A copy of the policies that knows who belongs to which team, unless they know teams of their own.
fn with_teams(policies: &Path, scratch: &Scratch, teams: &str) -> anyhow::Result<PathBuf> {
    let copy = scratch.0.join("policies");
    copy_directory(policies, &copy)?;
    let file = copy.join("demo-teams.yaml");
    std::fs::write(&file, teams)?;
    if app::policies_at(&copy, &[]).is_err() {
        std::fs::remove_file(&file)?;
    }
    Ok(copy)
}

fn copy_directory(from: &Path, to: &Path) -> anyhow::Result<()> {
    let told = || from.display().to_string();
    std::fs::create_dir(to).with_context(|| to.display().to_string())?;
    for entry in std::fs::read_dir(from).with_context(told)? {
        let entry = entry.with_context(told)?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target).with_context(told)?;
        }
    }
    Ok(())
}

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Sends both requests and shows everything. Whether the answers were right.
async fn show(
    out: &mut impl Write,
    gate: SocketAddr,
    simulator: &Simulator,
    journal: &Path,
) -> anyhow::Result<bool> {
    writeln!(
        out,
        "1. The vendor's own example: 16 scopes, WriteConfig among them"
    )?;
    let before = token(out, simulator, "before")?;
    let (denied, answer) = put(out, gate, EXAMPLE).await?;
    let unchanged = token(out, simulator, "after ")? == before;
    writeln!(out, "\n2. A compliant request")?;
    let (allowed, _) = put(out, gate, COMPLIANT).await?;
    let after = token(out, simulator, "after ")?;
    writeln!(out, "\nThe journal (dtgate audit tail)")?;
    let mut lines = Lines::new(journal);
    while let Some(line) = lines.next_line()? {
        writeln!(out, "{}", render(&line.bytes))?;
    }
    let right = denied == StatusCode::FORBIDDEN
        && answer.contains("WriteConfig")
        && unchanged
        && allowed == StatusCode::NO_CONTENT
        && after.name == "payments-prod-ci";
    writeln!(
        out,
        "\n{}",
        if right {
            "Both answers were right."
        } else {
            "An answer was WRONG."
        }
    )?;
    Ok(right)
}

async fn put(
    out: &mut impl Write,
    gate: SocketAddr,
    body: &str,
) -> anyhow::Result<(StatusCode, String)> {
    let target = format!("http://{gate}/api/v1/tokens/{}", seeds::ADMIN.id);
    writeln!(out, "   PUT /api/v1/tokens/{}", seeds::ADMIN.id)?;
    let request = Request::put(target)
        .header(
            "authorization",
            format!("Api-Token {}", seeds::MANAGEMENT.secret),
        )
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_owned())))?;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await?;
    let status = response.status();
    let answer = response.into_body().collect().await?.to_bytes();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    writeln!(out, "   {status}")?;
    let value: Option<serde_json::Value> = serde_json::from_str(&answer).ok();
    if let Some(value) = value {
        for line in serde_json::to_string_pretty(&value)?.lines() {
            writeln!(out, "   {line}")?;
        }
    }
    Ok((status, answer))
}

/// Shows the token as the simulator has it.
fn token(out: &mut impl Write, simulator: &Simulator, when: &str) -> anyhow::Result<TokenView> {
    let token = simulator
        .token(seeds::ADMIN.id)
        .context("the simulator has lost the token")?;
    writeln!(out, "   {when} {}: {}", token.name, token.scopes.join(", "))?;
    Ok(token)
}

fn hints(
    out: &mut impl Write,
    gate: SocketAddr,
    admin: SocketAddr,
    journal: &Path,
) -> io::Result<()> {
    let auth = format!("-H 'Authorization: Api-Token {}'", seeds::API_TOKENS.secret);
    writeln!(
        out,
        "\nThe gate stays up (Ctrl-C ends it, and removes its journal). Look at http://{admin}{ROOT} with a browser, or try:\n"
    )?;
    writeln!(out, "curl -i http://{gate}/api/v2/apiTokens {auth}")?;
    writeln!(
        out,
        "curl -i -X POST http://{gate}/api/v2/apiTokens {auth} \\\n  -H 'Content-Type: application/json' -d '{{\"name\":\"payments-prod-ci\",\"scopes\":[\"metrics.read\"]}}'"
    )?;
    writeln!(
        out,
        "curl -i -X POST http://{gate}/api/v2/apiTokens {auth} \\\n  -H 'Content-Type: application/json' -d '{{\"name\":\"x\",\"scopes\":[\"apiTokens.write\"]}}'"
    )?;
    writeln!(
        out,
        "curl http://{admin}/readyz; curl http://{admin}/metrics"
    )?;
    writeln!(
        out,
        "dtgate audit query --journal {0}\ndtgate audit stats --journal {0} --by policy\ndtgate audit verify --journal {0}",
        journal.display()
    )?;
    out.flush()
}

/// A directory that ends with the demo, or with another command.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("dtgate-demo-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "left behind");
        }
    }
}
