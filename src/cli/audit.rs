//! `dtgate audit`: prove the journal, or look at it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use rustix::event::Timespec;
use serde_json::json;

use super::{Format, output, print_json};
use crate::audit::chain::NotedHead;
use crate::audit::lines::Lines;
use crate::audit::segments;
use crate::audit::tail::render;
use crate::audit::verify::{Recovered, Removal, Report, verify};
use crate::value::{Visible, counted, unread, visible_json};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show records, oldest first
    Tail(TailArgs),
    /// Prove that no record was changed, removed or added
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(super) struct TailArgs {
    /// Directory of the journal
    #[arg(long, value_name = "DIR", default_value = "journal")]
    journal: PathBuf,
    /// Show only the last COUNT records
    #[arg(short = 'n', long, value_name = "COUNT")]
    lines: Option<usize>,
    /// Stay, and show new records as they are written
    #[arg(short, long)]
    follow: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Directory of the journal
    #[arg(long, value_name = "DIR", default_value = "journal")]
    journal: PathBuf,
    /// The head that an earlier run printed: fail if it is no longer in the journal
    #[arg(long, value_name = "SEQ:HASH")]
    expect_head: Option<NotedHead>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

impl Command {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        match self {
            Self::Tail(tail) => tail.run(out),
            Self::Verify(verify) => verify.run(out),
        }
    }
}

impl TailArgs {
    fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        if self.follow {
            readable(&self.journal)?;
        } else {
            expect_journal(&self.journal)?;
        }
        let in_journal = || format!("journal {}", self.journal.display());
        let mut lines = Lines::new(&self.journal);
        let mut kept = std::collections::VecDeque::new();
        while let Some(line) = lines.next_line().with_context(in_journal)? {
            kept.push_back(line.bytes);
            if self.lines.is_some_and(|most| kept.len() > most) {
                kept.pop_front();
            }
        }
        for line in kept {
            self.print(out, &line)?;
        }
        if !self.follow {
            return Ok(ExitCode::SUCCESS);
        }
        loop {
            while let Some(line) = lines.next_line().with_context(in_journal)? {
                self.print(out, &line.bytes)?;
            }
            // A reader who goes away is seen also while nothing is written.
            if output::is_closed_within(POLL)? {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }

    fn print(&self, out: &mut impl Write, line: &[u8]) -> std::io::Result<()> {
        match self.format {
            Format::Json => writeln!(out, "{}", visible_json(&String::from_utf8_lossy(line)))?,
            Format::Pretty => writeln!(out, "{}", render(line))?,
        }
        out.flush()
    }
}

impl Verify {
    fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        readable(&self.journal)?;
        match verify(&self.journal, self.expect_head.as_ref()) {
            Ok(report) => {
                let ok = report.problems.is_empty();
                match self.format {
                    Format::Json => print_json(out, &json!({"ok": ok, "report": report}))?,
                    Format::Pretty => show(&report, out)?,
                }
                Ok(ExitCode::from(if ok { 0 } else { 2 }))
            }
            Err(error) if error.is_verdict() => {
                let error = error.to_string();
                match self.format {
                    Format::Json => {
                        print_json(out, &json!({"ok": false, "error": error}))?;
                    }
                    Format::Pretty => {
                        writeln!(out, "The chain is broken.\n  {}", Visible(error))?;
                    }
                }
                Ok(ExitCode::from(2))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The segments in a directory that can be read.
fn readable(journal: &Path) -> anyhow::Result<Vec<PathBuf>> {
    segments(journal).map_err(|error| anyhow!("journal {}: {}", journal.display(), unread(&error)))
}

/// Refuses a directory without segments: it would look like a journal in which nothing happened.
pub(super) fn expect_journal(journal: &Path) -> anyhow::Result<()> {
    if readable(journal)?.is_empty() {
        bail!("{} holds no journal", journal.display());
    }
    Ok(())
}

fn show(report: &Report, out: &mut impl Write) -> std::io::Result<()> {
    if report.problems.is_empty() {
        write!(out, "The chain holds.")?;
    } else {
        write!(out, "The journal is not whole, though its chain holds.")?;
    }
    for record in &report.unvouched {
        write!(out, " Nothing vouches yet for record {record}, the last.")?;
    }
    writeln!(out)?;
    for problem in &report.problems {
        writeln!(out, "  {}", Visible(problem))?;
    }
    for (name, value) in [
        ("segments", report.segments as u64),
        ("records", report.records),
        ("allowed", report.allowed),
        ("denied", report.denied),
        ("outcomes", report.outcomes),
        ("suppressed", report.suppressed),
        ("in doubt", report.in_doubt.len() as u64),
    ] {
        writeln!(out, "  {name:<10} {value:>7}")?;
    }
    for id in &report.in_doubt {
        writeln!(out, "    allowed, without outcome: {}", Visible(id))?;
    }
    writeln!(out, "  recoveries {:>7}", report.recoveries.len())?;
    for recovered in &report.recoveries {
        writeln!(out, "    {}", Visible(told(recovered)))?;
    }
    for removal in &report.pruned {
        writeln!(out, "  {}", Visible(deleted(removal)))?;
    }
    writeln!(out, "  head       {}:{}", report.head_seq, report.head_hash)?;
    if !report.unvouched.is_empty() {
        writeln!(
            out,
            "A change of the last record alone cannot be seen: note the head elsewhere, and hand it in with --expect-head."
        )?;
    }
    Ok(())
}

/// What a `pruned` record says, in one line.
fn deleted(removal: &Removal) -> String {
    let Removal { seq, pruned } = removal;
    let doubt = match pruned.in_doubt_count {
        0 => String::new(),
        _ => format!(", in doubt among them: {}", pruned.in_doubt.join(", ")),
    };
    let more = pruned.in_doubt_count - pruned.in_doubt_count.min(pruned.in_doubt.len() as u64);
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "records {} to {} were deleted ({}), written from {} to {}, says record {seq} of {}{doubt}{more}",
        pruned.first, pruned.last, pruned.reason, pruned.oldest, pruned.newest, pruned.timestamp
    )
}

/// A recovery in one line.
fn told(recovered: &Recovered) -> String {
    let Recovered { seq, timestamp, .. } = recovered;
    let refused = match recovered.refused_events {
        0 => String::new(),
        number => format!(", {} refused", counted(number, "event")),
    };
    let aside = recovered.set_aside.as_ref();
    let aside = aside.map_or_else(String::new, |name| format!(", set aside in {name}"));
    format!(
        "record {seq}, {timestamp}: {}{refused}{aside}",
        recovered.reason
    )
}

/// How often a journal is looked at for new records.
const POLL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};
