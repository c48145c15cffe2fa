//! `dtgate audit settle`: what became of decisions in doubt.
//!
//! It looks the token up and compares. Nothing is guessed: whatever else could explain what it sees, `unknown` is what it
//! says.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use clap::Args;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use serde_json::{Value, json};

use super::opened::{Found, Place};
use super::table::{Table, terminal};
use crate::app;
use crate::audit::event::{self, Event, Settled};
use crate::audit::index::{Filter, Index, Pattern, Which};
use crate::audit::tail::Cells;
use crate::audit::{self, OpenError};
use crate::cli::{Format, block_on, load, print_json};
use crate::config::Config;
use crate::dynatrace::current::CurrentToken;
use crate::outbound::{self, AskError, Client};
use crate::value::{Duration, Visible, counted, rfc3339_millis, unread};

#[derive(Debug, Args)]
pub(in crate::cli) struct Settle {
    #[command(flatten)]
    place: Place,
    /// Environment variable with a token that may read tokens (`apiTokens.read`)
    #[arg(long, value_name = "NAME", conflicts_with = "token_file")]
    token_env: Option<String>,
    /// File with such a token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Write what was found into the journal; the gate has to be stopped
    #[arg(long)]
    apply: bool,
    /// How long an answer may take
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: Duration,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

/// A decision in doubt.
struct Doubt {
    seq: u64,
    cells: Cells,
    record: Value,
    /// The same token was changed again.
    again: bool,
}

/// What was found out about it.
struct Looked {
    found: event::Found,
    why: String,
    /// Nothing kept it from being looked at: another look would see the same.
    is_seen: bool,
}

/// Why Dynatrace did not tell.
struct Failure {
    why: String,
    /// It will not tell of other tokens either.
    is_general: bool,
    /// It says that there is nothing.
    is_missing: bool,
}

impl Failure {
    fn of_asking(error: &AskError) -> Self {
        let status = match error {
            AskError::Status(status) => Some(*status),
            _ => None,
        };
        let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
        Self {
            is_general: matches!(error, AskError::Timeout(_) | AskError::Unreachable(_))
                || status.is_some_and(|status| refused.contains(&status)),
            is_missing: status == Some(StatusCode::NOT_FOUND),
            why: match status {
                Some(status) if refused.contains(&status) => {
                    format!("the answer is {status}: the token may not read tokens")
                }
                _ => match error {
                    AskError::Unreachable(why) => format!("no answer: {why}"),
                    error => error.to_string(),
                },
            },
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            why: format!("{:#}", error.into()),
            is_general: false,
            is_missing: false,
        }
    }
}

impl Looked {
    fn new(found: event::Found, why: &str) -> Self {
        Self {
            found,
            why: why.to_owned(),
            is_seen: true,
        }
    }

    fn not(why: &str) -> Self {
        Self {
            is_seen: false,
            ..Self::new(event::Found::Unknown, why)
        }
    }
}

impl Settle {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let place = self.place.find()?;
        let index = place.open()?;
        super::beside::gaps(&index.gaps(None, None)?);
        let doubts = doubts(&index)?;
        let credential = self.credential()?;
        if self.apply && credential.is_none() {
            bail!("--apply writes what was found: give a token by --token-env or --token-file");
        }
        let config = load(self.place.config.as_ref())?;
        if self.apply && !doubts.is_empty() {
            // Before anything is asked that could not be written then.
            may_write(&place)?;
        }
        let looked = match &credential {
            None => doubts
                .iter()
                .map(|_| Looked::not("not looked up"))
                .collect(),
            Some(credential) => {
                block_on(async { Ok(look(&doubts, &config, credential, self.timeout).await) })?
            }
        };
        self.show(out, &doubts, &looked)?;
        let seen = || looked.iter().filter(|looked| looked.is_seen).count();
        if self.apply && seen() > 0 {
            let now = app::now();
            let events = doubts.iter().zip(&looked).filter(|(_, it)| it.is_seen);
            let events = events.map(|(doubt, looked)| {
                Event::Settled(Settled {
                    timestamp: rfc3339_millis(now),
                    decision_id: doubt.cells.decision_id.clone(),
                    decision_seq: doubt.seq,
                    found: looked.found,
                    detail: looked.why.clone(),
                })
            });
            let config = audit::Config {
                directory: place.journal.clone(),
                ..config.journal
            };
            audit::add(&config, events, app::now).map_err(|error| in_use(error, &place))?;
            let written = counted(seen(), "record");
            super::opened::note(&format!("{written} written"));
        }
        let failed = looked.len() - seen();
        if credential.is_some() && failed > 0 {
            let failed = counted(failed, "decision");
            super::opened::note(&format!("{failed} could not be looked up"));
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn credential(&self) -> anyhow::Result<Option<HeaderValue>> {
        let token = match (&self.token_env, &self.token_file) {
            (Some(name), _) => {
                let token = std::env::var_os(name).and_then(|token| token.into_string().ok());
                token.ok_or_else(|| anyhow!("the environment variable {name} holds no token"))?
            }
            (None, Some(path)) => std::fs::read_to_string(path)
                .map_err(|error| anyhow!("{}: {}", path.display(), unread(&error)))?,
            (None, None) => return Ok(None),
        };
        let mut value = HeaderValue::try_from(format!("Api-Token {}", token.trim()))
            .map_err(|_secret| anyhow!("the token has characters that no token has"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    fn show(
        &self,
        out: &mut impl Write,
        doubts: &[Doubt],
        looked: &[Looked],
    ) -> anyhow::Result<()> {
        if self.format == Format::Json {
            for (doubt, looked) in doubts.iter().zip(looked) {
                let cells = &doubt.cells;
                print_json(
                    out,
                    &json!({
                        "decision_seq": doubt.seq, "decision_id": cells.decision_id,
                        "timestamp": cells.timestamp, "operation": cells.operation,
                        "environment": cells.environment, "token": cells.target,
                        "found": looked.found, "detail": looked.why,
                    }),
                )?;
            }
            return Ok(());
        }
        if doubts.is_empty() {
            writeln!(out, "No decision is in doubt.")?;
            return Ok(());
        }
        let mut table = Table::new(&[
            ("WHEN", 8),
            ("#", 4),
            ("OPERATION", 8),
            ("ENVIRONMENT", 7),
            ("TOKEN", 12),
            ("FOUND", 8),
            ("WHY", 16),
        ]);
        for (doubt, looked) in doubts.iter().zip(looked) {
            let cells = &doubt.cells;
            table.add(vec![
                cells.timestamp.clone().into(),
                doubt.seq.to_string().into(),
                cells.operation.clone().into(),
                cells.environment.clone().into(),
                cells.target.clone().into(),
                looked.found.as_str().into(),
                Visible(&looked.why).to_string().into(),
            ]);
        }
        table.show(out, terminal())?;
        Ok(())
    }
}

fn may_write(place: &Found) -> anyhow::Result<()> {
    let held = audit::Directory::hold(&place.journal);
    held.map(drop).map_err(|error| in_use(error, place))
}

fn in_use(error: OpenError, place: &Found) -> anyhow::Error {
    match error {
        OpenError::InUse(_) => anyhow!(
            "a gate writes the journal {}: stop it, or run this without --apply",
            place.journal.display()
        ),
        error => anyhow::Error::from(error).context("journal"),
    }
}

/// Oldest first.
fn doubts(index: &Index) -> anyhow::Result<Vec<Doubt>> {
    let filter = Filter {
        outcome: Some(Which::Doubt),
        ..Filter::default()
    };
    let page = index.find(&filter, MOST)?;
    let mut doubts = Vec::new();
    for decided in page.decisions.iter().rev() {
        let Some(line) = index.line(decided.seq)? else {
            continue;
        };
        let Some(cells) = Cells::of(&line) else {
            continue;
        };
        let record: Value = serde_json::from_slice(&line).unwrap_or_default();
        let id = record.pointer("/input/token/id").and_then(Value::as_str);
        let again = match id {
            Some(id) => is_changed_again(index, decided.seq, id)?,
            None => false,
        };
        doubts.push(Doubt {
            seq: decided.seq,
            cells,
            record,
            again,
        });
    }
    if page.more {
        super::opened::note("there are older ones");
    }
    Ok(doubts)
}

/// Whether a later decision lets the same token be changed.
fn is_changed_again(index: &Index, seq: u64, id: &str) -> anyhow::Result<bool> {
    let filter = Filter {
        token: vec![Pattern::Exactly(id.to_owned())],
        allowed: Some(true),
        ..Filter::default()
    };
    let last = index.find(&filter, 1)?.decisions;
    Ok(last.first().is_some_and(|last| last.seq > seq))
}

/// Looks every one of them up. Who does not answer at all is not asked again.
async fn look(
    doubts: &[Doubt],
    config: &Config,
    credential: &HeaderValue,
    within: Duration,
) -> Vec<Looked> {
    let mut silent: HashMap<&str, String> = HashMap::new();
    let mut looked = Vec::new();
    for doubt in doubts {
        let environment = &*doubt.cells.environment;
        looked.push(match (doubt.target(), silent.get(environment)) {
            (Err(why), _) => Looked::new(event::Found::Unknown, why),
            (Ok(_), Some(why)) => Looked::not(why),
            (Ok(id), None) => match ask(config, environment, id, credential, within).await {
                Ok(token) => doubt.judged(token.as_ref()),
                Err(failure) => {
                    let looked = Looked::not(&failure.why);
                    if failure.is_general {
                        silent.insert(environment, failure.why);
                    }
                    looked
                }
            },
        });
    }
    looked
}

impl Doubt {
    /// The id of the token to look up; where none would tell anything, why.
    fn target(&self) -> Result<&str, &'static str> {
        let id = self
            .record
            .pointer("/input/token/id")
            .and_then(Value::as_str);
        let id = match (&*self.cells.operation, id) {
            ("token.create", _) => {
                return Err("nothing tells which request made a token: look for its name");
            }
            ("token.update" | "token.delete", Some(id)) => id,
            _ => return Err("dtgate cannot look this up: see Dynatrace's audit log"),
        };
        let is_id = id
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b"-._".contains(&c));
        if !is_id || id.bytes().all(|c| c == b'.') {
            return Err("the record does not tell the token's id");
        }
        if self.again {
            return Err("the token was changed again");
        }
        Ok(id)
    }

    /// What the token, or that there is none, proves.
    fn judged(&self, token: Option<&CurrentToken>) -> Looked {
        match (&*self.cells.operation, token) {
            ("token.delete", None) => Looked::new(event::Found::Done, "the token is gone"),
            ("token.delete", Some(_)) => Looked::new(event::Found::NotDone, "the token is there"),
            (_, None) => Looked::new(event::Found::Unknown, "the token is gone"),
            (_, Some(token)) => {
                let (found, why) = self.compared(token);
                Looked::new(found, &why)
            }
        }
    }

    /// The token beside what it was and what it should have become.
    fn compared(&self, token: &CurrentToken) -> (event::Found, String) {
        let (mut then, mut before) = (Vec::new(), Vec::new());
        let at = |pointer: &str| self.record.pointer(pointer);
        for (member, is) in [
            ("name", token.name.as_ref().map(|name| json!(name))),
            ("enabled", token.enabled.map(Value::Bool)),
            ("scopes", Some(json!(sorted(token.scopes.clone())))),
        ] {
            let asked = at(&format!("/input/change/{member}/requested")).map(in_order);
            let Some(asked) = asked else { continue };
            let was = at(&format!("/input/change/{member}/current")).map(in_order);
            if Some(&asked) == was.as_ref() {
                continue;
            }
            then.push(is.as_ref() == Some(&asked));
            before.push(was.is_some() && is == was);
        }
        if then.is_empty() {
            let why = "nothing would be seen of it: it changes nothing";
            return (event::Found::Unknown, why.to_owned());
        }
        if then.iter().all(|it| *it) {
            (
                event::Found::Done,
                "the token is as the request wanted it".to_owned(),
            )
        } else if before.iter().all(|it| *it) {
            (
                event::Found::NotDone,
                "the token is as it was before".to_owned(),
            )
        } else {
            let why = "the token is neither as it was nor as the request wanted it";
            (event::Found::Unknown, why.to_owned())
        }
    }
}

/// Lists in an order of their own: that of scopes means nothing.
fn in_order(value: &Value) -> Value {
    match value.as_array() {
        Some(list) => {
            let texts = list.iter().filter_map(Value::as_str).map(str::to_owned);
            json!(sorted(texts.collect()))
        }
        None => value.clone(),
    }
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

/// The token as it is now; `None`: there is none.
async fn ask(
    config: &Config,
    environment: &str,
    id: &str,
    credential: &HeaderValue,
    within: Duration,
) -> Result<Option<CurrentToken>, Failure> {
    let upstream = match config.environments.get(environment) {
        Some(environment) => &environment.upstream,
        None if config.environments.is_empty() => &config.upstream,
        None => return Err(anyhow!("the configuration has no environment of this name").into()),
    };
    let base = upstream.url.as_ref();
    let base = base.context("the configuration does not say where Dynatrace is (upstream.url)")?;
    // v1 knows tokens by ids of its own.
    let collection = if id.starts_with("dt0") {
        "v2/apiTokens"
    } else {
        "v1/tokens"
    };
    let all: Uri = format!("{base}/api/{collection}").parse()?;
    let one: Uri = format!("{base}/api/{collection}/{id}").parse()?;
    let own = upstream.client_certificate.as_ref();
    let files = outbound::Files::read(upstream.ca.as_deref(), own)?;
    let proxy = outbound::Found::on_the_way(
        &one,
        upstream.proxy.as_ref(),
        upstream.proxy_credential_file.as_deref(),
    )?;
    let client = Client::new(&files, proxy, base.is_encrypted())?;
    let get = async |uri: Uri| {
        let request = Request::get(uri)
            .header(AUTHORIZATION, credential)
            .body(Full::new(Bytes::new()))?;
        let answer = client.ask(request, within.into()).await;
        answer
            .map(|(_, body)| body)
            .map_err(|error| Failure::of_asking(&error))
    };
    match get(one).await {
        Ok(body) => {
            let token = CurrentToken::parse(&body)
                .map_err(|error| anyhow!("the answer is no token: {error}"))?;
            if token.id.as_ref().is_some_and(|told| told != id) {
                return Err(anyhow!("the answer is about another token").into());
            }
            Ok(Some(token))
        }
        Err(failure) if failure.is_missing => {
            // Whoever knows nothing of tokens says the same: it has to know others.
            let body = get(all).await?;
            let known: Value = serde_json::from_slice(&body).unwrap_or_default();
            let is_list = ["apiTokens", "values"]
                .iter()
                .any(|name| known.get(name).is_some_and(Value::is_array));
            if is_list {
                return Ok(None);
            }
            Err(anyhow!("what answers there has no list of tokens").into())
        }
        Err(failure) => Err(failure),
    }
}

/// Decisions that are looked up in one go.
const MOST: usize = 10_000;
