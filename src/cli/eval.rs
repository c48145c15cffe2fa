//! `dtgate eval`: one request, from a file or as a curl line, read and judged as the gate would.

mod caller;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use clap::{ArgGroup, Args};
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderValue, Request};
use serde_json::json;

use super::audit::{Asking, note, recorded};
use super::curl::{self, Files};
use super::{Format, place, print_json};
use crate::app;
use crate::audit::proof::Wanted;
use crate::config::Config;
use crate::gateway::{self, reads_envoy};
use crate::listener::Peer;
use crate::policy::input::Amounts;
use crate::policy::{Entrypoint, Exception, Explanation, Input, Policy, Verdict};
use crate::value::{Visible, unread};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("given").required(true).args(["request", "curl", "decision"])))]
pub(super) struct Eval {
    /// The request as HTTP writes it (request line, headers, empty line, body), or an input document (JSON); `-` is
    /// standard input
    #[arg(long, visible_alias = "http", value_name = "FILE")]
    request: Option<PathBuf>,
    /// The request as a curl line, in quotes
    #[arg(long, value_name = "LINE")]
    curl: Option<String>,
    /// The request of a decision that was recorded, by its id or the number of its record; policies that were in force
    /// then judge it, if they are kept and --policies names no others
    #[arg(long, value_name = "ID")]
    decision: Option<Wanted>,
    #[command(flatten)]
    from: Asking,
    /// Who sends it
    #[arg(long, value_name = "IP", default_value = SOMEBODY)]
    address: String,
    /// The public id of the token by which the caller is known, such as dt0c01.ST2EY72KQINMH574WMNVI7YN
    #[arg(long, value_name = "ID")]
    token: Option<String>,
    #[command(flatten)]
    caller: caller::Caller,
    /// Also say which lines of the policies were evaluated
    #[arg(long)]
    lines: bool,
    /// Directory of policies [default: policies]
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// A rule that judges besides the policies, as those of OPA's Envoy plugin do: envoy/authz/allow; may be repeated
    #[arg(long = "entrypoint", value_name = "PATH")]
    entrypoints: Vec<Entrypoint>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

/// An address that nobody has.
const SOMEBODY: &str = "192.0.2.1";

/// What may be said on a command line of a token: anybody on the machine can read it.
fn public_id(text: &str) -> anyhow::Result<()> {
    let example = "write its public id, such as dt0c01.ST2EY72KQINMH574WMNVI7YN";
    let mut parts = text.split('.');
    // It is not repeated: it may be a secret.
    match (parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(_), Some(_)) => bail!(
            "--token: this is a whole token, and its secret belongs on no command line (if it is a real one, replace it): \
             {example}"
        ),
        (Some(prefix), Some(public), None) if prefix.starts_with("dt0") && !public.is_empty() => {
            Ok(())
        }
        _ => bail!("--token: no token is known by this: {example}"),
    }
}

/// What the caller's secret is, where only its public id is known.
const MADE_UP: &str = "MADEUPMADEUPMADEUPMADEUPMADEUPMADEUPMADEUPMADEUPMADEUPMADEUPMADE";

impl Eval {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        if let Some(token) = &self.token {
            public_id(token)?;
        }
        // Not left to the parser of arguments: it would repeat what stands there, which may be a secret.
        let address: IpAddr = self.address.parse().map_err(|_no_address| {
            anyhow!("--address: this is no IP address: write one such as {SOMEBODY}")
        })?;
        if let Some(id) = &self.decision {
            return self.again(out, id);
        }
        let config = Config::default();
        let policy = app::policies_at(self.policies()?, &self.entrypoints)?;
        let request = match self.given(address)? {
            Given::Document(input) => {
                return self.explain(out, &policy, &input, true);
            }
            Given::Request(request) => *request,
        };
        let has_credential = shows_credential(&request);
        let catalogue = app::catalogue(&config)?;
        let envoy = reads_envoy(&policy);
        let supposed = self.caller.supposed(app::teams(&policy, None)?)?;
        let reading = gateway::Reading {
            limits: &config.limits,
            catalogue: &catalogue,
            with_envoy: envoy,
        };
        match gateway::rehearse(request, reading, &supposed, app::now()) {
            Ok(Some(mut input)) => {
                // Nobody has done anything yet.
                input.caller.recent = policy.reads_recent().then(Amounts::default);
                self.explain(out, &policy, &input, has_credential)
            }
            Ok(None) => {
                match self.format {
                    Format::Json => print_json(out, &json!({"verdict": "allow", "open": true}))?,
                    Format::Pretty => writeln!(
                        out,
                        "open traffic: no policy is asked, it is streamed through"
                    )?,
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                let status = gateway::status(&error);
                match self.format {
                    Format::Json => print_json(
                        out,
                        &json!({"verdict": "deny", "status": status.as_u16(), "error": error.to_string()}),
                    )?,
                    Format::Pretty => {
                        let error = Visible(error);
                        writeln!(out, "deny, before any policy: {error} ({status})")?;
                    }
                }
                Ok(ExitCode::from(2))
            }
        }
    }

    fn policies(&self) -> anyhow::Result<&Path> {
        if let Some(policies) = &self.policies {
            return Ok(policies);
        }
        let policies = Path::new("policies");
        place::POLICIES.expect(policies, None)?;
        Ok(policies)
    }

    /// A decision that was recorded.
    fn again(&self, out: &mut impl Write, id: &Wanted) -> anyhow::Result<ExitCode> {
        if self.token.is_some() || self.caller.is_said() {
            bail!(
                "--token, --jwt, --certificate and --team are for a request: the record of a decision says who asked"
            );
        }
        let recorded = recorded(&self.from, id)?;
        let path = match (&self.policies, &recorded.kept) {
            (None, Some(kept)) => kept,
            _ => self.policies()?,
        };
        let policy = app::policies_at(path, &self.entrypoints)?;
        if policy.revision() != recorded.revision {
            note(&format!(
                "it was decided by other policies, revision {}",
                Visible(&recorded.revision)
            ));
        }
        if !recorded.masked.is_empty() {
            note(&format!(
                "policies saw what the record does not have: {}",
                Visible(recorded.masked.join(", "))
            ));
        }
        if !recorded.cut.is_empty() {
            note(&format!(
                "policies saw texts that were cut, because the record was to be short: {}",
                Visible(recorded.cut.join(", "))
            ));
        }
        self.explain(out, &policy, &recorded.input, true)
    }

    /// What is to be judged, with who sends it.
    fn given(&self, address: IpAddr) -> anyhow::Result<Given> {
        let mut request = match (&self.curl, &self.request) {
            (Some(line), _) => curl::parse(line, Files::Read).context("--curl")?,
            (None, Some(path)) => {
                let is_stdin = path.as_os_str() == "-";
                let name = if is_stdin {
                    "standard input".to_owned()
                } else {
                    path.display().to_string()
                };
                let bytes = if is_stdin {
                    let mut bytes = Vec::new();
                    std::io::stdin()
                        .read_to_end(&mut bytes)
                        .map(|_length| bytes)
                } else {
                    std::fs::read(path)
                };
                let bytes = bytes.map_err(|error| anyhow!("{name}: {}", unread(&error)))?;
                if bytes.trim_ascii_start().starts_with(b"{") {
                    if self.token.is_some() || self.caller.is_said() {
                        bail!(
                            "--token, --jwt, --certificate and --team are for a request: an input document says who asks"
                        );
                    }
                    let input = serde_json::from_slice(&bytes);
                    let input = input.with_context(|| format!("{name}: input document"))?;
                    return Ok(Given::Document(input));
                }
                app::written::request(&bytes).with_context(|| name)?
            }
            (None, None) => bail!("give --request FILE, --curl LINE or --decision ID"),
        };
        let address = SocketAddr::from((address, 0));
        request.extensions_mut().insert(Peer {
            address,
            tls: true,
            certificate: self.caller.certificate(app::now())?,
            connection: address,
        });
        if let Some(token) = &self.token {
            let credential = credential_of(token).context("--token")?;
            if request.headers().contains_key(AUTHORIZATION) {
                bail!("the request shows a credential already: leave that out, or --token");
            }
            request.headers_mut().insert(AUTHORIZATION, credential);
        }
        Ok(Given::Request(Box::new(request)))
    }

    fn explain(
        &self,
        out: &mut impl Write,
        policy: &Policy,
        input: &Input,
        has_credential: bool,
    ) -> anyhow::Result<ExitCode> {
        let explanation = policy.explain(input);
        match self.format {
            Format::Json => print_json(
                out,
                &json!({"input": input.to_json(), "explanation": explanation}),
            )?,
            Format::Pretty => {
                self.show(out, input, &explanation)?;
                if !has_credential {
                    writeln!(out, "{}", self.without_credential())?;
                }
            }
        }
        Ok(match explanation.decision.verdict {
            Verdict::Allow => ExitCode::SUCCESS,
            Verdict::Deny => ExitCode::from(2),
        })
    }
}

impl Eval {
    fn show(
        &self,
        out: &mut impl Write,
        input: &Input,
        explanation: &Explanation,
    ) -> std::io::Result<()> {
        let decision = &explanation.decision;
        let word = match decision.verdict {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
        };
        let (operation, api) = (Visible(&input.operation), Visible(&input.api));
        writeln!(out, "{word}  {operation} ({api})")?;
        for violation in &decision.violations {
            let does = violation.does();
            let path = Visible(violation.path.as_deref().unwrap_or("-")).to_string();
            let policy = Visible(&violation.policy).to_string();
            let message = Visible(&violation.message);
            let by = violation
                .exception
                .as_ref()
                .map_or_else(String::new, |exception| {
                    let Exception { ticket, until, .. } = exception;
                    format!(" (passes until {until} by exception {})", Visible(ticket))
                });
            writeln!(out, "  {policy:<18} {does:<8} {path:<12} {message}{by}")?;
        }
        if let Some(remedy) = &decision.remedy {
            writeln!(out, "  {}", Visible(&remedy.text))?;
        }
        let is_unknown = self.decision.is_none();
        let changes = input
            .token
            .as_ref()
            .is_some_and(|token| token.current.is_none());
        if changes && is_unknown {
            writeln!(
                out,
                "  eval does not look the token up: its present name and scopes are not known here; to try with them, give an \
             input document that has token.current"
            )?;
        }
        for (file, rows) in explanation.lines.iter().filter(|_| self.lines) {
            writeln!(out, "  evaluated: {} {}", Visible(file), ranges(rows))?;
        }
        for line in &explanation.prints {
            writeln!(out, "print: {}", Visible(line))?;
        }
        Ok(())
    }

    fn without_credential(&self) -> &'static str {
        if self.caller.is_proven() {
            "the request shows no credential for Dynatrace: the gate sends its own where it has one for this caller \
             ([credential]), and else would answer 401 before any policy"
        } else {
            "the request shows no credential, and the gate would answer 401 before any policy: give one, or --token ID"
        }
    }
}

/// A credential of the token with this public id: the gate reads who calls from it, so that there has to be one.
pub(super) fn credential_of(token: &str) -> anyhow::Result<HeaderValue> {
    let scheme = if token.starts_with("dt0c") {
        "Api-Token"
    } else {
        "Bearer"
    };
    Ok(HeaderValue::from_str(&format!(
        "{scheme} {token}.{MADE_UP}"
    ))?)
}

/// Whether a request shows who calls.
pub(super) fn shows_credential(request: &Request<Bytes>) -> bool {
    let in_headers = [AUTHORIZATION, COOKIE]
        .iter()
        .any(|name| request.headers().contains_key(name));
    let query = request.uri().query();
    in_headers || query.is_some_and(|query| query.to_lowercase().contains("api-token"))
}

enum Given {
    Document(Box<Input>),
    Request(Box<Request<Bytes>>),
}

/// Rows in their order, neighbours as one: `4-6, 9`.
fn ranges(rows: &[u32]) -> String {
    let follow = |one: &u32, next: &u32| one.checked_add(1) == Some(*next);
    let chunks = rows.chunk_by(follow).filter_map(|chunk| {
        let (first, last) = (chunk.first()?, chunk.last()?);
        Some(if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        })
    });
    chunks.collect::<Vec<_>>().join(", ")
}
