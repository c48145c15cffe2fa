//! The `dtgate` program: parses arguments, runs the command, turns the result into an exit code.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use dtgate::cli::{self, Cli, Output, ended_unread};
use dtgate::dynatrace::redact::Redactor;
use dtgate::value::{VisibleLines, threads, with_causes};

/// A request makes a few dozen small allocations, most of them on one thread: the system's allocator takes a tenth
/// of its time, and gives less back after a peak.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    threads::main_on_one(program)
}

fn program() -> ExitCode {
    match run() {
        Ok(code) => code,
        // Whoever reads has seen enough (`dtgate audit tail | head`).
        Err(error) if ended_unread(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let error = Redactor::default().text(&with_causes(error.as_ref()));
            complain(format_args!("dtgate: {}\n", VisibleLines(error)));
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let mut out = Output::new(anstream::stdout());
    let code = match Cli::try_parse() {
        Ok(cli) => cli::run(cli, &mut out)?,
        // 2 means "the answer is no" here, not "bad arguments".
        Err(error) if error.use_stderr() => {
            let plain = error.render().to_string();
            // What stands in a wrong place is repeated, and a token may.
            let redacted = Redactor::default().text(&plain);
            if redacted.as_str() == plain {
                complain(error.render().ansi());
            } else {
                complain(redacted);
            }
            ExitCode::FAILURE
        }
        Err(help) => {
            write!(out, "{}", help.render().ansi())?;
            ExitCode::SUCCESS
        }
    };
    out.finish()?;
    Ok(code)
}

/// To standard error. Where that does not work either, the exit code has to do.
fn complain(words: impl Display) {
    let written = write!(anstream::stderr(), "{words}");
    drop(written);
}
