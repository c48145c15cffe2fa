//! What policies have to show before they are put in force, besides their own tests: requests of the operator's that they
//! have to deny or to allow, and how they would have decided what was decided last.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use super::written;
use crate::config::{Activation, Config};
use crate::dynatrace::catalogue::Catalogue;
use crate::gateway::{self, Supposed};
use crate::identity::Teams;
use crate::listener::Peer;
use crate::policy::{Decision, Effect, Input, Policy, Verdict};
use crate::replay::{self, Change, Report};
use crate::value::{counted, unread};

/// A request, and what has to become of it.
struct Wanted {
    path: PathBuf,
    verdict: Verdict,
    /// The policy that has to be among those that deny it.
    by: Option<String>,
}

/// What requests are read with.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    pub catalogue: &'a Catalogue,
    pub teams: &'a Teams,
}

/// The files of the requests: whatever becomes of one is looked at again when it has changed.
pub(super) fn files(activation: &Activation) -> Vec<PathBuf> {
    let Some(directory) = &activation.requests else {
        return Vec::new();
    };
    let mut files = vec![directory.clone()];
    files.extend(
        all(directory)
            .into_iter()
            .flatten()
            .map(|wanted| wanted.path),
    );
    files
}

/// Judges the requests that have to be denied or allowed, and says how many there are.
pub fn requests(config: &Config, policy: &Policy, reading: Reading<'_>) -> anyhow::Result<usize> {
    let Some(directory) = &config.policies.activation.requests else {
        return Ok(0);
    };
    let all = all(directory).context(KEY)?;
    if all.is_empty() {
        bail!(
            "{KEY}: there is no request in {}: put those that have to be denied into deny/, and those that have to be \
             allowed into allow/",
            directory.display()
        );
    }
    let failed = all.iter().filter_map(|wanted| {
        let failed = wanted.fails(config, policy, reading);
        let failed = failed.unwrap_or_else(|error| Some(format!("{error:#}")));
        failed.map(|reason| format!("{}: {reason}", wanted.path.display()))
    });
    let failed: Vec<String> = failed.collect();
    if failed.is_empty() {
        return Ok(all.len());
    }
    bail!("{} ({KEY}):\n{}", wrong(failed.len()), failed.join("\n"))
}

fn wrong(number: usize) -> String {
    let requests = counted(number, "request");
    if number == 1 {
        format!("{requests} is not decided as it has to be")
    } else {
        format!("{requests} are not decided as they have to be")
    }
}

/// Everything below `deny` and `allow`. A directory below `deny` is called like the policy that has to deny.
fn all(directory: &Path) -> anyhow::Result<Vec<Wanted>> {
    let mut found = Vec::new();
    let (mut deny, mut allow) = (Vec::new(), Vec::new());
    entries(directory, &mut |path, name, is_directory| match name {
        "deny" if is_directory => deny.push(path),
        "allow" if is_directory => allow.push(path),
        _ => {}
    })?;
    let mut add = |path, verdict, by: Option<&str>| {
        let by = by.map(str::to_owned);
        found.push(Wanted { path, verdict, by });
    };
    for path in allow {
        entries(&path, &mut |path, _, _| add(path, Verdict::Allow, None))?;
    }
    let mut of_policies = Vec::new();
    for path in deny {
        entries(&path, &mut |path, name, is_directory| {
            if is_directory {
                of_policies.push((path, name.to_owned()));
            } else {
                add(path, Verdict::Deny, None);
            }
        })?;
    }
    for (path, policy) in of_policies {
        entries(&path, &mut |path, _, _| {
            add(path, Verdict::Deny, Some(&policy))
        })?;
    }
    if found.len() > MOST_REQUESTS {
        bail!(
            "{}: there are more than {MOST_REQUESTS} requests",
            directory.display()
        );
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// Tells of each entry that is not hidden: its path, its name, and whether it is a directory.
fn entries(directory: &Path, tell: &mut dyn FnMut(PathBuf, &str, bool)) -> anyhow::Result<()> {
    let failed = |error: &std::io::Error| anyhow!("{}: {}", directory.display(), unread(error));
    for entry in fs::read_dir(directory).map_err(|error| failed(&error))? {
        let entry = entry.map_err(|error| failed(&error))?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if !name.starts_with('.') {
            let is_directory = path.is_dir();
            tell(path, &name, is_directory);
        }
    }
    Ok(())
}

impl Wanted {
    /// Why it is not decided as it has to be. `None`: it is.
    fn fails(
        &self,
        config: &Config,
        policy: &Policy,
        reading: Reading<'_>,
    ) -> anyhow::Result<Option<String>> {
        let decision = match self.judged(config, policy, reading)? {
            Came::To(decision) => decision,
            Came::Open if self.verdict == Verdict::Allow => return Ok(None),
            Came::Open => {
                return Ok(Some(
                    "it has to be denied, and no policy is asked: it is open traffic".to_owned(),
                ));
            }
            Came::Refused(_) if self.verdict == Verdict::Deny && self.by.is_none() => {
                return Ok(None);
            }
            Came::Refused(reason) => {
                return Ok(Some(format!(
                    "no policy is asked: it is refused before, because {reason}"
                )));
            }
        };
        let denials = decision.violations.iter();
        let mut denials = denials.filter(|it| it.effect() == Effect::Deny);
        Ok(match (self.verdict, &self.by) {
            (Verdict::Allow, _) => denials.next().map(|first| {
                format!(
                    "it has to be allowed, and {} denies it: {}",
                    first.policy, first.message
                )
            }),
            (Verdict::Deny, None) => denials
                .next()
                .is_none()
                .then(|| "it has to be denied, and no policy denies it".to_owned()),
            (Verdict::Deny, Some(by)) => (!denials.any(|it| it.policy == *by))
                .then(|| format!("{by} has to deny it, and does not")),
        })
    }

    fn judged(
        &self,
        config: &Config,
        policy: &Policy,
        reading: Reading<'_>,
    ) -> anyhow::Result<Came> {
        let longest = config.limits.settings_body.as_usize().max(LONGEST);
        let size = fs::metadata(&self.path).map_err(|error| anyhow!("{}", unread(&error)))?;
        if !size.is_file() || usize::try_from(size.len()).is_ok_and(|size| size > longest) {
            bail!("it is no file, or longer than {longest} bytes");
        }
        let bytes = fs::read(&self.path).map_err(|error| anyhow!("{}", unread(&error)))?;
        if bytes.trim_ascii_start().starts_with(b"{") {
            let input: Input = serde_json::from_slice(&bytes).context("input document")?;
            return Ok(Came::To(policy.replay(&input)));
        }
        let mut request = written::request(&bytes)?;
        let address = SocketAddr::new(SOMEBODY, 0);
        request.extensions_mut().insert(Peer {
            address,
            tls: true,
            certificate: None,
            connection: address,
        });
        let supposed = Supposed {
            teams: reading.teams.clone(),
            ..Supposed::default()
        };
        let reading = gateway::Reading {
            limits: &config.limits,
            catalogue: reading.catalogue,
            with_envoy: policy.reads_envoy(),
        };
        Ok(
            match gateway::rehearse(request, reading, &supposed, super::now()) {
                Ok(Some(input)) => Came::To(policy.replay(&input)),
                Ok(None) => Came::Open,
                Err(error) => Came::Refused(error.to_string()),
            },
        )
    }
}

/// What becomes of a request.
enum Came {
    To(Decision),
    /// It is streamed through.
    Open,
    /// Before any policy.
    Refused(String),
}

/// Judges the newest decisions of the journal again, and refuses policies that would have decided too many otherwise.
pub(super) fn replay(config: &Config, policy: &Policy) -> anyhow::Result<()> {
    let activation = &config.policies.activation;
    if activation.replay == 0 {
        return Ok(());
    }
    let journal = &config.journal.directory;
    let report = replay::newest(journal, policy, activation.replay);
    let report =
        report.map_err(|error| anyhow!("policies.activation.replay: {}", unread(&error)))?;
    tracing::info!(
        decisions = report.decisions,
        judged = report.replayed,
        new_denials = report.new_denials,
        new_allows = report.new_allows,
        "the newest decisions of the journal were judged by the new policies"
    );
    let too_many = [
        (
            Change::NewDenial,
            report.new_denials,
            activation.new_denials,
            "new_denials",
            "deny",
            "allowed",
        ),
        (
            Change::NewAllow,
            report.new_allows,
            activation.new_allows,
            "new_allows",
            "allow",
            "denied",
        ),
    ];
    let refused = too_many
        .into_iter()
        .filter(|(_, found, most, ..)| found > most);
    let refused = refused.map(|(change, found, most, key, does, did)| {
        format!(
            "the policies would {does} {found} of the newest {} decisions that were {did}, and \
             policies.activation.{key} is {most}{}",
            report.replayed,
            examples(&report, change)
        )
    });
    let refused: Vec<String> = refused.collect();
    if refused.is_empty() {
        return Ok(());
    }
    bail!("{}", refused.join("\n"))
}

/// By policy, with the first of each.
fn examples(report: &Report, change: Change) -> String {
    let groups = report.groups.iter().filter(|group| group.change == change);
    let groups = groups.map(|group| {
        let example = group.examples.first().map(|example| {
            format!(
                ", first decision {} by {}: {}",
                example.decision_id, example.by, example.says
            )
        });
        format!(
            "\n{}: {}{}",
            group.policy,
            group.count,
            example.unwrap_or_default()
        )
    });
    groups.collect()
}

const KEY: &str = "policies.activation.requests";
const MOST_REQUESTS: usize = 1000;
/// Bytes of a request; more if the gate takes more.
const LONGEST: usize = 1 << 20;
/// An address that nobody has.
const SOMEBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
