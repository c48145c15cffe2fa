//! What is read from files and checked before it may judge: at the start, and again whenever it is read again.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::memory;
use super::{activation, generations};
use crate::bundles;
use crate::config::Config;
use crate::dynatrace::catalogue::Catalogue;
use crate::gateway::{self, Set, UnknownWrites, Wanted, environment::Environments, lookup::Lookup};
use crate::identity::{Proofs, Teams, Tokens};
use crate::policy::{Entrypoint, Packed, Policy, Problem, Sources, suite};
use crate::store::Whose;
use crate::telemetry::Metrics;

/// Reads policies, authorities and tokens, and has one request of every kind judged.
///
/// `before`: what was in force so far. Policies that are the same stay the same, and need not be compared again.
pub(super) fn load(
    config: &Config,
    metrics: &Metrics,
    before: Option<(&Config, &Set)>,
) -> anyhow::Result<Wanted> {
    let reached_before = before.map(|(_, set)| set.environments());
    let environments = Environments::new(config.sections(), reached_before, metrics)?;
    let in_force = before.map(|(_, set)| set.policy());
    let mut policy = policies(sources(config)?, config, in_force)?;
    if let Some((of, set)) = before
        && set.policy().revision() == policy.revision()
        && set.policy().releases().eq(policy.releases())
        // Tests are in no revision.
        && set.policy().kept_content() == policy.kept_content()
        && of.policies.judging() == config.policies.judging()
    {
        policy = set.policy().clone();
    }
    let lookup = Lookup::new(&config.lookup, &policy).context("lookup.token_file")?;
    let shared = config.store.as_ref().filter(|it| it.turns == Whose::Store);
    let lookup = match shared {
        Some(store) => lookup.behind(store.turn_wait),
        None => lookup,
    };
    let tokens = match before {
        Some((_, set)) => set.tokens().renew(&config.identity)?,
        None => Tokens::new(&config.identity, metrics, super::now)?,
    };
    let parts = Parts {
        environments,
        lookup,
        tokens,
    };
    checked(config, policy, parts, before.map(|(_, set)| set))
}

/// What servers have, beside all else as it is in force. Nothing else is read again but the requests that bundles have to
/// show themselves by.
pub(super) fn load_beside(
    config: &Config,
    sources: Sources,
    in_force: &Set,
) -> anyhow::Result<Wanted> {
    let policy = policies(sources, config, Some(in_force.policy()))?;
    let parts = Parts {
        environments: in_force.environments().clone(),
        lookup: in_force.lookup().of(&policy),
        tokens: in_force.tokens().clone(),
    };
    checked(config, policy, parts, Some(in_force))
}

/// What a set has besides its policies, of files and secrets.
struct Parts {
    environments: Environments,
    lookup: Lookup,
    tokens: Tokens,
}

/// Has policies show that they may judge.
fn checked(
    config: &Config,
    policy: Policy,
    parts: Parts,
    before: Option<&Set>,
) -> anyhow::Result<Wanted> {
    let Parts {
        environments,
        lookup,
        tokens,
    } = parts;
    let catalogue = catalogue(config)?;
    let teams = teams(&policy, Some(&tokens))?;
    config.check_together(&teams)?;
    rehearse(config, &policy, &catalogue, &lookup, Some(&environments))?;
    let reading = activation::Reading {
        catalogue: &catalogue,
        teams: &teams,
        environments: Some(&environments),
    };
    activation::requests(config, &policy, reading)?;
    match before {
        Some(set) if set.policy().revision() != policy.revision() => {
            activation::replay(config, &policy, Some(set.policy()))?;
        }
        None if generations::is_new(&config.journal.directory, policy.revision())? => {
            first_time(config, &policy).context(NEVER_IN_FORCE)?;
        }
        _ => {}
    }
    Ok(Wanted {
        limits: config.limits,
        catalogue,
        environments,
        lookup,
        policy,
        unknown_writes: config.unknown_writes,
        tokens,
        forwarded: config.identity.forwarded.clone(),
        teams,
        proofs: Proofs::of(&config.identity, config.asks_for_certificates()),
        grants: config.grants.clone(),
    })
}

/// Policies that a start would put in force for the first time show what a reload asks of them: it may have refused
/// them.
fn first_time(config: &Config, policy: &Policy) -> anyhow::Result<()> {
    if config.reload.require_tests {
        pass_their_tests(&sources(config)?, config)?;
    }
    let last = generations::newest(&config.journal.directory)?;
    let last =
        last.and_then(|path| policies_with_those_of(&path, &config.policies.entrypoints).ok());
    activation::replay(config, policy, last.as_ref())
}

const NEVER_IN_FORCE: &str = "these policies were never in force here, and a reload would refuse them: put back those \
                              that were, or see what is asked of them";

/// Sees to it that bundles that servers have are there; at a start, those that were in force last.
pub async fn prepare(config: &Config, is_start: bool) -> Result<(), bundles::Missing> {
    let policies = &config.policies;
    let (is_shared, now) = (is_shared(config), super::now());
    let none = BTreeMap::new();
    let all = &policies.bundles;
    let known = is_start.then(|| memory::known_or_nothing(config));
    bundles::prepare(
        &policies.state,
        all,
        is_shared,
        known.as_deref(),
        &none,
        now,
    )
    .await
}

/// The same while a gate runs: it fetches those `running` by itself.
pub(super) async fn prepare_others(
    config: &Config,
    running: &Config,
) -> Result<(), bundles::Missing> {
    let policies = &config.policies;
    let (is_shared, now) = (is_shared(config), super::now());
    let (all, running) = (&policies.bundles, &running.policies.bundles);
    bundles::prepare(&policies.state, all, is_shared, None, running, now).await
}

/// Whether no bundle is alone.
pub(super) fn is_shared(config: &Config) -> bool {
    config.directory().is_some() || config.policies.bundles.len() > 1
}

/// Loads policies the way `serve` and `check` do. Bundles are no older than those `in_force`, whatever is remembered.
fn policies(
    mut sources: Sources,
    config: &Config,
    in_force: Option<&Policy>,
) -> anyhow::Result<Policy> {
    if let Some(in_force) = in_force
        && config.policies.allow_rollback.is_none()
    {
        for bundle in &mut sources.bundles {
            memory::add(&mut bundle.before, in_force);
        }
    }
    // What is wrong with them says where; nothing has to stand before it.
    Ok(Policy::load_all(
        &sources,
        config.policies.time_limit.into(),
    )?)
}

/// Policies that can be asked beside those in force, checked as those are. They are told what those are told: what they
/// read beyond that they could only judge as absent.
pub fn challenger(
    wanted: &bundles::Challenger,
    config: &Config,
    in_force: &Policy,
    environments: Option<&Environments>,
) -> anyhow::Result<Policy> {
    let sources = wanted.sources().with(&config.policies.entrypoints);
    let policy = Policy::load_all(&sources, config.policies.time_limit.into())?;
    let told = [
        (policy.reads_the_token(), in_force.reads_the_token(), TOKEN),
        (policy.reads_envoy(), in_force.reads_envoy(), ENVOY),
        (policy.reads_recent(), in_force.reads_recent(), RECENT),
    ];
    for (reads, is_there, what) in told {
        if reads && !is_there {
            anyhow::bail!(
                "its policies read {what}, which is made only where a policy in force reads it: let one of those read it, \
                 in mode dry_run if it is not to refuse anybody yet"
            );
        }
    }
    let lookup = Lookup::new(&config.lookup, &policy).context("lookup.token_file")?;
    rehearse(config, &policy, &catalogue(config)?, &lookup, environments)?;
    if config.reload.require_tests {
        pass_their_tests(&sources, config)?;
    }
    Ok(policy)
}

/// The policies' own tests, those that `dtgate test` runs.
pub(super) fn pass_their_tests(sources: &Sources, config: &Config) -> anyhow::Result<()> {
    let mut report = Vec::new();
    let options = suite::Options {
        within: Some(config.reload.test_timeout.as_std()),
        ..suite::Options::default()
    };
    let outcome = suite::run_all(sources, &options, &mut report);
    match outcome.context("tests")? {
        suite::Outcome::Passed => Ok(()),
        suite::Outcome::Empty | suite::Outcome::Failed => anyhow::bail!(
            "the policies do not pass their tests (reload.require_tests):\n{}",
            String::from_utf8_lossy(&report).trim_end()
        ),
    }
}

const TOKEN: &str = "the token as it is (input.token.current, the difference to it)";
const RECENT: &str = "what the caller did before (input.caller.recent)";
const ENVOY: &str = "the request in the shape of OPA-Envoy (input.attributes, input.parsed_body)";

/// Loads those of a directory or of a bundle, to look at them.
pub fn policies_at(path: &Path, entrypoints: &[Entrypoint]) -> anyhow::Result<Policy> {
    load_at(&Sources::at(path).with(entrypoints))
}

/// The same, with those of these entrypoints that are there.
pub fn policies_with_those_of(path: &Path, entrypoints: &[Entrypoint]) -> anyhow::Result<Policy> {
    load_at(&Sources::at(path).with_those_of(entrypoints))
}

fn load_at(sources: &Sources) -> anyhow::Result<Policy> {
    let limit = Config::default().policies.time_limit;
    Ok(Policy::load_all(sources, limit.into())?)
}

/// Where the policies come from, and what of the bundles must not be older than it is.
pub fn sources(config: &Config) -> anyhow::Result<Sources> {
    let policies = &config.policies;
    let is_shared = is_shared(config);
    let before = match policies.allow_rollback {
        None if !policies.bundles.is_empty() => memory::known(config)?,
        _ => Vec::new(),
    };
    let bundles = policies.bundles.iter().map(|(name, bundle)| {
        let file = bundle.path(&policies.state, name);
        if let Some(remote) = bundle.remote()
            && !file.exists()
        {
            anyhow::bail!(
                "policies.bundles.{name}: it was not fetched yet from {}: dtgate serve does that when it starts",
                remote.shown()
            );
        }
        anyhow::Ok(Packed {
            is_shared,
            before: before.clone(),
            ..bundle.packed(name, file)
        })
    });
    Ok(Sources {
        directory: config.directory().map(Path::to_owned),
        held: None,
        bundles: bundles.collect::<Result<_, _>>()?,
        entrypoints: policies.entrypoints.clone(),
        may_lack: false,
    })
}

/// The same sources, with what is in force in the place of the directory, and of the bundles in files that are others now.
pub(super) fn sources_beside(config: &Config, in_force: &Policy) -> anyhow::Result<Sources> {
    let mut beside = config.clone();
    let policies = &mut beside.policies;
    for (name, bundle) in &mut policies.bundles {
        let bundles::Source::File(path) = &mut bundle.source else {
            continue;
        };
        let mut releases = in_force.releases();
        let Some(release) = releases.find(|release| release.name == name.as_str()) else {
            continue;
        };
        let good = bundles::good(&policies.state, name);
        if !release.is_at(path) && release.is_at(&good) {
            *path = good;
        }
    }
    Ok(Sources {
        held: Some(in_force.held()),
        ..sources(&beside)?
    })
}

/// Who belongs to which team, as `data.callers` has it.
pub fn teams(policy: &Policy, tokens: Option<&Tokens>) -> anyhow::Result<Teams> {
    let Some(callers) = policy.data("callers") else {
        return Ok(Teams::default());
    };
    let issuers: Option<Vec<&str>> = tokens.map(|tokens| tokens.issuers().collect());
    let teams = Teams::read(callers, issuers.as_deref());
    teams.map_err(|error| {
        let problem = policy.problem_in_data(&["callers"], error.to_string());
        anyhow::anyhow!("{problem}")
    })
}

/// What the configuration and the data say about callers, and may not be meant.
pub fn doubts(config: &Config, policy: &Policy, teams: &Teams) -> Vec<Problem> {
    let mut doubts = config.doubts();
    doubts.extend(config.doubt_filters(policy));
    for name in policy.environments() {
        if !config.has_environment(name) {
            let message = format!(
                "the configuration has no environment {name:?}, which modes or exceptions are about: they apply to nobody there"
            );
            doubts.push(policy.problem_in_data(&["modes"], message));
        }
    }
    if let Some(grants) = &config.grants
        && !grants.directory.is_dir()
    {
        let shown = grants.directory.display();
        let message = format!("there is no directory {shown}: no grant is good until there is one");
        doubts.push(config.problem(&["grants", "directory"], &message));
    }
    doubts.extend(about_bundles(config, policy));
    doubts.extend(about_activation(config));
    let only_certificates = |team: &&str| {
        teams
            .ways(team)
            .is_some_and(|ways| ways.certificate && !ways.jwt)
    };
    if !config.asks_for_certificates()
        && let Some(team) = teams.names().find(only_certificates)
    {
        let message = format!(
            "data.callers: team {team:?} has certificates, and clients are not asked for any: nobody belongs to it by \
             one; add [listener.tls.clients]"
        );
        doubts.push(policy.problem_in_data(&["callers"], message));
    }
    doubts
}

/// How many decisions may become others, where none is judged.
fn about_activation(config: &Config) -> Vec<Problem> {
    let activation = &config.policies.activation;
    let told = |(key, most): (&'static str, u64)| {
        let message = format!(
            "{key} says how many of the newest decisions may become others, and replay is 0: none is judged; write how many \
             into policies.activation.replay"
        );
        (most > 0).then(|| config.problem(&["policies", "activation", key], &message))
    };
    let both = [
        ("new_denials", activation.new_denials),
        ("new_allows", activation.new_allows),
    ];
    match activation.replay {
        0 => both.into_iter().filter_map(told).collect(),
        _ => Vec::new(),
    }
}

/// What the configuration says about bundles, and what protects less than it seems to.
fn about_bundles(config: &Config, policy: &Policy) -> Vec<Problem> {
    let mut doubts = Vec::new();
    for (name, bundle) in &config.policies.bundles {
        let section = ["policies", "bundles", name.as_str()];
        let mut releases = policy.releases();
        let its = releases.find(|release| release.name == name.as_str());
        if its.is_some_and(|release| config.policies.is_ageless(release)) {
            let message = "the bundle is signed, and has no sequence: an older one that is signed would be taken, too; build \
                           it with `dtgate build --sequence NUMBER`";
            doubts.push(config.problem(&section, message));
        }
        let Some((remote, max_age)) = bundle.remote().and_then(|it| Some((it, it.max_age?))) else {
            continue;
        };
        let key = ["policies", "bundles", name.as_str(), "max_age"];
        if max_age.as_std() < remote.longest_silence() {
            let message = "it is shorter than max_delay, long_poll and timeout together: a server that is well can be \
                           silent for longer";
            doubts.push(config.problem(&key, message));
        }
        if remote.is_forgeable() {
            let message = "the URL begins with http://: whoever is on the way can answer for the server that nothing has \
                           changed, and old policies never get too old; take https://";
            doubts.push(config.problem(&key, message));
        }
    }
    doubts
}

/// Modes and exceptions of the policies that have ended: nothing passes by them any more.
pub fn ended(policy: &Policy) -> Vec<Problem> {
    policy.ended(super::now())
}

/// What is in force and may not be meant, for the log.
pub(super) fn say_doubts(config: &Config, set: &Set) {
    let hidden = config.hidden();
    for doubt in doubts(config, set.policy(), set.teams()) {
        let message = hidden.text(&doubt.message);
        tracing::warn!(at = %doubt.place(), "configuration: {message}");
    }
    let policy = set.policy();
    for warning in policy.warnings().iter().chain(&ended(policy)) {
        tracing::warn!(at = %warning.place(), "policy: {}", warning.message);
    }
}

/// Has the policies judge one request of every kind, as `serve` and `check` do. Which entrypoints have written answers
/// that cannot be sent.
pub fn rehearse(
    config: &Config,
    policy: &Policy,
    catalogue: &Catalogue,
    lookup: &Lookup,
    environments: Option<&Environments>,
) -> Result<gateway::Unsent, gateway::Failures> {
    gateway::rehearse_all(gateway::Setting {
        policy,
        limits: &config.limits,
        catalogue,
        lookup,
        environments,
        now: super::now,
    })
}

/// The endpoint catalogue with the configuration's changes.
pub fn catalogue(config: &Config) -> anyhow::Result<Catalogue> {
    Catalogue::new(&config.endpoints).context("endpoints")
}

/// What the configuration changes about endpoints: said in the log, and in the journal's start record.
pub(super) fn overridden(config: &Config, catalogue: &Catalogue) -> Map<String, Value> {
    let mut changed = Map::new();
    let unknown = config.unknown_writes;
    if unknown != UnknownWrites::default() {
        let (handling, default) = (json!(unknown), json!(UnknownWrites::default()));
        tracing::warn!(%handling, instead_of = %default, "the configuration changes how unknown writes are handled");
        changed.insert("unknown_writes".to_owned(), handling);
    }
    for (operation, documented, wanted) in catalogue.overridden() {
        tracing::warn!(
            %operation, handling = %wanted, instead_of = %documented,
            "the configuration changes how an operation is handled"
        );
        changed.insert(operation.to_string(), json!(wanted));
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::memory::remember;
    use crate::bundles::Remembered;
    use crate::policy::build::{Recipe, build};

    #[test]
    fn a_reason_for_older_bundles_is_one() {
        for (text, is_one) in [
            ("", false),
            (" \t", false),
            ("-", false),
            ("incident 4711", true),
        ] {
            let read: Result<Config, _> =
                toml::from_str(&format!("policies.allow_rollback = {text:?}"));
            match read {
                Ok(_) => assert!(is_one, "{text:?}"),
                Err(error) => assert!(!is_one && error.message().contains("a reason is expected")),
            }
        }
    }

    #[test]
    fn decisions_that_may_become_others_are_doubted_where_none_is_judged() {
        for (text, doubted) in [
            ("", &[][..]),
            ("replay = 10\nnew_denials = 1\nnew_allows = 1", &[]),
            ("replay = 0\nnew_denials = 1", &["new_denials"]),
            (
                "new_denials = 1\nnew_allows = 2",
                &["new_denials", "new_allows"],
            ),
        ] {
            let config: Config =
                toml::from_str(&format!("[policies.activation]\n{text}\n")).unwrap();
            let told = about_activation(&config);
            let keys: Vec<&str> = told
                .iter()
                .filter_map(|it| it.message.split(' ').next())
                .collect();
            assert_eq!(keys, doubted, "{text}");
        }
    }

    /// Whoever is on the way can say for the server that nothing has changed.
    #[test]
    fn an_age_that_anybody_on_the_way_can_feign_is_doubted() {
        let policies = tempfile::tempdir().unwrap();
        let rego = "package dtgate.a\n\ndeny contains \"no\" if false\n";
        std::fs::write(policies.path().join("a.rego"), rego).unwrap();
        let policy = policies_at(policies.path(), &[]).unwrap();
        for (url, more, is_doubted) in [
            ("http://bundles.example/b", "max_age = '1h'", true),
            ("http://bundles.example/b", "", false),
            ("https://bundles.example/b", "max_age = '1h'", false),
            ("http://127.0.0.1:1/b", "max_age = '1h'", false),
        ] {
            let text = format!(
                "upstream.url = 'http://127.0.0.1:1'\n[policies.bundles.b]\nurl = '{url}'\n{more}\n\
                 signature = {{ key_file = 'k', algorithm = 'ES256' }}\n"
            );
            let config: Config = toml::from_str(&text).unwrap();
            let doubts = about_bundles(&config, &policy);
            let told = doubts
                .iter()
                .any(|it| it.message.contains("begins with http://"));
            assert_eq!(told, is_doubted, "{url} {more}: {doubts:?}");
        }
    }

    /// A second one came while the first was put in force: which of them was in force is known all the same.
    #[test]
    fn what_is_in_force_is_remembered_whatever_has_come_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let text = format!(
            "upstream.url = 'http://127.0.0.1:1'\n[policies]\nstate = '{}'\nbundles.platform.url = 'http://127.0.0.1:1/b'\n",
            folder.path().display()
        );
        let config: Config = toml::from_str(&text).unwrap();
        let bundle = |sequence: u64| {
            let source = path(&sequence.to_string());
            std::fs::create_dir(&source).unwrap();
            let rego = format!("package dtgate.a\n\ndeny contains \"{sequence}\" if false\n");
            std::fs::write(source.join("a.rego"), rego).unwrap();
            let recipe = Recipe {
                sequence: Some(sequence),
                ..Recipe::default()
            };
            build(&[source], &recipe, Path::new("b")).unwrap().bytes
        };
        let current = path("platform.tar.gz");
        let (one, two) = (bundle(7), bundle(8));
        std::fs::write(&current, &one).unwrap();
        let policy = policies(sources(&config).unwrap(), &config, None).unwrap();
        std::fs::write(&current, &two).unwrap();
        remember(&config, &policy).unwrap();
        let name = config.policies.bundles.keys().next().unwrap();
        let remembered = Remembered::read(folder.path(), name).unwrap().unwrap();
        assert_eq!(remembered.sequence, Some(7));
        assert!(remembered.since.is_some());
        assert_eq!(std::fs::read(path("platform.good.tar.gz")).unwrap(), one);
        // Again, and nothing is younger for it.
        remember(&config, &policy).unwrap();
        assert_eq!(
            Remembered::read(folder.path(), name).unwrap(),
            Some(remembered)
        );
    }
}
