//! The process that judges for the playground: one task from standard input, one answer to standard output.
//!
//! Policies and requests come from people who try something. It guarantees that whatever they are, they take no more than
//! so much memory and so much time, of this process alone: it limits itself before it reads anything, and the console
//! ends it when it is late. It opens no file and no connection.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

use super::curl::{self, Files};
use super::eval::{credential_of, shows_credential};
use crate::app;
use crate::audit;
use crate::config::Config;
use crate::console::play::{
    Answer, Before, Example, Flip, Group, InForce, Judged, Opinion, Replayed, Request, Task, Wanted,
};
use crate::dynatrace::current::CurrentToken;
use crate::dynatrace::redact::Redactor;
use crate::gateway::{self, Supposed};
use crate::listener::Peer;
use crate::policy::input::Amounts;
use crate::policy::{Entrypoint, Input, Policy, Problem, Text, Verdict};
use crate::replay::{self, Change};
use crate::value::threads;
use crate::value::threads::STACK;

/// Nobody calls it but the console.
#[derive(Debug, Args)]
pub(super) struct Playground {}

impl Playground {
    #[expect(clippy::unused_self, reason = "as all commands are run")]
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let answer = match confined().and_then(|()| read()) {
            Ok(task) => answer(task),
            Err(error) => Answer::Failed(format!("{error:#}")),
        };
        serde_json::to_writer(&mut *out, &answer)?;
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Limits this process, before it reads what others wrote.
fn confined() -> anyhow::Result<()> {
    audit::yield_to_others();
    let limits = [
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Cpu, MOST_SECONDS),
        (Resource::Data, MOST_MEMORY),
    ];
    for (resource, most) in limits {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit).with_context(|| {
            format!("the playground cannot limit what it takes ({resource:?}), and judges nothing without")
        })?;
    }
    // Where memory is short, this process is ended and not the gate. Elsewhere than on Linux there is no such file.
    drop(std::fs::write("/proc/self/oom_score_adj", "1000"));
    let watch = threads::named("watch");
    let watching = watch.spawn(|| {
        std::thread::sleep(MOST_TIME);
        // Whoever asked has gone, or ends it at the same moment.
        std::process::abort();
    });
    watching.context("thread")?;
    Ok(())
}

fn read() -> anyhow::Result<Task> {
    let mut given = Vec::new();
    let read = std::io::stdin()
        .lock()
        .take(LONGEST)
        .read_to_end(&mut given);
    read.context("standard input")?;
    serde_json::from_slice(&given).context("this command is for the console alone")
}

fn answer(task: Task) -> Answer {
    let entrypoints = task.entrypoints.iter();
    let entrypoints: Vec<Entrypoint> = entrypoints.filter_map(|it| it.parse().ok()).collect();
    // It runs behind all others: what takes long here may be in time there, and the answer says how long it took.
    let limit = Duration::from_millis(task.limit_ms.saturating_mul(SLOWER));
    let load = |texts: Vec<Text>| {
        let loaded = Policy::of_texts(texts, &entrypoints, limit);
        loaded.map_err(|error| told(&error.problems))
    };
    let in_force = task.in_force;
    let edited = load(task.edited);
    match (task.wanted, edited) {
        (Wanted::Check, Err(problems)) => Answer::Checked {
            problems,
            warnings: Vec::new(),
        },
        (Wanted::Check, Ok(policy)) => Answer::Checked {
            problems: Vec::new(),
            warnings: told(policy.warnings()),
        },
        (Wanted::Judge(request), edited) => {
            let judged = |loaded| match loaded {
                Ok(policy) => judge(&policy, &request),
                Err(problems) => Ok(Judged::Unloaded(problems)),
            };
            let edited = judged(edited);
            let in_force = match (&edited, in_force) {
                (Ok(edited), Some(InForce::Same)) => Ok(Some(edited.clone())),
                (Ok(_), Some(InForce::Other(texts))) => judged(load(texts)).map(Some),
                (Ok(_), None) | (Err(_), _) => Ok(None),
            };
            match (edited, in_force) {
                (Ok(edited), Ok(in_force)) => Answer::Judged { edited, in_force },
                (Err(error), _) | (_, Err(error)) => {
                    let said = Redactor::default().text(&format!("{error:#}"));
                    Answer::Failed(said.to_string())
                }
            }
        }
        (Wanted::Replay(_), Err(problems)) => Answer::Unloaded(problems),
        (Wanted::Replay(lines), Ok(policy)) => {
            Answer::Replayed(Box::new(replayed(&lines, &policy)))
        }
    }
}

fn told(problems: &[Problem]) -> Vec<Problem> {
    let problems = problems.iter().take(MOST_TOLD).cloned();
    let problems = problems.map(|mut problem| {
        problem.message = cut(&problem.message);
        problem
    });
    problems.collect()
}

/// What a set says to a request.
fn judge(policy: &Policy, asked: &Request) -> anyhow::Result<Judged> {
    let text = asked.text.trim();
    if text.starts_with('{') {
        let input: Input = serde_json::from_str(text).context("input document")?;
        return Ok(decided(policy, &input, true));
    }
    let mut request = if text.starts_with("curl") {
        curl::parse(text, Files::None)?
    } else {
        app::written::request(text.as_bytes())?
    };
    let address = SocketAddr::from((SOMEBODY, 0));
    request.extensions_mut().insert(Peer {
        address,
        tls: true,
        certificate: None,
        connection: address,
    });
    shows_who(&mut request, &asked.token)?;
    let has_credential = shows_credential(&request);
    let config = Config::default();
    let catalogue = app::catalogue(&config)?;
    let supposed = Supposed {
        jwt: None,
        teams: app::teams(policy, None)?,
        more_teams: asked.teams.clone(),
        current: asked.before.clone().map(current),
    };
    let reading = gateway::Reading {
        limits: &config.limits,
        catalogue: &catalogue,
        with_envoy: gateway::reads_envoy(policy),
    };
    match gateway::rehearse(request, reading, &supposed, asked.time.parse()?) {
        Ok(Some(mut input)) => {
            // Nobody has done anything yet.
            input.caller.recent = policy.reads_recent().then(Amounts::default);
            if !asked.environment.is_empty() {
                input.environment.name.clone_from(&asked.environment);
            }
            Ok(decided(policy, &input, has_credential))
        }
        Ok(None) => Ok(Judged::Open),
        Err(error) => Ok(Judged::Refused {
            status: gateway::status(&error).as_u16(),
            error: Redactor::default().text(&error.to_string()).to_string(),
        }),
    }
}

/// Has the request show the credential of a token, of which only the public id is known.
fn shows_who(request: &mut http::Request<Bytes>, token: &str) -> anyhow::Result<()> {
    if token.is_empty() {
        return Ok(());
    }
    if token.split('.').count() != 2 || !token.starts_with("dt0") {
        bail!(
            "Caller: write the public id of a token, such as dt0c01.ST2EY72KQINMH574WMNVI7YN, and never its secret"
        );
    }
    if shows_credential(request) {
        bail!("The request shows a credential already: take that out, or the caller.");
    }
    let headers = request.headers_mut();
    headers.insert(
        http::header::AUTHORIZATION,
        credential_of(token).context("Caller")?,
    );
    Ok(())
}

fn current(before: Before) -> CurrentToken {
    CurrentToken {
        name: Some(before.name),
        enabled: Some(!before.disabled),
        scopes: before.scopes,
        ..CurrentToken::default()
    }
}

fn decided(policy: &Policy, input: &Input, has_credential: bool) -> Judged {
    let redactor = Redactor::default();
    let explanation = policy.explain(input);
    let decision = explanation.decision;
    // Once more without looking at lines, as requests are judged; of the clock, others have the most.
    let began = own_time();
    let _again = policy.replay(input);
    let took = own_time().saturating_sub(began);
    let violations = decision.violations.iter().take(MOST_TOLD);
    let violations = violations.map(|found| {
        let mut found = (*redactor.all(found)).clone();
        found.message = cut(&found.message);
        found.details.clear();
        found
    });
    let objecting = |policy: &str| decision.violations.iter().any(|it| it.policy == policy);
    let listed = policy.listed().into_iter();
    let files = listed.filter(|it| objecting(&it.name) && !it.file_name.is_empty());
    let files = files.map(|it| (it.name, it.file_name)).collect();
    let prints = explanation.prints.iter().take(MOST_TOLD);
    let document = match input.to_json() {
        Value::Object(members) => Value::Object((*redactor.members(&members)).clone()),
        other => other,
    };
    Judged::Decided(Box::new(Opinion {
        allowed: decision.verdict == Verdict::Allow,
        violations: violations.collect(),
        more: decision.violations.len().saturating_sub(MOST_TOLD),
        remedy: decision.remedy.map(|remedy| cut(&remedy.text)),
        took_ms: took.as_secs_f64() * 1000.0,
        lines: explanation.lines.into_iter().collect(),
        files,
        prints: prints.map(|line| cut(&redactor.text(line))).collect(),
        input: document,
        has_credential,
        rules: policy.rules(),
    }))
}

/// How long this thread had a processor.
fn own_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// What the newest decisions would be.
fn replayed(lines: &[String], policy: &Policy) -> Replayed {
    let until = Instant::now() + MOST_OF_REPLAY;
    let (report, looked_at) = replay::given(lines, policy, EXAMPLES, until);
    let groups = report.groups.iter().take(MOST_TOLD).map(|group| Group {
        change: match group.change {
            Change::NewDenial => Flip::Denial,
            Change::NewAllow => Flip::Allow,
            Change::Violations => Flip::Violations,
        },
        policy: group.policy.clone(),
        count: group.count,
        examples: group.examples.iter().map(example).collect(),
    });
    Replayed {
        looked_at,
        replayed: report.replayed,
        same: report.same,
        new_denials: report.new_denials,
        new_allows: report.new_allows,
        changed: report.changed,
        failed: report.failed,
        of_other_policies: report.of_other_policies,
        granted: report.granted,
        damaged: report.damaged,
        groups: groups.collect(),
        not_replayed: reasons(report.not_replayed),
        not_by: report
            .not_by
            .into_iter()
            .map(|(policy, of_it)| (cut(&policy), reasons(of_it)))
            .collect(),
        beside: Vec::new(),
    }
}

/// None of them is long, however long what it names is.
fn reasons(all: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut told = BTreeMap::new();
    for (reason, count) in all {
        *told.entry(cut(&reason)).or_default() += count;
    }
    told
}

fn example(example: &replay::Example) -> Example {
    Example {
        seq: example.seq,
        timestamp: cut(&example.timestamp),
        decision_id: cut(&example.decision_id),
        operation: cut(&example.operation),
        environment: cut(&example.environment),
        token: cut(&example.token),
        by: cut(&example.by),
        says: cut(&example.says),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// An address that nobody has.
const SOMEBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// Bytes of a task.
const LONGEST: u64 = 64 << 20;
/// Seconds of a processor, and how long that may last where others need the processors.
const MOST_SECONDS: u64 = 10;
const MOST_TIME: Duration = Duration::from_mins(1);
/// Bytes of memory, beside the stacks of its two threads: of these it takes what it uses.
const MOST_MEMORY: u64 = (160 << 20) + 2 * STACK as u64;
/// How long decisions are judged again.
const MOST_OF_REPLAY: Duration = Duration::from_secs(5);
/// How much longer than in the gate a rule may take here.
const SLOWER: u64 = 50;
/// Violations, problems, prints and changes that are told.
const MOST_TOLD: usize = 50;
/// Decisions that are told of each change.
const EXAMPLES: usize = 20;
/// Letters of a text that is told.
const LONGEST_TEXT: usize = 1_000;
