//! `dtgate endpoints --unknown`: the writes that passed and that the catalogue does not know, from a journal.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::audit::lines::Lines;
use crate::audit::tail::name;
use crate::cli::audit::expect_journal;
use crate::cli::{Format, print_json};
use crate::value::{Visible, counted};

/// What an `unseen` record says.
#[derive(Deserialize)]
struct Record {
    first: String,
    last: String,
    count: u64,
    #[serde(default)]
    statuses: BTreeMap<String, u64>,
    method: Option<String>,
    path: Option<String>,
    #[serde(default)]
    caller: Value,
    requested_by: Option<String>,
}

/// All writes with one method to paths of one shape.
#[derive(Serialize)]
struct Writes {
    method: String,
    path: String,
    count: u64,
    first: String,
    last: String,
    statuses: BTreeMap<String, u64>,
    /// Teams, names that were proven, or public ids; the address of those of whom nothing else is known.
    callers: BTreeSet<String>,
}

/// What a journal says.
#[derive(Default)]
struct Found {
    writes: BTreeMap<(String, String), Writes>,
    /// Writes that there was no room to tell apart, and of them those of one address each.
    others: u64,
    others_by: BTreeMap<String, u64>,
    /// Lines that are no records.
    damaged: u64,
}

/// Lists them, the most frequent first.
pub(super) fn list(journal: &Path, format: Format, out: &mut impl Write) -> anyhow::Result<()> {
    expect_journal(journal)?;
    let found = Found::read(journal).with_context(|| format!("journal {}", journal.display()))?;
    let Found {
        writes,
        others,
        others_by,
        damaged,
    } = found;
    let mut writes: Vec<Writes> = writes.into_values().collect();
    writes.sort_by_key(|writes| Reverse(writes.count));
    match format {
        Format::Json => print_json(
            out,
            &json!({
                "writes": writes, "others": others, "others_by": others_by, "damaged_lines": damaged,
            }),
        )?,
        Format::Pretty => {
            show(&writes, out)?;
            show_others(others, &others_by, out)?;
            if damaged > 0 {
                let lines = counted(damaged, "damaged line");
                let were = if damaged == 1 { "was" } else { "were" };
                writeln!(
                    out,
                    "\n{lines} {were} left out: run `dtgate audit verify --journal {}`.",
                    journal.display()
                )?;
            }
        }
    }
    Ok(())
}

impl Found {
    fn read(journal: &Path) -> std::io::Result<Self> {
        let mut found = Self::default();
        let mut lines = Lines::new(journal);
        while let Some(line) = lines.next_line()? {
            match record(&line.bytes) {
                Ok(Some(record)) => found.add(record),
                Ok(None) => {}
                Err(_damaged) => found.damaged += 1,
            }
        }
        Ok(found)
    }

    fn add(&mut self, record: Record) {
        let (Some(method), Some(path)) = (record.method, record.path) else {
            self.others = self.others.saturating_add(record.count);
            if let Some(address) = record.requested_by {
                let sum = self.others_by.entry(address).or_default();
                *sum = sum.saturating_add(record.count);
            }
            return;
        };
        let writes = self.writes.entry((path, method));
        let (path, method) = writes.key().clone();
        let writes = writes.or_insert_with(|| Writes {
            method,
            path,
            count: 0,
            first: record.first.clone(),
            last: record.last.clone(),
            statuses: BTreeMap::new(),
            callers: BTreeSet::new(),
        });
        writes.count = writes.count.saturating_add(record.count);
        // Of one notation: as text they are in the order of time.
        writes.first = record.first.min(std::mem::take(&mut writes.first));
        writes.last = record.last.max(std::mem::take(&mut writes.last));
        for (status, count) in record.statuses {
            let counted = writes.statuses.entry(status).or_default();
            *counted = counted.saturating_add(count);
        }
        let caller = name(&record.caller);
        writes.callers.extend(caller.or(record.requested_by));
    }
}

/// What a line says of what was unseen; `None`: it is another record.
fn record(line: &[u8]) -> serde_json::Result<Option<Record>> {
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
    }
    // Reads all of it as text, also what is not kept.
    let line = std::str::from_utf8(line).map_err(serde_json::Error::custom)?;
    let Kind { kind } = serde_json::from_str(line)?;
    (kind == "unseen")
        .then(|| serde_json::from_str(line))
        .transpose()
}

impl Writes {
    /// The columns of its line.
    fn columns(&self) -> [String; 7] {
        let statuses = self.statuses.iter();
        let statuses: Vec<String> = statuses
            .map(|(status, count)| format!("{status}: {count}"))
            .collect();
        let mut callers: Vec<&str> = self.callers.iter().map(String::as_str).collect();
        let more = format!("and {} more", callers.len().saturating_sub(CALLERS));
        if callers.len() > CALLERS {
            callers.truncate(CALLERS);
            callers.push(&more);
        }
        [
            self.count.to_string(),
            self.method.clone(),
            self.path.clone(),
            statuses.join(", "),
            self.first.clone(),
            self.last.clone(),
            callers.join(", "),
        ]
        .map(|text| Visible(text).to_string())
    }
}

fn show(writes: &[Writes], out: &mut impl Write) -> std::io::Result<()> {
    let title = [
        "count", "method", "path", "answered", "first", "last", "callers",
    ];
    let mut lines = vec![title.map(str::to_owned)];
    lines.extend(writes.iter().map(Writes::columns));
    let widths: Vec<usize> = (0..title.len())
        .map(|column| {
            lines
                .iter()
                .filter_map(|line| Some(line.get(column)?.len()))
                .max()
        })
        .map(|width| width.unwrap_or_default().min(WIDEST))
        .collect();
    if writes.is_empty() {
        writeln!(
            out,
            "The journal lists no unknown writes. The gate writes them there once an hour, and when it stops."
        )?;
    } else {
        for line in &lines {
            let columns = line.iter().zip(&widths);
            let padded: Vec<String> = columns
                .map(|(text, width)| format!("{text:<width$}"))
                .collect();
            writeln!(out, "{}", padded.join("  ").trim_end())?;
        }
    }
    Ok(())
}

/// Those that there was no room to tell apart, and whose most of them are.
fn show_others(
    others: u64,
    by: &BTreeMap<String, u64>,
    out: &mut impl Write,
) -> std::io::Result<()> {
    if others == 0 {
        return Ok(());
    }
    write!(
        out,
        "\n{others} more writes there was no room to tell apart"
    )?;
    let mut by: Vec<_> = by.iter().collect();
    by.sort_by_key(|(_, count)| Reverse(**count));
    for (number, (address, count)) in by.iter().take(CALLERS).enumerate() {
        let sign = if number == 0 { ":" } else { "," };
        write!(out, "{sign} {count} from {}", Visible(address))?;
    }
    writeln!(out, ".")
}

/// Callers that a line names.
const CALLERS: usize = 3;

/// The widest column; a longer text ends its alignment.
const WIDEST: usize = 200;
