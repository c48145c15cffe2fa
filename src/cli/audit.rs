//! `dtgate audit`: prove the journal, or look at it.

mod beside;
mod checkpoint;
mod gates;
mod hash;
mod history;
mod index;
mod key;
mod named;
pub(super) mod opened;
mod policies;
mod prove;
mod pseudonyms;
mod query;
mod recorded;
mod settle;
mod show;
pub(super) mod source;
mod stats;
pub(super) mod store;
mod table;
mod times;
mod trusted;
mod verify;
mod wanted;

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::event::Timespec;
use serde_json::Value;

pub(super) use self::beside::{missing, said};
pub(super) use self::opened::{Journal, note, unreadable};
pub(super) use self::policies::Policies;
pub(super) use self::recorded::recorded;
pub(super) use self::source::Asking;
use super::{Format, output};
use crate::audit::lines::{Lines, Place, last as last_lines};
use crate::audit::segments;
use crate::audit::tail::render;
use crate::trail::when::zone;
use crate::value::{unread, visible_json};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Find decisions, the newest first
    Query(Box<query::Query>),
    /// Tell what became of a token: who gave it which scopes, when, and under which rules
    History(Box<history::History>),
    /// Show all about one decision
    Show(Box<show::Show>),
    /// Count decisions, by what and when
    Stats(Box<stats::Stats>),
    /// Show records, oldest first
    Tail(TailArgs),
    /// List decisions in doubt, look what became of them, and record it
    Settle(settle::Settle),
    /// List the gates that meet in a store: version, policies, and how far their records have come
    Gates(Box<gates::Gates>),
    /// Prove that no record was changed, removed or added
    Verify(Box<verify::Verify>),
    /// Write one record with the evidence that it is in the journal
    Prove(prove::Prove),
    /// Print the newest checkpoint, to keep it elsewhere and to compare the journal with it later
    Checkpoint(checkpoint::CheckpointArgs),
    /// Check one record with its evidence, without the journal
    CheckProof(prove::CheckProof),
    /// Print the public key of the journal's checkpoints, or make another
    Key(key::Key),
    /// Print the pseudonyms of a value, to find it in records
    Hash(hash::Hash),
    /// Bring the index up to date, or make it anew
    Index(index::IndexArgs),
}

#[derive(Debug, Args)]
pub(super) struct TailArgs {
    #[command(flatten)]
    place: Journal,
    /// Show only the last COUNT records [default: all; with --follow for people the last 10]
    #[arg(short = 'n', long, value_name = "COUNT")]
    lines: Option<usize>,
    /// Stay, and show new records as they are written
    #[arg(short, long)]
    follow: bool,
    /// Zone in which times are shown: UTC, local, or a name such as Europe/Vienna
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    tz: TimeZone,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

impl Command {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        match self {
            Self::Checkpoint(checkpoint) => checkpoint.run(out),
            Self::Gates(gates) => gates.run(out),
            Self::Hash(hash) => hash.run(out),
            Self::CheckProof(check) => check.run(out),
            Self::Key(key) => key.run(out),
            Self::Prove(prove) => prove.run(out),
            Self::History(history) => history.run(out),
            Self::Index(index) => index.run(out),
            Self::Query(query) => query.run(out),
            Self::Settle(settle) => settle.run(out),
            Self::Show(show) => show.run(out),
            Self::Stats(stats) => stats.run(out),
            Self::Tail(tail) => tail.run(out),
            Self::Verify(verify) => verify.run(out),
        }
    }
}

impl TailArgs {
    fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let journal = &self.place.find()?;
        if self.follow {
            readable(journal)?;
        } else {
            expect_journal(journal)?;
        }
        let in_journal = || format!("journal {}", journal.display());
        // Whoever looks on wants what is new; a program takes all records, and those that come.
        let is_watched = self.follow && matches!(self.format, Format::Pretty);
        let mut lines = match self.lines.or_else(|| is_watched.then_some(LAST)) {
            None => {
                let mut lines = Lines::new(journal).over_damage();
                while let Some(line) = lines.next_line().with_context(in_journal)? {
                    self.print(out, &line.bytes)?;
                }
                lines
            }
            Some(most) => self.last(journal, most, out).with_context(in_journal)?,
        };
        said_unreadable(&mut lines);
        if !self.follow {
            return Ok(ExitCode::SUCCESS);
        }
        loop {
            while let Some(line) = lines.next_line().with_context(in_journal)? {
                self.print(out, &line.bytes)?;
            }
            said_unreadable(&mut lines);
            // A reader who goes away is seen also while nothing is written.
            if output::is_closed_within(POLL)? {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }

    /// Shows the last records, and goes on behind them.
    fn last(&self, journal: &Path, most: usize, out: &mut impl Write) -> std::io::Result<Lines> {
        let least = u64::try_from(most).unwrap_or(u64::MAX);
        let (lines, is_all) = last_lines(journal, least)?;
        let (mut lines, mut kept) = places(lines.over_damage(), most)?;
        if kept.len() < most && !is_all {
            // Numbers are missing.
            (lines, kept) = places(Lines::new(journal).over_damage(), most)?;
        }
        if let (Some(first), Some(last)) = (kept.front(), kept.back()) {
            let mut again = Lines::from(journal, *first).over_damage();
            while let Some(line) = again.next_line()? {
                if line.place > *last {
                    break;
                }
                self.print(out, &line.bytes)?;
            }
        }
        Ok(lines)
    }

    fn print(&self, out: &mut impl Write, line: &[u8]) -> std::io::Result<()> {
        match self.format {
            Format::Json => writeln!(out, "{}", visible_json(&String::from_utf8_lossy(line)))?,
            Format::Pretty if self.tz == TimeZone::UTC => writeln!(out, "{}", render(line))?,
            Format::Pretty => writeln!(out, "{}", render(self.zoned(line)))?,
        }
        out.flush()
    }

    /// A record with its time as it was in the zone.
    fn zoned(&self, line: &[u8]) -> Vec<u8> {
        let Ok(mut record) = serde_json::from_slice::<Value>(line) else {
            return line.to_owned();
        };
        if let Some(Value::String(timestamp)) = record.get_mut("timestamp")
            && let Ok(moment) = timestamp.parse::<Timestamp>()
        {
            let there = moment.to_zoned_datetime(self.tz.clone());
            *timestamp = there.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string();
        }
        record.to_string().into_bytes()
    }
}

/// Reads to the end: where the last lines stand, and not their texts: they may be longer than memory.
fn places(mut lines: Lines, most: usize) -> std::io::Result<(Lines, VecDeque<Place>)> {
    let mut kept = VecDeque::new();
    while let Some(line) = lines.next_line()? {
        kept.push_back(line.place);
        if kept.len() > most {
            kept.pop_front();
        }
    }
    Ok((lines, kept))
}

fn said_unreadable(lines: &mut Lines) {
    lines.unreadable().iter().for_each(unreadable);
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

/// Records with which `--follow` begins.
const LAST: usize = 10;
/// How often a journal is looked at for new records.
const POLL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};
