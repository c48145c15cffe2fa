//! Requests as the gate would read and judge them, without a gate: one of the operator's for `dtgate eval`, and one of
//! every kind before anybody is served, so that a policy that fails is found before it refuses what it should not.

mod kinds;
mod masks;
mod supposed;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{Request, StatusCode};

use super::Config;
use super::environment::{self, Entrance, Environments};
use super::identify::Identity;
use super::lookup::{Found, Lookup, LookupError};
use super::record::{Recorder, Recording};
use super::rejection::read_status;
use super::rejection::written::of_one;
use super::story::Started;
use crate::dynatrace::catalogue::Catalogue;
use crate::dynatrace::current::CurrentToken;
use crate::dynatrace::redact::Redactor;
use crate::dynatrace::token::HashKey;
use crate::guard::{self, Call, Head, ReadError, Route, Sifted};
use crate::identity::{Jwt, Teams, forwarded};
use crate::listener::Peer;
use crate::policy::input::Amounts;
use crate::policy::{Input, POLICY_ERROR, Policy, input};
use crate::telemetry::Trace;
use crate::value::Size;
use crate::value::threads::named;
use kinds::{Kind, LookedUp};
pub use supposed::{Before, Opinion, Supposal, SupposeError, Supposition, Unknown};
use trouble::{Failure, Trouble};

/// Whether a policy reads the request in the shape of OPA-Envoy, so that it has to be built.
pub fn reads_envoy(policy: &Policy) -> bool {
    policy.reads_envoy()
}

/// What requests are read with.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    pub limits: &'a Config,
    pub catalogue: &'a Catalogue,
    pub with_envoy: bool,
}

/// What the caller is supposed to have proven, besides the certificate of its connection.
#[derive(Default)]
pub struct Supposed {
    pub jwt: Option<Jwt>,
    pub teams: Teams,
    /// Those that it belongs to, whatever the list says.
    pub more_teams: Vec<String>,
    /// The token that is to be changed, as Dynatrace would tell it. `None`: it is not known.
    pub current: Option<CurrentToken>,
}

/// Reads a request as the gateway would, for `dtgate eval`: what policies would see of it.
///
/// `None`: it is open traffic, which no policy sees.
pub fn rehearse(
    request: Request<Bytes>,
    reading: Reading<'_>,
    supposed: &Supposed,
    time: jiff::Timestamp,
) -> Result<Option<Input>, ReadError> {
    let read = Read::of(request, reading.limits, reading.catalogue, supposed)?;
    let input = read.map(|read| {
        let environment = read.the_only_environment();
        let current = supposed.current.clone();
        let found = current.map(|token| Found::rehearsed(Ok(token)));
        read.input(environment, found.as_ref(), reading.with_envoy, time)
    });
    input.transpose()
}

/// What the gate answers to a request that it cannot read.
pub fn status(error: &ReadError) -> StatusCode {
    read_status(error)
}

/// A guarded request, read and understood.
struct Read {
    recorder: Recorder,
    call: Call,
    parts: Parts,
}

impl Read {
    /// `None`: it is open traffic.
    fn of(
        request: Request<Bytes>,
        limits: &Config,
        catalogue: &Catalogue,
        supposed: &Supposed,
    ) -> Result<Option<Self>, ReadError> {
        let key = HashKey::new([0; 32]);
        let (parts, body) = request.into_parts();
        let proxies = forwarded::Config::default();
        let started = Started::of(&parts, false, &proxies, Trace::default());
        let redactor = &started.redactor;
        let Some(head) = guarded(&parts, redactor, &body, limits, catalogue, &key)? else {
            return Ok(None);
        };
        fits(&body, limits.body)?;
        let recording = Recording {
            key: &key,
            revision: "",
            started: &started,
            tells_caller: false,
        };
        let identity = Identity::supposed(&parts, supposed, head.caller());
        let recorder = recording.of(&parts, Some(&head), None, identity);
        let call = guard::call(head, &body)?;
        Ok(Some(Self {
            recorder,
            call,
            parts,
        }))
    }

    fn the_only_environment(&self) -> input::Environment {
        let id = self.call.head().path().environment();
        input::Environment {
            name: environment::DEFAULT.to_owned(),
            id: self.recorder.redactor().word(id.unwrap_or_default()),
            data: serde_json::Map::new(),
        }
    }

    /// What policies see of it.
    fn input(
        &self,
        environment: input::Environment,
        found: Option<&Found>,
        with_envoy: bool,
        time: jiff::Timestamp,
    ) -> Result<Input, ReadError> {
        let (call, parts) = (&self.call, &self.parts);
        self.recorder
            .input(call, environment, parts, found, with_envoy, time)
    }
}

/// The head of a request that is guarded, as the gate finds out.
fn guarded(
    parts: &Parts,
    redactor: &Redactor,
    body: &Bytes,
    limits: &Config,
    catalogue: &Catalogue,
    key: &HashKey,
) -> Result<Option<Head>, ReadError> {
    let route = guard::head(parts, !body.is_empty(), redactor, catalogue, key);
    match route.map_err(|refused| refused.error)? {
        Route::Guarded(head) => Ok(Some(*head)),
        Route::Open => Ok(None),
        Route::Unsure(head) => {
            fits(body, limits.settings_body)?;
            match guard::sift(*head, body)? {
                Sifted::Guarded(head) => Ok(Some(*head)),
                Sifted::Open => Ok(None),
            }
        }
    }
}

fn fits(body: &Bytes, limit: Size) -> Result<(), ReadError> {
    let longest = limit.as_usize();
    let fits = body.len() <= longest;
    fits.then_some(()).ok_or(ReadError::TooLarge(longest))
}

/// What the policies are asked with.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    pub policy: &'a Policy,
    pub limits: &'a Config,
    pub catalogue: &'a Catalogue,
    pub lookup: &'a Lookup,
    /// `None`: nobody has said where requests go.
    pub environments: Option<&'a Environments>,
    pub now: fn() -> jiff::Timestamp,
}

/// What policies could not judge, a line each.
#[derive(Debug)]
pub struct Failures(pub Vec<String>);

impl fmt::Display for Failures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Failures {}

/// The entrypoints that have written an answer which cannot be sent, and why.
pub type Unsent = BTreeMap<String, &'static str>;

/// Has the policies judge one request of every kind. That they deny is fine; that one cannot judge is told, with the
/// kind.
pub fn rehearse_all(setting: Setting<'_>) -> Result<Unsent, Failures> {
    let with_envoy = reads_envoy(setting.policy);
    let time = (setting.now)();
    masks::of_a_refusal(setting.policy, time)?;
    let kinds = kinds::all(setting.catalogue, setting.lookup.is_wanted());
    let asked: Vec<Vec<Input>> = kinds
        .iter()
        .enumerate()
        .map(|(number, kind)| inputs(setting, number, kind, with_envoy, time))
        .collect();
    let unsent = Mutex::default();
    let judged = judge_all(setting.policy, &asked, &unsent);
    let mut trouble = Trouble::of_rest(kinds.len() - judged.len());
    for (number, failures) in judged {
        if let Some(kind) = kinds.get(number) {
            trouble.see(kind, failures);
        }
    }
    trouble.told()?;
    Ok(unsent.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// What fails of each list of inputs, by its number. Every core judges, because the start waits for it.
fn judge_all(
    policy: &Policy,
    asked: &[Vec<Input>],
    unsent: &Mutex<Unsent>,
) -> Vec<(usize, Vec<Failure>)> {
    let started = Instant::now();
    let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let judge = || {
        let mut judged = Vec::new();
        // Policies that are too slow for all of them would keep the start for minutes.
        while !(has_failed.load(Relaxed) && started.elapsed() > PATIENCE) {
            let number = next.fetch_add(1, Relaxed);
            let Some(inputs) = asked.get(number) else {
                break;
            };
            let found = inputs.iter().flat_map(|input| fails(policy, input, unsent));
            let found: Vec<Failure> = found.collect();
            has_failed.fetch_or(!found.is_empty(), Relaxed);
            judged.push((number, found));
        }
        judged
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut judged: Vec<_> = std::thread::scope(|scope| {
        // Where no thread can be had, this one judges all.
        let other = |_| named("rehearsal").spawn_scoped(scope, judge).ok();
        let others: Vec<_> = (1..cores).filter_map(other).collect();
        let mut judged = judge();
        for other in others {
            judged.extend(other.join().expect("a policy that fails does not panic"));
        }
        judged
    });
    judged.sort_by_key(|(number, _)| *number);
    judged
}

/// What fails of one input, twice: the first time a machine that has just started may be slow.
fn fails(policy: &Policy, input: &Input, unsent: &Mutex<Unsent>) -> BTreeSet<Failure> {
    let first = failures(policy, input, unsent);
    if first.iter().any(|failure| !failure.in_settings) {
        return failures(policy, input, unsent);
    }
    first
}

/// The kind as policies see it: in one of the environments, or in all of them where it asks for everything.
fn inputs(
    setting: Setting<'_>,
    number: usize,
    kind: &Kind,
    with_envoy: bool,
    time: jiff::Timestamp,
) -> Vec<Input> {
    let entrances = setting.environments.map(Environments::entrances);
    let entrances = entrances.unwrap_or_else(|| vec![Entrance::default()]);
    let most = if kind.asks_for_everything() {
        entrances.len()
    } else {
        1
    };
    let found = kind.looked_up.map(found);
    let order = entrances
        .iter()
        .cycle()
        .skip(number % entrances.len().max(1));
    let inputs = order.take(entrances.len()).filter_map(|entrance| {
        // What the gate refuses here it refuses from everybody: no policy can meet it.
        let request = request(kind, entrance)?;
        let nobody = Supposed::default();
        let read = Read::of(request, setting.limits, setting.catalogue, &nobody);
        let read = read.ok().flatten()?;
        let environment = match setting.environments {
            None => read.the_only_environment(),
            Some(environments) => {
                let head = read.call.head();
                environments
                    .guarded(&read.parts, head)
                    .ok()?
                    .input(head, read.recorder.redactor())
            }
        };
        let input = read.input(environment, found.as_ref(), with_envoy, time);
        let mut input = input.ok()?;
        input.caller.recent = setting.policy.reads_recent().then_some(DID_BEFORE);
        Some(input)
    });
    inputs.take(most).collect()
}

fn request(kind: &Kind, entrance: &Entrance) -> Option<Request<Bytes>> {
    let prefix = entrance.id.as_ref().map(|id| format!("/e/{id}"));
    let target = format!("{}{}", prefix.unwrap_or_default(), kind.target());
    let (name, value) = kind.credential();
    let mut request = Request::builder()
        .method(kind.method())
        .uri(target)
        .header(HOST, entrance.host.as_deref().unwrap_or(HOST_OF_ONE))
        .header(name, value);
    let body = kind.body.as_ref().map(ToString::to_string);
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let address: IpAddr = kind.caller.address.parse().ok()?;
    let address = SocketAddr::from((address, 50_000));
    let request = request.extension(Peer {
        address,
        tls: true,
        certificate: None,
        connection: address,
    });
    request.body(Bytes::from(body.unwrap_or_default())).ok()
}

fn found(looked_up: LookedUp) -> Found {
    let told =
        |told: &str| Found::rehearsed(Ok(CurrentToken::parse(told.as_bytes()).unwrap_or_default()));
    match looked_up {
        LookedUp::Found => told(TOLD),
        LookedUp::FoundBare => told(BARE),
        LookedUp::Missing => Found::rehearsed(Err(LookupError::Status(StatusCode::NOT_FOUND))),
    }
}

fn failures(policy: &Policy, input: &Input, unsent: &Mutex<Unsent>) -> BTreeSet<Failure> {
    // What would pass of a denied request does not matter here.
    let judged = policy.judge((), input, |_denial| false);
    for (entrypoint, reason) in judged.decision().violations.iter().filter_map(of_one) {
        let mut unsent = unsent.lock().unwrap_or_else(PoisonError::into_inner);
        unsent.insert(entrypoint.to_owned(), reason);
    }
    let violations = judged.decision().violations.iter();
    let failures = violations.filter_map(|violation| {
        let in_settings = match violation.code.as_deref()? {
            UNUSABLE_SETTING => true,
            POLICY_ERROR => false,
            _ => return None,
        };
        let message = violation.cause();
        Some(Failure {
            policy: violation.policy.clone(),
            message: if in_settings {
                with_place(policy, message)
            } else {
                message.to_owned()
            },
            in_settings,
        })
    });
    let unmasked = masks::of_a_decision(policy, input, judged.decision());
    failures.chain(unmasked).collect()
}

/// What is said of a setting, `data.guardrails.naming.pattern must be …`, behind the place where it stands.
fn with_place(policy: &Policy, message: &str) -> String {
    let setting = message.split(' ').next().unwrap_or_default();
    let steps: Vec<&str> = setting.split('.').collect();
    match steps.split_first() {
        Some((&"data", steps)) => {
            let problem = policy.problem_in_data(steps, message.to_owned());
            problem.to_string()
        }
        _ => message.to_owned(),
    }
}

/// The code by which a policy says that it cannot work with its setting.
const UNUSABLE_SETTING: &str = "unusable-setting";

/// How long policies that fail are tried on further kinds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where there is one environment for every host.
const HOST_OF_ONE: &str = "abc12345.live.dynatrace.com";

/// What the caller of every kind did within the last hour.
const DID_BEFORE: Amounts = Amounts {
    created: 1,
    scopes_gained: 3,
    removed: 1,
};

/// What Dynatrace tells of a token, as its documentation shows it.
const TOLD: &str = r#"{
    "id": "dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA", "name": "payments-prod-ci", "enabled": true, "owner": "john.smith",
    "creationDate": "2020-11-05T08:15:30.144Z", "expirationDate": "2030-11-12T08:15:30.144Z",
    "lastUsedDate": "2020-11-12T08:15:30.144Z", "personalAccessToken": false, "scopes": ["metrics.read", "WriteConfig"]
}"#;

/// A token that never expires, was never used, and may nothing.
const BARE: &str = r#"{
    "id": "dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA", "name": "", "enabled": false, "creationDate": "2020-11-05T08:15:30.144Z",
    "scopes": []
}"#;

#[cfg(test)]
mod tests;
