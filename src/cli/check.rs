//! `dtgate check`: loads configuration and policies as `serve` does, says what is wrong, and starts nothing.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use super::demo::Scratch;
use super::{Format, block_on, load, place, print_json, set};
use crate::anchor;
use crate::app;
use crate::app::activation::{self, Reading};
use crate::audit::pseudonym::Field;
use crate::audit::{Directory, checkpoint, index};
use crate::bundles;
use crate::config::{Config, NEEDS_A_RESTART};
use crate::dynatrace::catalogue::Catalogue;
use crate::gateway::{Failures, UnknownWrites, Unsent, environment::Environments, lookup::Lookup};
use crate::identity::{Teams, Tokens};
use crate::listener::descriptors;
use crate::policy::{Entrypoint, Other, Policy, Problem, Release, Sources, Trusted, suite};
use crate::ship;
use crate::store;
use crate::telemetry::Metrics;
use crate::value::{Visible, VisibleLines, counted};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of policies [default: policies]
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// A rule that judges besides the policies, as those of OPA's Envoy plugin do: envoy/authz/allow; may be repeated, and comes
    /// besides those of the configuration
    #[arg(long = "entrypoint", value_name = "PATH")]
    entrypoints: Vec<Entrypoint>,
    /// How many made-up requests both engines are compared on, besides those in the policies' tests
    #[arg(long, value_name = "NUMBER", default_value_t = app::COMPARED)]
    compare: usize,
    /// Start of the random numbers that make up these requests
    #[arg(long, value_name = "NUMBER", default_value_t = app::SEED)]
    seed: u64,
    /// Take warnings for errors
    #[arg(long)]
    strict: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

/// What is well enough to start.
struct Checked {
    policy: Policy,
    /// What the configuration changes about endpoints, and how many connections there are descriptors for.
    changes: Vec<String>,
    /// What becomes of records.
    records: Vec<String>,
    short: Option<String>,
    /// Of TLS; it is of no line of a file.
    shaky: Vec<String>,
    /// Of the configuration, the policies and their tests.
    doubts: Vec<Problem>,
    /// How many tests the policies have; `None`: nobody wants them run.
    tests: Option<usize>,
    /// How many requests are decided as they have to be (`policies.activation.requests`).
    requests: usize,
}

impl Check {
    /// Whatever is said holds no secret that stands in the configuration by mistake.
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let config = load(self.config.as_ref())?;
        let hidden = config.hidden();
        let mut said = Vec::new();
        let checked = self.check(config, &mut said);
        write!(out, "{}", hidden.text(&String::from_utf8_lossy(&said)))?;
        checked.map_err(|error| hidden.error(error))
    }

    fn check(self, mut config: Config, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        config.policies.directory_is_given = self.policies.is_some();
        set(&mut config.policies.directory, self.policies.clone());
        (config.policies.entrypoints).extend(self.entrypoints.iter().cloned());
        let _fetched = fetched(&mut config)?;
        let shaky = app::check_listeners(&config)?;
        check_records(&config)?;
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"));
        let tokens = Tokens::new(&config.identity, &metrics, app::now)?;
        let catalogue = app::catalogue(&config)?;
        let short = app::descriptors(&config).of(descriptors::allowed()).err();
        let environments = self
            .config
            .is_some()
            .then(|| Environments::new(config.sections(), None, &metrics));
        let environments = environments.transpose()?;
        let policies = &config.policies;
        let directory = config.directory().filter(|_| self.policies.is_none());
        if let Some(directory) = directory {
            place::POLICIES.expect(directory, Some(&config))?;
        }
        let sources = match &self.policies {
            // Also one that is made and not signed yet.
            Some(path) if self.config.is_none() => {
                Sources::at(path).with(&config.policies.entrypoints)
            }
            _ => app::sources(&config)?,
        };
        let policy = match Policy::load_all(&sources, policies.time_limit.into()) {
            Ok(policy) => policy,
            Err(error) => return self.refuse_all(out, &error.problems),
        };
        // Without a configuration nobody knows the issuers.
        let teams = app::teams(&policy, self.config.as_ref().map(|_| &tokens))?;
        if let Err(error) = config.check_together(&teams) {
            return self.refuse_all(out, &error.problems);
        }
        let lookup = Lookup::new(&config.lookup, &policy).context("lookup.token_file")?;
        let rehearsed = app::rehearse(&config, &policy, &catalogue, &lookup, environments.as_ref());
        let unsent = match rehearsed {
            Ok(unsent) => unsent,
            Err(Failures(failures)) => return self.refuse(out, &failures, &[]),
        };
        let reading = Reading {
            catalogue: &catalogue,
            teams: &teams,
            environments: environments.as_ref(),
        };
        let requests = match activation::requests(&config, &policy, reading) {
            Ok(requests) => requests,
            Err(error) => return self.refuse(out, &[format!("{error:#}")], &[]),
        };
        let mut doubts = self.doubts(&config, &policy, &teams, &unsent);
        doubts.extend(challenger(&config, &policy, environments.as_ref()));
        let tests = config.reload.require_tests.then(|| {
            let (number, failed) = suite::failures(&sources, config.reload.test_timeout.as_std());
            doubts.extend(failed.into_iter().map(refused_by_a_reload));
            number
        });
        let records = match &self.config {
            Some(_) => records(&config, &policy),
            None => Vec::new(),
        };
        let checked = Checked {
            policy,
            changes: changes(&config, &catalogue),
            records,
            short: short.map(|short| short.to_string()),
            shaky,
            doubts,
            tests,
            requests,
        };
        if self.strict && checked.said().next().is_some() {
            let said: Vec<String> = checked.said().collect();
            return self.refuse(out, &said, &diagnostics(&checked.doubts, "error"));
        }
        let bytecode = config.policies.bytecode;
        let trusted = checked.policy.prove(bytecode, self.compare, self.seed);
        self.tell(out, &checked, &trusted)?;
        Ok(ExitCode::SUCCESS)
    }

    /// What the configuration and the policies say, and may not be meant.
    fn doubts(
        &self,
        config: &Config,
        policy: &Policy,
        teams: &Teams,
        unsent: &Unsent,
    ) -> Vec<Problem> {
        let mut doubts = match &self.config {
            Some(_) => app::doubts(config, policy, teams),
            None => Vec::new(),
        };
        doubts.extend(policy.warnings().iter().cloned());
        doubts.extend(app::ended(policy));
        doubts.extend(not_kept(config, policy));
        let unsent = unsent.iter();
        doubts.extend(unsent.map(|(entrypoint, reason)| not_sent(config, entrypoint, reason)));
        doubts
    }

    /// Says what was found.
    fn tell(
        &self,
        out: &mut impl Write,
        checked: &Checked,
        trusted: &Trusted,
    ) -> anyhow::Result<()> {
        let Checked {
            policy,
            changes,
            records,
            short,
            shaky,
            doubts,
            tests,
            requests,
        } = checked;
        let names: Vec<&str> = policy.names().collect();
        let releases: Vec<&Release> = policy.releases().collect();
        match self.format {
            Format::Json => print_json(
                out,
                &json!({
                    "ok": true, "policies": names, "revision": policy.revision(), "bundles": releases,
                    "endpoints": changes,
                    "journal": records, "evaluator": trusted, "descriptors": short, "tls": shaky,
                    "tests": tests, "requests": requests, "diagnostics": diagnostics(doubts, "warning"),
                }),
            )?,
            Format::Pretty => {
                let listed = names.join(", ");
                let number = counted(names.len(), "policy");
                writeln!(out, "{number}: {}", Visible(listed))?;
                writeln!(out, "revision {}", policy.revision())?;
                for release in releases {
                    writeln!(out, "{}", Visible(shown(release)))?;
                }
                writeln!(out, "judged by {}", VisibleLines(&trusted))?;
                let others = trusted.others();
                let width = others.iter().map(|other| other.policy.len()).max();
                for Other { policy, reason } in others {
                    let width = width.unwrap_or(0);
                    writeln!(out, "  {policy:width$}  {}", Visible(reason))?;
                }
                if self.config.is_some() {
                    writeln!(out, "note: a change of {NEEDS_A_RESTART} needs a restart")?;
                }
                for line in records.iter().chain(changes).chain(short) {
                    writeln!(out, "note: {line}")?;
                }
                for warning in checked.said() {
                    writeln!(out, "warning: {}", Visible(warning))?;
                }
                writeln!(out, "{}", checked.verdict())?;
            }
        }
        Ok(())
    }

    fn refuse_all(&self, out: &mut impl Write, problems: &[Problem]) -> anyhow::Result<ExitCode> {
        let said: Vec<String> = problems.iter().map(Problem::to_string).collect();
        self.refuse(out, &said, &diagnostics(problems, "error"))
    }

    /// Says what is wrong.
    fn refuse(
        &self,
        out: &mut impl Write,
        problems: &[String],
        diagnostics: &[Value],
    ) -> anyhow::Result<ExitCode> {
        match self.format {
            Format::Json => {
                let said = json!({"ok": false, "problems": problems, "diagnostics": diagnostics});
                print_json(out, &said)?;
            }
            // As of every command: to standard error.
            Format::Pretty => bail!("{}", problems.join("\n")),
        }
        Ok(ExitCode::from(1))
    }
}

/// Whether records can be kept, and sent where they have to go.
fn check_records(config: &Config) -> anyhow::Result<()> {
    app::check_otlp(config)?;
    Directory::check(&config.journal.directory).context("journal")?;
    let origin = config.journal.origin.as_ref();
    checkpoint::key::check(&config.journal.directory, origin).context("journal")?;
    ship::check(&config.ship).context("ship")?;
    let store = config.store.as_ref().map(store::check);
    store.transpose().context("store")?;
    anchor::check(&config.journal.checkpoints).context("journal.checkpoints")?;
    index::check(&config.journal.directory, &config.journal.index_path()).context("journal")?;
    Ok(())
}

/// Fetches bundles that no gate has fetched yet, as it would at its first start, and keeps nothing of them.
fn fetched(config: &mut Config) -> anyhow::Result<Option<Scratch>> {
    let policies = &config.policies;
    let mut is_missing = false;
    for (name, bundle) in &policies.bundles {
        let checked = bundle.remote().map(bundles::Remote::check).transpose();
        let is_remote = checked.with_context(|| format!("policies.bundles.{name}"))?;
        is_missing |= is_remote.is_some() && !bundle.path(&policies.state, name).exists();
    }
    if !is_missing {
        return Ok(None);
    }
    let scratch = Scratch::new()?;
    // What is known of the others counts all the same.
    let state = std::mem::replace(&mut config.policies.state, scratch.0.clone());
    bundles::copy_state(&state, &scratch.0).context("policies.state")?;
    block_on(async { Ok(app::prepare(config, false).await?) })?;
    Ok(Some(scratch))
}

impl Checked {
    fn said(&self) -> impl Iterator<Item = String> {
        let doubts = self.doubts.iter().map(Problem::to_string);
        self.shaky.iter().cloned().chain(doubts)
    }

    /// What it comes to.
    fn verdict(&self) -> String {
        let tests = match self.tests {
            Some(number) => format!("{} run", counted(number, "test")),
            None => "no test run, as reload.require_tests says".to_owned(),
        };
        let requests = match self.requests {
            0 => String::new(),
            number => format!(", {} decided as wanted", counted(number, "request")),
        };
        match self.said().count() {
            0 => format!("all is well ({tests}{requests})"),
            warnings => format!(
                "no error, and {} ({tests}{requests})",
                counted(warnings, "warning")
            ),
        }
    }
}

/// Why nobody would find these policies again by the revision in a record.
fn not_kept(config: &Config, policy: &Policy) -> Option<Problem> {
    let error = policy.kept().err()?;
    let message = format!(
        "these policies would be in force and not be kept, so that dtgate policies show finds them never: as one archive, {error}"
    );
    Some(config.problem(&["policies"], &message))
}

/// Why a challenger cannot be asked.
fn challenger(
    config: &Config,
    policy: &Policy,
    environments: Option<&Environments>,
) -> Option<Problem> {
    let wanted = config.policies.challenger.as_ref()?;
    let error = app::challenger(wanted, config, policy, environments).err()?;
    let message = format!("serve would go on without it: {error:#}");
    Some(config.problem(&["policies", "challenger"], &message))
}

/// Of an entrypoint, that the usual answer is sent instead of the one that it wrote, and why.
fn not_sent(config: &Config, entrypoint: &str, reason: &str) -> Problem {
    let message = format!(
        "{entrypoint}: the answer that it writes cannot be sent, and the usual one is: {reason}"
    );
    config.problem(&["policies", "entrypoints"], &message)
}

/// A bundle, as far as it says what it is.
fn shown(release: &Release) -> String {
    let said = [
        release
            .revision
            .as_ref()
            .map(|it| format!("revision {it}, ")),
        release.sequence.map(|it| format!("sequence {it}, ")),
    ];
    let said: String = said.into_iter().flatten().collect();
    format!("bundle {}: {said}sha256 {}", release.name, release.digest)
}

/// What is to be said of a test that does not pass: `serve` starts all the same.
fn refused_by_a_reload(failed: Problem) -> Problem {
    let message = format!(
        "{}: a reload would be refused (reload.require_tests); see dtgate test",
        failed.message
    );
    Problem { message, ..failed }
}

/// What becomes of records: how long they are kept, what is not readable in them, where they are sent, and where their
/// checkpoints go.
fn records(config: &Config, policy: &Policy) -> Vec<String> {
    let journal = &config.journal;
    let retention = &journal.retention;
    let limits = [
        retention.max_age.map(|age| format!("older than {age}")),
        retention
            .max_size
            .map(|size| format!("beyond {size} in all")),
    ];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    let mut said = vec![match &*limits {
        [] => "journal: nothing is ever deleted".to_owned(),
        limits => format!("journal: segments {} are deleted", limits.join(" or ")),
    }];
    if policy.mask().is_some() {
        said.push("journal: the policies mask or drop records (system.log)".to_owned());
    }
    let fields: Vec<&str> = journal.pseudonyms.fields.iter().map(Field::name).collect();
    if !fields.is_empty() {
        let has_claims = fields.iter().any(|it| it.starts_with("caller.jwt.claims."));
        let claims = if has_claims {
            ", or claims as a whole"
        } else {
            ""
        };
        said.push(format!(
            "journal: pseudonyms stand for {}; replay cannot judge by a policy that reads one of them{}",
            fields.join(", "),
            claims
        ));
    }
    let sinks = config.ship.kept_for();
    if !sinks.is_empty() {
        said.push(format!(
            "journal: records are sent to {}; none is deleted before it has arrived there",
            sinks.join(", ")
        ));
    }
    let webhooks = config.ship.webhooks();
    if !webhooks.is_empty() {
        said.push(format!(
            "journal: what is selected is sent to {}; records are deleted without waiting for that",
            webhooks.join(", ")
        ));
    }
    let to = &journal.checkpoints;
    let witnesses = to.witness.iter().map(|witness| witness.url.to_string());
    let places = [
        to.file.as_ref().map(|file| file.display().to_string()),
        to.log.then(|| "the log".to_owned()),
        to.url.as_ref().map(ToString::to_string),
    ];
    let places: Vec<String> = places.into_iter().flatten().chain(witnesses).collect();
    said.push(match &*places {
        [] => {
            "journal: checkpoints go nowhere else, so that nobody could prove that its end was cut"
                .to_owned()
        }
        places => format!("journal: checkpoints go to {}", places.join(", ")),
    });
    said
}

/// What the configuration changes about endpoints.
fn changes(config: &Config, catalogue: &Catalogue) -> Vec<String> {
    let overridden = catalogue.overridden();
    let mut changes: Vec<String> = overridden
        .map(|(operation, documented, wanted)| {
            format!("{operation} is handled as {wanted}, not {documented}")
        })
        .collect();
    let unknown = config.unknown_writes;
    if unknown != UnknownWrites::default() {
        changes.push(format!("unknown_writes is {}", json!(unknown)));
    }
    changes
}

/// What editors show at its place.
fn diagnostics(problems: &[Problem], severity: &str) -> Vec<Value> {
    let shown = problems.iter().map(|problem| {
        let Problem {
            path,
            line,
            column,
            message,
        } = problem;
        json!({"file": path, "row": line, "column": column, "severity": severity, "message": message})
    });
    shown.collect()
}
