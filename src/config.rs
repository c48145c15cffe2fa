//! The whole configuration: a TOML file, then what the command line overrides.
//!
//! Each section is the `Config` of the module that it configures. Unknown keys are errors; an error
//! names file, line and column.

mod callers;
mod filters;
mod hidden;
mod place;
mod restart;
mod sections;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, de};
use thiserror::Error;

pub use hidden::Hidden;
pub use restart::NEEDS_A_RESTART;

use crate::audit::Durability;
use crate::audit::pseudonym::Field;
use crate::dynatrace::catalogue::Overrides;
use crate::identity::Teams;
use crate::policy::{AnswersFor, Entrypoint, LoadError, Release};
use crate::value::{Duration, Size, likeness, read_setting, unread};
use crate::{
    admin, audit, bundles, console, gateway, grant, identity, listener, ship, store, telemetry,
};

/// Everything that `dtgate serve` can be told. Every key has a default but the upstream.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What becomes of writes that the catalogue would have to know, and does not.
    pub unknown_writes: gateway::UnknownWrites,
    pub listener: listener::Config,
    pub admin: admin::Config,
    /// Pages for people on the admin listener; without it there are none.
    pub console: Option<console::Config>,
    pub upstream: gateway::upstream::Config,
    /// What the gate shows the upstream in the place of callers who have proven who they are.
    pub credential: Option<gateway::credential::Config>,
    /// Several of them, by name, instead of the one.
    pub environments: BTreeMap<String, gateway::environment::Config>,
    pub lookup: gateway::lookup::Config,
    pub identity: identity::Config,
    pub policies: Policies,
    pub journal: audit::Config,
    /// Where records are sent, besides being in the journal.
    pub ship: ship::Config,
    /// Where the gates of a fleet meet.
    pub store: Option<store::Config>,
    /// Who may let pass once what policies deny; without it nobody may.
    pub grants: Option<grant::Config>,
    pub limits: gateway::Config,
    pub reload: Reload,
    /// How operations are handled, where the catalogue's own way is not wanted.
    pub endpoints: Overrides,
    pub log: telemetry::Config,
    /// Where traces and metrics are sent, besides being there to be fetched.
    pub otlp: Option<telemetry::otlp::Config>,
    /// Where all of that stands, if it stands in a file.
    #[serde(skip)]
    file: Option<place::File>,
}

/// Which policies judge, and for how long one decision may take.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policies {
    pub directory: PathBuf,
    /// Whether the command line names the directory.
    #[serde(skip)]
    pub directory_is_given: bool,
    /// OPA bundles, by name: together with the directory they are one set.
    pub bundles: BTreeMap<bundles::Name, bundles::Config>,
    /// Policies that are judged beside them, without effect.
    pub challenger: Option<bundles::Challenger>,
    /// What is known of bundles across restarts.
    pub state: PathBuf,
    /// Why bundles that are older than what was in force are taken.
    #[serde(deserialize_with = "rollback")]
    pub allow_rollback: Option<String>,
    /// How much room the sets of policies may take that were in force, each in a file in the journal's directory.
    /// The one in force is kept in any case.
    pub archive_size: Size,
    /// What policies have to show before they are put in force, besides their own tests.
    pub activation: Activation,
    /// Rules that judge besides the policies, as those of OPA's Envoy plugin do: `envoy/authz/allow`.
    pub entrypoints: Vec<Entrypoint>,
    /// Past it the request is refused.
    pub time_limit: Duration,
    /// Which of them the bytecode engine may answer for, once it was found equal to the interpreter.
    pub bytecode: AnswersFor,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            directory: PathBuf::from(DIRECTORY),
            directory_is_given: false,
            bundles: BTreeMap::new(),
            challenger: None,
            state: PathBuf::from("state"),
            allow_rollback: None,
            archive_size: Size::from_mib(1024),
            activation: Activation::default(),
            entrypoints: Vec::new(),
            time_limit: Duration::from_millis(100),
            bytecode: AnswersFor::All,
        }
    }
}

impl Policies {
    /// Whether that is a bundle that is signed, and does not say how old it is: an older one is signed as well.
    pub fn is_ageless(&self, release: &Release) -> bool {
        let mut bundles = self.bundles.iter();
        let its = bundles.find(|(name, _)| name.as_str() == release.name);
        release.sequence.is_none() && its.is_some_and(|(_, bundle)| bundle.signature.is_some())
    }
}

fn rollback<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    reason(&text).map(Some).map_err(de::Error::custom)
}

/// Why something is done that is otherwise refused: words that somebody can read, not nothing.
pub fn reason(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_alphanumeric) {
        Ok(text.to_owned())
    } else {
        Err("a reason is expected, in words, and this is none".to_owned())
    }
}

/// What policies have to show before they are put in force.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Activation {
    /// Directory with requests that have to be denied (`deny/`) or allowed (`allow/`). None: nobody asks.
    pub requests: Option<PathBuf>,
    /// How many of the newest decisions of the journal are judged by them, when they are to replace others.
    #[serde(deserialize_with = "decisions")]
    pub replay: usize,
    /// How many of those that were allowed they may deny.
    pub new_denials: u64,
    /// How many of those that were denied they may allow.
    pub new_allows: u64,
}

impl Policies {
    /// The same without what judges nothing.
    #[must_use]
    pub fn judging(&self) -> Self {
        Self {
            challenger: None,
            ..self.clone()
        }
    }
}

/// No more than anybody waits for, at each reload and at a start.
fn decisions<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    let decisions = usize::deserialize(from)?;
    if decisions > MOST_DECISIONS {
        let message =
            format!("invalid value: integer `{decisions}`, expected {MOST_DECISIONS} at most");
        return Err(de::Error::custom(message));
    }
    Ok(decisions)
}

const MOST_DECISIONS: usize = 1_000_000;

/// Where policies are, unless configured.
const DIRECTORY: &str = "policies";

/// How files are read again while the gate runs. SIGHUP has them read again in any case.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reload {
    /// Whether their contents are looked at now and then.
    pub watch: bool,
    /// How often.
    pub interval: Duration,
    /// Whether new policies have to pass their own tests.
    pub require_tests: bool,
    /// For all tests of a set together.
    pub test_timeout: Duration,
}

impl Default for Reload {
    fn default() -> Self {
        Self {
            watch: true,
            interval: Duration::from_secs(5),
            require_tests: true,
            test_timeout: Duration::from_secs(60),
        }
    }
}

/// Why a file is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("{}: {}", path.display(), unread(error))]
    Io { path: PathBuf, error: io::Error },
    #[error("{}:{line}:{column}: {message}", path.display())]
    Parse {
        path: PathBuf,
        line: usize,
        column: usize,
        message: String,
    },
}

impl Config {
    /// What environments are made of.
    pub fn sections(&self) -> gateway::environment::Sections<'_> {
        gateway::environment::Sections {
            upstream: &self.upstream,
            credential: self.credential.as_ref(),
            several: &self.environments,
        }
    }

    /// Whether policies can meet a request to an environment of this name.
    pub fn has_environment(&self, name: &str) -> bool {
        if self.environments.is_empty() {
            name == gateway::environment::DEFAULT
        } else {
            self.environments.contains_key(name)
        }
    }

    /// The directory of policies, if it is read: where there are bundles, only one that somebody names.
    pub fn directory(&self) -> Option<&Path> {
        let policies = &self.policies;
        let is_read = policies.bundles.is_empty()
            || policies.directory_is_given
            || policies.directory != Path::new(DIRECTORY)
            || self.has(&["policies", "directory"]);
        is_read.then_some(&*policies.directory)
    }

    /// Every file and directory that policies are made of, and the keys that they are checked by.
    pub fn files_of_policies(&self) -> Vec<PathBuf> {
        let policies = &self.policies;
        let signers = policies.bundles.values();
        let signers = signers.filter_map(|bundle| bundle.signature.as_ref());
        let bundles = policies.bundles.iter();
        let bundles = bundles.map(|(name, bundle)| bundle.path(&policies.state, name));
        let directory = self.directory().map(Path::to_owned);
        directory
            .into_iter()
            .chain(bundles)
            .chain(signers.map(|signer| signer.key_file.clone()))
            .collect()
    }

    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = read_setting(path).map_err(|error| ConfigError::Io {
            path: path.to_owned(),
            error,
        })?;
        let read = toml::from_str(&text).map_err(|error| {
            let (line, column) = place::position(&text, error.span().map_or(0, |span| span.start));
            ConfigError::Parse {
                path: path.to_owned(),
                line,
                column,
                message: Hidden::of(&text)
                    .text(&in_plain_words(error.message()))
                    .to_string(),
            }
        });
        let file = Some(place::File::new(path, text));
        let config = read.map(|config| Self { file, ..config })?;
        let journal = config.journal.refusal();
        if let Some((keys, message)) = journal.or_else(|| config.half_hidden()) {
            let problem = config.problem(&[&["journal"], keys].concat(), &message);
            return Err(ConfigError::Parse {
                path: path.to_owned(),
                line: problem.line,
                column: problem.column,
                message: config.hidden().text(&problem.message).to_string(),
            });
        }
        Ok(config)
    }
}

impl Config {
    /// Finds what does not fit together: sections with one another, and with the data of the policies.
    pub fn check_together(&self, teams: &Teams) -> Result<(), LoadError> {
        self.check_callers(teams)?;
        self.check_grants()?;
        self.check_filters()
    }

    /// A grant is good once: that it was used must not be lost with the power.
    pub fn check_grants(&self) -> Result<(), LoadError> {
        if self.grants.is_none() || self.journal.durability == Durability::Synced {
            return Ok(());
        }
        let message = "a power failure takes the records of the last second away, and grants that were used would be good \
                       again: with [grants] it has to be \"synced\", from a start on";
        let problems = vec![self.problem(&["journal", "durability"], message)];
        Err(LoadError { problems })
    }

    /// A claim that has pseudonyms and names callers: every record tells whose a token was, also those without claims.
    fn half_hidden(&self) -> Option<(&'static [&'static str], String)> {
        let fields = &self.journal.pseudonyms.fields;
        if fields.iter().any(|field| field.name() == SUBJECT) {
            return None;
        }
        let claims = fields.iter().filter_map(Field::claim);
        let mut claims =
            claims.flat_map(|claim| self.identity.jwt.iter().map(move |it| (claim, it)));
        let (claim, (name, _)) = claims.find(|(claim, (_, issuer))| issuer.subject == *claim)?;
        let message = format!(
            "identity.jwt.{name} names callers by the claim {claim}, and records that have no claims have it as their subject: \
             add \"{SUBJECT}\""
        );
        Some((&["pseudonyms", "fields"], message))
    }
}

/// Whose a JSON Web Token is.
const SUBJECT: &str = "caller.jwt.subject";

/// What the parser says, without the names of types that nobody but a programmer knows, and with the nearest of the
/// names that it lists.
fn in_plain_words(message: &str) -> String {
    let mut message = without_value(message);
    for (theirs, ours) in WORDS {
        message = message.replace(theirs, ours);
    }
    // unknown field `urll`, expected one of `url`, `ca`, …
    let mut names = message.split('`').skip(1).step_by(2);
    if message.starts_with("unknown field ")
        && let Some(belongs) = names.clone().next().and_then(sections::belongs)
    {
        return message.replacen(", expected", &format!(": {belongs}.\nExpected here"), 1);
    }
    let guess = names.next().and_then(|name| {
        let known = names.map(|known| (likeness(name, known), known));
        known
            .filter(|(likeness, _)| *likeness >= NEAR)
            .max_by(|(one, _), (other, _)| one.total_cmp(other))
    });
    match guess {
        Some((_, guess)) if message.starts_with("unknown ") => message.replacen(
            ", expected",
            &format!(": did you mean `{guess}`?\nExpected"),
            1,
        ),
        _ => message,
    }
}

/// A text in the place of something else is not repeated: it may be a secret.
fn without_value(message: &str) -> String {
    for what in ["type", "value"] {
        let begin = format!("invalid {what}: string \"");
        // What is expected has no quotes: the last one ends the text.
        if let Some((_value, expected)) =
            (message.strip_prefix(&begin)).and_then(|rest| rest.rsplit_once("\", expected "))
        {
            return format!("invalid {what}: a text, expected {expected}");
        }
    }
    message.to_owned()
}

const WORDS: [(&str, &str); 18] = [
    ("a nonzero u16", "a whole number from 1 to 65535"),
    ("a nonzero u32", "a whole number, 1 or more"),
    ("a nonzero usize", "a whole number, 1 or more"),
    ("expected usize", "expected a whole number, 0 or more"),
    ("expected u64", "expected a whole number, 0 or more"),
    ("expected u32", "expected a whole number, 0 or more"),
    ("expected u16", "expected a whole number from 0 to 65535"),
    ("expected u8", "expected a whole number from 0 to 255"),
    ("a boolean", "true or false"),
    ("path string", "a path in quotes"),
    (
        "expected struct Target",
        "expected a table with a name of yours, [ship.otlp.NAME] or [ship.opa.NAME], with `url` in it",
    ),
    (
        "expected struct Webhook",
        "expected a table with a name of yours, [ship.webhook.NAME], with `shape` in it",
    ),
    (
        "expected struct Tls",
        "expected the table [listener.tls.files] with `certificate` and `key`",
    ),
    (
        "missing field `files`",
        "the gate's own certificate is missing: write the table [listener.tls.files], or [admin.tls.files] for operators, with `certificate` and `key`",
    ),
    (
        "invalid type: map, expected a sequence",
        "this may stand several times: write its name in two brackets, [[…]]",
    ),
    ("expected a string", "expected a text in quotes"),
    ("expected a sequence", "expected a list, […]"),
    ("duplicate key", "this stands twice: write it once"),
];

/// How much alike a name has to be to be the one that was meant.
const NEAR: f64 = 0.75;

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dtgate.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path)
    }

    fn refusal(text: &str) -> String {
        let refusal = load(text).unwrap_err().to_string();
        refusal
            .split_once("dtgate.toml:")
            .map(|(_, rest)| rest.to_owned())
            .unwrap_or(refusal)
    }

    #[test]
    fn bytecode_is_for_policies_that_are_named() {
        let bytecode = |text| load(text).unwrap().policies.bytecode;
        assert_eq!(bytecode(""), AnswersFor::All);
        assert_eq!(
            bytecode("[policies]\nbytecode = \"shipped\""),
            AnswersFor::Shipped
        );
        assert_eq!(
            bytecode("[policies]\nbytecode = \"none\""),
            AnswersFor::None
        );
        for wrong in ["true", "\"own\""] {
            let said = refusal(&format!("[policies]\nbytecode = {wrong}"));
            assert!(said.starts_with("2:12: "), "{said}");
        }
    }

    #[test]
    fn how_many_decisions_are_judged_is_bounded_and_said_in_plain_words() {
        let refused = |line: &str| refusal(&format!("[policies.activation]\n{line}\n"));
        let wanted = "expected a whole number, 0 or more";
        for key in ["replay", "new_denials", "new_allows"] {
            assert!(refused(&format!("{key} = -1")).contains(wanted), "{key}");
        }
        let said = refused("replay = 100000000");
        assert!(
            said.starts_with("2:10: ") && said.contains("expected 1000000 at most"),
            "{said}"
        );
        assert!(load("[policies.activation]\nreplay = 1000000\n").is_ok());
    }

    #[test]
    fn an_empty_file_is_a_configuration() {
        let config = load("").unwrap();
        assert_eq!(config.listener.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.limits.body.as_u64(), 65536);
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_place() {
        let refusal = refusal("[upstream]\nurl = \"http://127.0.0.1:1\"\nurll = \"x\"\n");
        assert!(
            refusal.starts_with("3:1: unknown field `urll`"),
            "{refusal}"
        );
    }

    #[test]
    fn a_key_of_another_section_is_told_where_it_belongs() {
        for (text, wanted) in [
            (
                "[listener]\nunknown_writes = \"pass\"\n",
                "2:1: unknown field `unknown_writes`: it belongs above the first section.\nExpected here one of `",
            ),
            (
                "segment_size = \"1 MiB\"\n",
                "1:1: unknown field `segment_size`: it belongs in the section [journal].\nExpected here one of `",
            ),
            (
                "[upstream]\nsegment_size = \"1 MiB\"\n",
                "`segment_size`: it belongs in the section [journal].\n",
            ),
            (
                "[limits.upstream]\nurl = \"http://a\"\n",
                "`upstream`: it belongs as a section of its own, [environments.NAME.upstream], or as a section of its \
                 own, [upstream].\n",
            ),
            (
                "[environments.prod]\nurl = \"http://a\"\n",
                "`url`: it belongs in the section [environments.NAME.upstream], or in the section [journal.checkpoints], or in the \
                 section [policies.bundles.NAME], or in the section [ship.opa.NAME], or in the section [ship.otlp.NAME], or in the section [store], or in the section \
                 [upstream].\n",
            ),
            (
                "[upstream.environments.prod]\nurl = \"http://a\"\n",
                "`environments`: it belongs as a section of its own, [environments.NAME].\n",
            ),
            (
                "[listener]\ncertificate = \"x\"\n",
                "`certificate`: it belongs in the section [admin.tls.files], or in the section [credential.oauth.client_certificate], or ",
            ),
        ] {
            let said = refusal(text);
            assert!(said.contains(wanted), "{text}: {said}");
        }
        // No section has it.
        assert!(!refusal("[limits]\nbodys = 1\n").contains("belongs"));
    }

    #[test]
    fn a_wrong_value_is_an_error_with_its_place() {
        let refused = refusal("[limits]\nbody = \"much\"\n");
        assert!(
            refused.starts_with("2:8: \"much\" is not a size"),
            "{refused}"
        );
        for (text, said) in [
            (
                "segment_age = \"1s\"",
                "2:1: journal.segment_age: a segment is kept open",
            ),
            ("segment_age = \"0s\"", "longer than nothing"),
            ("retention.max_age = \"0s\"", "longer than nothing"),
            (
                "retention.max_age = \"1h\"",
                "a segment may be open for 1day",
            ),
            (
                "segment_age = \"off\"\nretention.max_age = \"30d\"",
                "must not stay open for ever",
            ),
            (
                "retention.max_size = \"95 MiB\"",
                "three times journal.segment_size",
            ),
            ("retention.max_size = \"0\"", "more than nothing"),
            ("compression = \"gzip\"", "unknown variant `gzip`"),
        ] {
            let refused = refusal(&format!("[journal]\n{text}\n"));
            assert!(refused.contains(said), "{text}: {refused}");
        }
        for text in [
            "segment_age = \"off\"\ncompression = \"off\"",
            "[journal.retention]\nmax_age = \"2555d\"\nmax_size = \"96 MiB\"",
            "[journal.retention]\nmax_age = \"off\"\nmax_size = \"off\"",
        ] {
            load(&format!("[journal]\n{text}\n")).unwrap();
        }
        let refused = refusal("[journal]\ndurability = \"maybe\"\n");
        assert!(refused.starts_with("2:14: unknown variant"), "{refused}");
        let refused = refusal("[upstream\n");
        assert!(refused.starts_with("1:"), "{refused}");
    }
}
