//! What policies have to show before they are put in force, besides their own tests: requests of the operator's that they
//! have to deny or to allow, and how they would have decided what was decided last.

mod files;
mod replay;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use http::header::HOST;

use super::written;
use crate::config::{Activation, Config};
use crate::dynatrace::catalogue::Catalogue;
use crate::gateway::environment::Environments;
use crate::gateway::{self, Supposed};
use crate::identity::Teams;
use crate::listener::Peer;
use crate::policy::{Effect, Input, Policy, Violation};
use crate::value::{counted, read_file, unread};
use files::all;
pub(super) use replay::{ByDecisions, replay};

/// A request, and what has to become of it.
struct Wanted {
    path: PathBuf,
    become_of_it: Become,
}

/// What has to become of a request.
enum Become {
    /// By this policy among others, or by any.
    Denied(Option<String>),
    Allowed,
    /// No policy is asked.
    Refused,
}

/// What requests are read with.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    pub catalogue: &'a Catalogue,
    pub teams: &'a Teams,
    /// `None`: nobody has said where requests go.
    pub environments: Option<&'a Environments>,
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

impl Wanted {
    /// Why it is not decided as it has to be. `None`: it is.
    fn fails(
        &self,
        config: &Config,
        policy: &Policy,
        reading: Reading<'_>,
    ) -> anyhow::Result<Option<String>> {
        let came = self.read(config, policy, reading)?;
        let inputs = match (came, &self.become_of_it) {
            (Came::To(inputs), Become::Refused) => {
                drop(inputs);
                let reason =
                    "it has to be refused before any policy is asked, and policies judge it";
                return Ok(Some(reason.to_owned()));
            }
            (Came::To(inputs), _) => inputs,
            (Came::Open, Become::Allowed) | (Came::Refused(_), Become::Refused) => return Ok(None),
            (Came::Open, _) => {
                let reason = "it has to be denied, and no policy is asked: it is open traffic";
                return Ok(Some(reason.to_owned()));
            }
            (Came::Refused(reason), _) => {
                return Ok(Some(format!(
                    "no policy is asked: it is refused before, because {reason}{REFUSED}"
                )));
            }
        };
        let are_several = inputs.len() > 1;
        let failed = inputs.iter().find_map(|input| {
            let reason = self.fails_as(policy, input)?;
            let name = &input.environment.name;
            Some(if are_several {
                format!("{reason} (in environment {name})")
            } else {
                reason
            })
        });
        Ok(failed)
    }

    /// The same of one document. Modes and exceptions count as they are now, and for what has to be denied also as they
    /// will be.
    fn fails_as(&self, policy: &Policy, input: &Input) -> Option<String> {
        let violations = policy.replay(input).violations;
        let now = super::now();
        if let Some(reason) = self.fails_by(&violations) {
            return Some(reason);
        }
        let later = match self.become_of_it {
            Become::Denied(_) => policy.moments(input, now),
            Become::Allowed | Become::Refused => BTreeSet::new(),
        };
        [now].into_iter().chain(later).find_map(|moment| {
            let reason = self.fails_by(&policy.applied_at(&violations, input, moment))?;
            Some(if moment == now {
                reason
            } else {
                format!("{reason} from {moment} on")
            })
        })
    }

    fn fails_by(&self, violations: &[Violation]) -> Option<String> {
        let denials = violations.iter();
        let mut denials = denials.filter(|it| it.effect() == Effect::Deny);
        match &self.become_of_it {
            Become::Allowed => denials.next().map(|first| {
                format!(
                    "it has to be allowed, and {} denies it: {}",
                    first.policy, first.message
                )
            }),
            Become::Denied(None) => denials
                .next()
                .is_none()
                .then(|| "it has to be denied, and no policy denies it".to_owned()),
            Become::Denied(Some(by)) => (!denials.any(|it| it.policy == *by))
                .then(|| format!("{by} has to deny it, and does not")),
            Become::Refused => None,
        }
    }

    fn read(&self, config: &Config, policy: &Policy, reading: Reading<'_>) -> anyhow::Result<Came> {
        let longest = config.limits.settings_body.as_usize().max(LONGEST);
        let bytes = read_file(&self.path, longest as u64);
        let bytes = bytes.map_err(|error| anyhow!("{}", unread(&error)))?;
        if bytes.trim_ascii_start().starts_with(b"{") {
            let input: Input = serde_json::from_slice(&bytes).context("input document")?;
            return Ok(Came::To(vec![input]));
        }
        let mut request = written::request(&bytes)?;
        let host = request
            .headers()
            .get(HOST)
            .and_then(|host| host.to_str().ok());
        let host = host.map(str::to_owned);
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
        let environments = reading.environments;
        let reading = gateway::Reading {
            limits: &config.limits,
            catalogue: reading.catalogue,
            with_envoy: policy.reads_envoy(),
        };
        let read = gateway::rehearse(request, reading, &supposed, super::now());
        let input = match read {
            Ok(Some(input)) => input,
            Ok(None) => return Ok(Came::Open),
            Err(error) => return Ok(Came::Refused(error.to_string())),
        };
        let Some(environments) = environments else {
            return Ok(Came::To(vec![input]));
        };
        let id = input.environment.id.clone();
        let possible = environments.possible(host.as_deref(), id.as_str());
        let inputs = possible.into_iter().map(|environment| Input {
            environment: environment.with_id(id.clone()),
            ..input.clone()
        });
        Ok(Came::To(inputs.collect()))
    }
}

/// What becomes of a request.
enum Came {
    /// Policies judge it: in each environment that it can be for.
    To(Vec<Input>),
    /// It is streamed through.
    Open,
    /// Before any policy.
    Refused(String),
}

const KEY: &str = "policies.activation.requests";
const REFUSED: &str = "; one that has to be belongs into refused/";
/// Bytes of a request; more if the gate takes more.
const LONGEST: usize = 1 << 20;
/// An address that nobody has.
const SOMEBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
