//! The `dtgate` program: parses arguments, runs the command, turns the result into an exit code.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use dtgate::cli::{self, Cli};

/// A request makes a few dozen small allocations, most of them on one thread: the system's allocator takes a tenth
/// of its time, and gives less back after a peak.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // 2 means "the answer is no" here, not "bad arguments".
            let code = if error.use_stderr() {
                ExitCode::from(1)
            } else {
                ExitCode::SUCCESS
            };
            return error.print().map_or_else(|_| ExitCode::from(1), |()| code);
        }
    };
    match cli::run(cli, &mut anstream::stdout()) {
        Ok(code) => code,
        // Whoever reads has seen enough (`dtgate audit tail | head`).
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => writeln!(anstream::stderr(), "dtgate: {error:#}")
            .map_or_else(|_| ExitCode::from(1), |()| ExitCode::from(1)),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
