//! `dtgate eval`: one request from a file, judged as the gate would.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use http::Request;
use http::header::HOST;
use serde_json::json;

use super::{Format, print_json};
use crate::app;
use crate::config::Config;
use crate::gateway::{self, reads_envoy};
use crate::policy::{Effect, Explanation, Input, Verdict};
use crate::value::Visible;

#[derive(Debug, Args)]
pub(super) struct Eval {
    /// The request as HTTP writes it (request line, headers, empty line, body), or an input document (JSON)
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// Directory of policies
    #[arg(long, value_name = "DIR", default_value = "policies")]
    policies: PathBuf,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

impl Eval {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let mut config = Config::default();
        config.policies.directory.clone_from(&self.policies);
        let policy = app::policies(&config)?;
        let bytes =
            std::fs::read(&self.request).with_context(|| self.request.display().to_string())?;
        let input: Input = if bytes.trim_ascii_start().starts_with(b"{") {
            serde_json::from_slice(&bytes)
                .with_context(|| format!("{}: input document", self.request.display()))?
        } else {
            let request = parse(&bytes).with_context(|| self.request.display().to_string())?;
            let catalogue = app::catalogue(&config)?;
            let envoy = reads_envoy(&policy);
            let rehearsed =
                gateway::rehearse(request, &config.limits, &catalogue, envoy, app::now());
            match rehearsed {
                Ok(Some(input)) => input,
                Ok(None) => {
                    writeln!(
                        out,
                        "open traffic: no policy is asked, it is streamed through"
                    )?;
                    return Ok(ExitCode::SUCCESS);
                }
                Err(error) => {
                    match self.format {
                        Format::Json => print_json(
                            out,
                            &json!({"verdict": "deny", "error": error.to_string()}),
                        )?,
                        Format::Pretty => {
                            writeln!(out, "deny, before any policy: {}", Visible(error))?;
                        }
                    }
                    return Ok(ExitCode::from(2));
                }
            }
        };
        let explanation = policy.explain(&input);
        match self.format {
            Format::Json => print_json(
                out,
                &json!({"input": input.to_json(), "explanation": explanation}),
            )?,
            Format::Pretty => show(out, &input, &explanation)?,
        }
        Ok(match explanation.decision.verdict {
            Verdict::Allow => ExitCode::SUCCESS,
            Verdict::Deny => ExitCode::from(2),
        })
    }
}

fn show(out: &mut impl Write, input: &Input, explanation: &Explanation) -> std::io::Result<()> {
    let decision = &explanation.decision;
    let word = match decision.verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
    };
    let (operation, api) = (Visible(&input.operation), Visible(&input.api));
    writeln!(out, "{word}  {operation} ({api})")?;
    for violation in &decision.violations {
        let effect = match violation.effect() {
            Effect::Deny => "denies",
            Effect::Record => "records",
            Effect::Warn => "warns",
        };
        let path = Visible(violation.path.as_deref().unwrap_or("-")).to_string();
        let policy = Visible(&violation.policy).to_string();
        let message = Visible(&violation.message);
        writeln!(out, "  {policy:<18} {effect:<8} {path:<12} {message}")?;
    }
    if let Some(remedy) = &decision.remedy {
        writeln!(out, "  {}", Visible(&remedy.text))?;
    }
    let changes = input
        .token
        .as_ref()
        .is_some_and(|token| token.current.is_none());
    if changes {
        writeln!(
            out,
            "  the token as it is is not known here, where nothing is looked up: give a document with token.current"
        )?;
    }
    writeln!(out, "lines evaluated")?;
    for (file, rows) in &explanation.lines {
        let rows: Vec<String> = rows.iter().map(u32::to_string).collect();
        writeln!(out, "  {}: {}", Visible(file), rows.join(" "))?;
    }
    for line in &explanation.prints {
        writeln!(out, "print: {}", Visible(line))?;
    }
    Ok(())
}

/// Reads a request as it stands in a file. Line ends may be CRLF or LF.
fn parse(bytes: &[u8]) -> anyhow::Result<Request<Bytes>> {
    let (head, body) = split(bytes);
    let head = std::str::from_utf8(head).context("the head is not UTF-8")?;
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        bail!("the first line must be METHOD PATH, as in: PUT /api/v1/tokens/ID");
    };
    let mut request = Request::builder().method(method).uri(target);
    for (number, line) in lines.enumerate() {
        let Some((name, value)) = line.split_once(':') else {
            bail!("line {}: a header is written NAME: VALUE", number + 2);
        };
        request = request.header(name.trim(), value.trim());
    }
    // Every client sends one; people leave it out of a file.
    if request
        .headers_ref()
        .is_some_and(|headers| !headers.contains_key(HOST))
    {
        request = request.header(HOST, "localhost");
    }
    Ok(request.body(Bytes::copy_from_slice(body))?)
}

fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let find = |mark: &[u8]| {
        bytes
            .windows(mark.len())
            .position(|window| window == mark)
            .map(|at| (at, mark.len()))
    };
    let ends = [find(b"\r\n\r\n"), find(b"\n\n")];
    let Some((at, length)) = ends.into_iter().flatten().min() else {
        return (bytes, &[]);
    };
    let body = bytes.get(at + length..).unwrap_or_default();
    // Editors end a file with a newline that is not part of the body.
    (bytes.get(..at).unwrap_or_default(), body.trim_ascii_end())
}
