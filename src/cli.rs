//! The commands: arguments in, an exit code out.
//!
//! 0: fine. 1: could not do it. 2: did it, and the answer is no (a test failed, a chain is broken, a
//! request is denied). Data goes to standard output, logs and errors to standard error.

mod audit;
mod build;
mod check;
mod console;
mod curl;
mod demo;
mod endpoints;
mod eval;
mod grant;
mod health;
mod man;
mod new;
mod output;
mod place;
mod playground;
mod replay;
mod schema;
mod scopes;
mod test;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::Value;

use crate::app::{self, App, Hangup};
use crate::audit::Durability;
use crate::config::{self, Config};
use crate::gateway::upstream::Base;
use crate::listener::{BindError, Files, Tls};
use crate::policy::LoadError;
use crate::simulate::{self, Simulator};
use crate::telemetry::{self, Metrics};
use crate::value::threads;
use crate::value::{listening, visible_json, with_causes};

pub use output::{Output, ended_unread};

/// The policy gate in front of the Dynatrace API.
#[derive(Debug, Parser)]
#[command(name = "dtgate", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look at the journal, or prove that nobody changed it
    #[command(subcommand)]
    Audit(audit::Command),
    /// Make an OPA bundle of policies, and sign it
    Build(build::Build),
    /// Load configuration and policies as `serve` does, report what is wrong, and start nothing
    Check(check::Check),
    /// Print what your shell needs to complete commands and flags
    Completions(man::Completions),
    /// Show pages about a journal or a store: decisions, tokens, callers, policies, a playground
    Console(console::Console),
    /// Show dtgate at work: a simulated Dynatrace, the shipped policies, two requests, the journal
    Demo(demo::Demo),
    /// List the endpoints that dtgate guards or knows: operation, handling, method, path, and why
    Endpoints(endpoints::Endpoints),
    /// Judge one request, from a file or as a curl line: show the decision, the violations, and the lines that were evaluated
    Eval(eval::Eval),
    /// Let one request pass that policies deny: ask for it, approve it, look at it
    #[command(subcommand)]
    Grant(grant::Command),
    /// Ask the gate that runs here whether it lives: 0 for yes, 1 for no
    Health(health::Health),
    /// Print the manual page, or write a page a command into a directory
    Man(man::Man),
    /// Write a policy to begin with, and its test
    #[command(subcommand)]
    New(new::New),
    /// Judge for the playground of the console, which calls it
    #[command(hide = true)]
    PlaygroundWorker(playground::Playground),
    /// Show the policies that are in a directory
    #[command(subcommand)]
    Policies(audit::Policies),
    /// Judge the decisions of a journal again, under other policies: what would be decided otherwise, and about whom
    Replay(replay::Replay),
    /// Print what dtgate writes, as JSON Schema
    #[command(subcommand)]
    Schema(schema::Command),
    /// Compare the shipped scopes and endpoints with Dynatrace's own
    #[command(subcommand)]
    Scopes(scopes::Command),
    /// Run the gate
    Serve(Box<Serve>),
    /// Run a Dynatrace token API in memory, to try dtgate without Dynatrace
    Simulate(Simulate),
    /// Run the tests of policies, as `opa test`
    Test(test::Test),
}

/// The form of what a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For programs
    Json,
    /// For people
    Pretty,
}

#[derive(Debug, Args)]
struct Serve {
    /// Configuration file; every flag here overrides it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where clients connect [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", value_parser = listening)]
    listen: Option<SocketAddr>,
    /// Where /healthz, /readyz and /metrics are [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDRESS", value_parser = listening)]
    admin: Option<SocketAddr>,
    /// Where requests go: http://… or https://…
    #[arg(long, value_name = "URL")]
    upstream: Option<Base>,
    /// PEM file of the authorities to trust for the upstream, instead of the system's
    #[arg(long, value_name = "FILE")]
    upstream_ca: Option<PathBuf>,
    /// Threads that serve connections [default: one a core]
    #[arg(long, value_name = "NUMBER")]
    workers: Option<NonZeroU16>,
    /// Directory of policies [default: policies]
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// Take bundles of policies that are older than what was in force, for this reason, which is recorded
    #[arg(long, value_name = "REASON", value_parser = config::reason)]
    allow_rollback: Option<String>,
    /// Directory of the journal [default: journal]
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// When a record counts as written [default: synced]
    #[arg(long)]
    durability: Option<Durability>,
    /// Certificate of the TLS listener (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// Key of the TLS listener (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Listen without TLS beyond loopback: tokens then cross the network readable
    #[arg(long)]
    allow_plaintext: bool,
    /// Form of the log
    #[arg(long, value_name = "FORMAT")]
    log: Option<telemetry::Format>,
}

#[derive(Debug, Args)]
struct Simulate {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", value_parser = listening, default_value = "127.0.0.1:9100")]
    listen: SocketAddr,
    /// Redirect every request to a login page, as Dynatrace does with misrouted requests
    #[arg(long)]
    redirect_to_login: bool,
}

/// Runs the command of the arguments. Errors are for the caller to print.
pub fn run(cli: Cli, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Audit(command) => command.run(out),
        Command::Build(build) => build.run(out),
        Command::Check(check) => check.run(out),
        Command::Completions(completions) => completions.run(out),
        Command::Console(console) => block_on(console.run(out)),
        Command::Demo(demo) => block_on(demo.run(out)),
        Command::Endpoints(endpoints) => endpoints.run(out),
        Command::Eval(eval) => eval.run(out),
        Command::Grant(command) => command.run(out),
        Command::Health(health) => health.run(out),
        Command::Man(man) => man.run(out),
        Command::New(new) => new.run(out),
        Command::PlaygroundWorker(playground) => playground.run(out),
        Command::Policies(policies) => policies.run(out),
        Command::Replay(replay) => replay.run(out),
        Command::Schema(command) => command.run(out),
        Command::Scopes(command) => command.run(out),
        Command::Serve(serve) => serve.run(),
        Command::Simulate(simulate) => block_on(simulate.run(out)),
        Command::Test(test) => test.run(out),
    }
}

fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    threads::runtime_beside()
        .enable_all()
        .build()
        .context("runtime")?
        .block_on(future)
}

impl Serve {
    /// The file, and what the command line overrides.
    fn config(&self) -> anyhow::Result<Config> {
        let mut config = load(self.config.as_ref())?;
        set(&mut config.listener.listen, self.listen);
        set(&mut config.admin.listen, self.admin);
        set(&mut config.listener.workers, self.workers);
        config.policies.directory_is_given = self.policies.is_some();
        set(&mut config.policies.directory, self.policies.clone());
        config.policies.allow_rollback = self
            .allow_rollback
            .clone()
            .or(config.policies.allow_rollback);
        set(&mut config.journal.directory, self.journal.clone());
        set(&mut config.journal.durability, self.durability);
        set(&mut config.log.format, self.log);
        config.upstream.url = self.upstream.clone().or(config.upstream.url);
        config.upstream.ca = self.upstream_ca.clone().or(config.upstream.ca);
        config.listener.allow_plaintext |= self.allow_plaintext;
        if let (Some(certificate), Some(key)) = (&self.tls_certificate, &self.tls_key) {
            let files = Files {
                certificate: certificate.clone(),
                key: key.clone(),
            };
            match &mut config.listener.tls {
                Some(tls) => tls.files = files,
                none => *none = Some(Tls::from(files)),
            }
        }
        Ok(config)
    }

    fn run(self) -> anyhow::Result<ExitCode> {
        let (file, is_given) = (self.config.clone(), self.policies.is_some());
        let prepared = self.config()?;
        if !prepared.policies.bundles.is_empty() {
            let fetched = block_on(async { Ok(app::prepare(&prepared, true).await?) });
            fetched.map_err(|error| prepared.hidden().error(error))?;
        }
        let (source, config) = app::Source::new(file, move || self.config())?;
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"));
        // This thread only accepts connections, answers operators and waits for signals: requests are served
        // by the workers.
        let mut runtime = threads::runtime_here();
        let runtime = runtime.enable_all().build().context("runtime")?;
        // Before anything is written: a file that may not grow must not end the program.
        let (shutdown, hangups) = {
            let _on = runtime.enter();
            app::signals(Hangup::Reloads).context("signals")?
        };
        let log = telemetry::init(&config.log, &metrics).context("log")?;
        let ended = runtime.block_on(async {
            let app = App::build(&config, metrics, log.access()).map_err(|error| {
                let is_unread = error
                    .chain()
                    .any(<dyn std::error::Error + 'static>::is::<LoadError>);
                let directory = config.directory().filter(|_| is_unread && !is_given);
                let missing = directory.map(|it| place::POLICIES.expect(it, Some(&config)));
                missing.and_then(Result::err).unwrap_or(error)
            })?;
            let app = app.reloading(source, hangups);
            tracing::info!(listen = %app.address(), admin = %app.admin_address(), "serving");
            app.run(shutdown).await?;
            tracing::info!("stopped");
            anyhow::Ok(ExitCode::SUCCESS)
        });
        // What still blocks a thread (a disk that hangs) has had its time.
        runtime.shutdown_background();
        Ok(ended.unwrap_or_else(|error| {
            let error = config.hidden().error(error);
            // By the log's way: who reads it may not read, and the end must not wait for that.
            log.say(format_args!("dtgate: {}", with_causes(error.as_ref())));
            ExitCode::FAILURE
        }))
    }
}

impl Simulate {
    async fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let (shutdown, _hangups) = app::signals(Hangup::Ends).context("signals")?;
        let socket = tokio::net::TcpListener::bind(self.listen)
            .await
            .map_err(|error| BindError::Address {
                address: self.listen,
                error,
            })
            .map_err(|error| anyhow!("{error} (--listen)"))?;
        writeln!(
            out,
            "The Dynatrace token API, in memory, at http://{}",
            socket.local_addr()?
        )?;
        for seed in simulate::seeds::ALL {
            writeln!(out, "  {:<18} {:<38} {}", seed.name, seed.id, seed.secret)?;
        }
        out.flush()?;
        let options = simulate::Options {
            redirect_to_login: self.redirect_to_login,
            ..simulate::Options::default()
        };
        let simulator = Simulator::seeded(options, app::now);
        simulate::serve(socket, simulator, shutdown.cancelled_owned()).await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// One line of JSON in which nothing is hidden.
fn print_json(out: &mut impl Write, value: &Value) -> io::Result<()> {
    writeln!(out, "{}", visible_json(&value.to_string()))
}

fn load(path: Option<&PathBuf>) -> anyhow::Result<Config> {
    Ok(path
        .map(|path| Config::load(path))
        .transpose()?
        .unwrap_or_default())
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_override_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dtgate.toml");
        std::fs::write(
            &path,
            "[upstream]\nurl = \"http://a\"\n[journal]\ndirectory = \"j\"\n",
        )
        .unwrap();
        let line = [
            "dtgate",
            "serve",
            "--config",
            path.to_str().unwrap(),
            "--upstream",
            "http://b",
        ];
        let Command::Serve(serve) = Cli::parse_from(line).command else {
            panic!("serve is serve");
        };
        let config = serve.config().unwrap();
        assert_eq!(config.upstream.url.unwrap().to_string(), "http://b");
        assert_eq!(config.journal.directory, PathBuf::from("j"));
    }
}
