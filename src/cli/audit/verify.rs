//! `dtgate audit verify`: proves a journal, or says what is wrong with it.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use serde_json::json;

use super::opened::Journal;
use super::readable;
use super::store::{self, StoreArgs};
use super::trusted::{self, KeyOrFile};
use crate::audit::chain::NotedHead;
use crate::audit::checkpoint::note::PublicKey;
use crate::audit::index::Unnamed;
use crate::audit::verify::{Late, Recovered, Removal, Report, Trust, read_kept, verify_by};
use crate::cli::{Format, print_json};
use crate::store::{Config, Earlier, Older, Verified};
use crate::trail::lacking::of_key;
use crate::value::{Duration, Visible, counted};

#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    #[command(flatten)]
    place: Journal,
    #[command(flatten)]
    store: StoreArgs,
    /// Only the records of this gate
    #[arg(long, value_name = "NAME", requires = "store")]
    gate: Option<String>,
    /// The key that signs the journal's checkpoints, as `audit key` printed it, or a file with such keys; may stand several times
    #[arg(long, value_name = "KEY|FILE")]
    key: Vec<KeyOrFile>,
    /// The key of a witness, or a file with such keys; may stand several times
    #[arg(long, value_name = "KEY|FILE")]
    witness: Vec<KeyOrFile>,
    /// A checkpoint that was kept elsewhere: fail if the journal does not go on from it
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// `journal.checkpoint_interval` of the gate: with --key, records that are unsigned for much longer are a problem
    /// [default: what the configuration says, else 60s]
    #[arg(long, value_name = "TIME")]
    checkpoint_interval: Option<Duration>,
    /// The head that an earlier run printed: fail if it is no longer in the journal
    #[arg(long, value_name = "SEQ:HASH")]
    expect_head: Option<NotedHead>,
    /// A head that was noted before old months were dropped: what comes before it need not be there any more
    #[arg(long, value_name = "SEQ:HASH", requires = "gate", conflicts_with_all = ["key", "witness", "checkpoint"])]
    begin: Option<NotedHead>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

impl Verify {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let store = self.store.config(self.place.config.as_ref())?;
        let settings = self.place.settings_of(store.is_none())?;
        let interval = self.checkpoint_interval;
        let kept = self
            .checkpoint
            .as_ref()
            .map(|path| read_kept(path).map_err(|error| anyhow!("{}: {error}", path.display())));
        let trust = Trust {
            keys: trusted::journals(&self.key).context("--key")?,
            witnesses: trusted::witnesses(&self.witness).context("--witness")?,
            kept: kept.transpose()?,
            begins: self.begin.clone(),
            interval: Some(interval.unwrap_or(settings.checkpoint_interval)),
        };
        if let Some(store) = store {
            return self.of_store(&store, &trust, out);
        }
        let journal = &settings.directory;
        readable(journal)?;
        match verify_by(journal, self.expect_head.as_ref(), &trust) {
            Ok(report) => {
                let ok = report.problems.is_empty();
                match self.format {
                    Format::Json => print_json(out, &json!({"ok": ok, "report": report}))?,
                    Format::Pretty => {
                        show(&report, &trust.keys, out)?;
                        show_end(&report, out)?;
                    }
                }
                Ok(ExitCode::from(if ok { 0 } else { 2 }))
            }
            Err(error) if error.is_verdict() => {
                let (headline, error) = (error.headline(), error.to_string());
                match self.format {
                    Format::Json => {
                        print_json(out, &json!({"ok": false, "error": error}))?;
                    }
                    Format::Pretty => {
                        writeln!(out, "{headline}\n  {}", Visible(error))?;
                    }
                }
                Ok(ExitCode::from(2))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Of each gate that has records there, and of each that is listed.
    fn of_store(
        &self,
        config: &Config,
        trust: &Trust,
        out: &mut impl Write,
    ) -> anyhow::Result<ExitCode> {
        let asked = store::open(config)?;
        let fleet = asked.fleet(self.gate.as_deref())?;
        let mut gates = asked.recorded()?;
        gates.extend(asked.gates()?.into_iter().map(|gate| gate.name));
        if self.gate.is_none() {
            // A gate of which nothing is left is there by its key.
            gates.extend(trust.keys.iter().map(|key| key.name().to_owned()));
        }
        gates.sort();
        gates.dedup();
        if let Some(gate) = &self.gate {
            if !gates.contains(gate) {
                let unnamed = Unnamed::new("gate", gate.clone(), gates);
                bail!("{}", super::beside::said(&unnamed));
            }
            gates = vec![gate.clone()];
        }
        if gates.is_empty() {
            bail!("no gate has sent records to this store");
        }
        let is_of_one = self.expect_head.is_some() || self.checkpoint.is_some();
        if is_of_one && gates.len() > 1 {
            bail!("--expect-head and --checkpoint are of one gate: name it by --gate");
        }
        let mut is_right = true;
        for gate in gates {
            let verified = asked.verify(&fleet, &gate, self.expect_head.as_ref(), trust);
            let verified = verified.with_context(|| format!("gate {gate}"))?;
            is_right &= verified.is_right();
            match self.format {
                Format::Json => print_json(out, &to_json(&verified))?,
                Format::Pretty => show_gate(&verified, &trust.keys, out)?,
            }
        }
        Ok(ExitCode::from(if is_right { 0 } else { 2 }))
    }
}

fn to_json(verified: &Verified) -> serde_json::Value {
    let mut json = json!({
        "gate": verified.gate,
        "ok": verified.is_right(),
        "problems": verified.problems,
    });
    if let (false, Some(members)) = (verified.earlier.is_empty(), json.as_object_mut()) {
        let earlier = verified.earlier.iter();
        let earlier = earlier.map(|it| json!({"gate": it.gate, "last": it.last}));
        members.insert("earlier".to_owned(), earlier.collect());
    }
    if let (Some(older), Some(members)) = (&verified.older, json.as_object_mut()) {
        let Older {
            rows, first, last, ..
        } = older;
        let older = json!({"rows": rows, "first": first, "last": last, "lacks": older.lacks});
        members.insert("older".to_owned(), older);
    }
    if let (false, Some(members)) = (verified.notes.is_empty(), json.as_object_mut()) {
        members.insert("notes".to_owned(), json!(verified.notes));
    }
    let chain = match &verified.chain {
        None => None,
        Some(Ok(report)) => Some(("report", json!(report))),
        Some(Err(error)) => Some(("error", json!(error.to_string()))),
    };
    if let (Some((name, value)), Some(members)) = (chain, json.as_object_mut()) {
        members.insert(name.to_owned(), value);
    }
    json
}

fn show_gate(verified: &Verified, keys: &[PublicKey], out: &mut impl Write) -> std::io::Result<()> {
    let gate = Visible(&verified.gate);
    if verified.problems.is_empty() {
        writeln!(out, "gate {gate}")?;
    } else {
        writeln!(out, "gate {gate}: the store is not as this gate wrote it.")?;
    }
    for problem in &verified.problems {
        writeln!(out, "  {}", Visible(problem))?;
    }
    for Earlier { gate, last } in &verified.earlier {
        let gate = Visible(gate);
        writeln!(
            out,
            "  its records up to {last} are here as those of gate {gate}"
        )?;
    }
    if let Some(older) = &verified.older {
        writeln!(out, "  {}", of_earlier_builds(older))?;
    }
    for note in &verified.notes {
        writeln!(out, "  {}", Visible(note))?;
    }
    match &verified.chain {
        None => writeln!(out, "There are no records of it.")?,
        Some(Ok(report)) => show(report, keys, out)?,
        Some(Err(error)) => {
            writeln!(
                out,
                "{}\n  {}",
                error.headline(),
                Visible(error.to_string())
            )?;
        }
    }
    writeln!(out)
}

/// What is said of rows that another build has sent.
fn of_earlier_builds(older: &Older) -> String {
    let rows = counted(older.rows, "row");
    let columns: Vec<&str> = older.lacks.iter().copied().collect();
    let (first, last, columns) = (older.first, older.last, columns.join(", "));
    let which = if first == last {
        format!("record {first}")
    } else {
        format!("records {first} to {last}")
    };
    format!(
        "{rows} of {which}, sent by another build, not as this one tells their lines, and compared with what each build has \
         told: {columns}. Questions may miss them; docs/store.md says how to ship them again"
    )
}

fn show(report: &Report, keys: &[PublicKey], out: &mut impl Write) -> std::io::Result<()> {
    if report.problems.is_empty() {
        write!(out, "The chain holds.")?;
    } else {
        write!(out, "The journal is not whole, though its chain holds.")?;
    }
    if report.checkpoints.proven > 0 {
        let (proven, last) = (report.checkpoints.proven, report.head_seq);
        let first = (last + 1).saturating_sub(report.records);
        write!(out, " Records {first} to {proven} are proven by the key.")?;
        // The checkpoint itself is the one behind them.
        if last > proven + 1 {
            let from = proven + 2;
            write!(out, " Records {from} to {last} are not signed yet.")?;
        }
    }
    writeln!(out)?;
    for problem in &report.problems {
        writeln!(out, "  {}", Visible(problem))?;
    }
    if report.segments > 0 {
        writeln!(out, "  {:<10} {:>7}", "segments", report.segments)?;
    }
    for (name, value) in [
        ("records", report.records),
        ("allowed", report.allowed),
        ("denied", report.denied),
        ("outcomes", report.outcomes),
        ("suppressed", report.suppressed),
        (
            "in doubt",
            (report.in_doubt.len() + report.deleted_in_doubt.len()) as u64 + report.more_in_doubt,
        ),
    ] {
        writeln!(out, "  {name:<10} {value:>7}")?;
    }
    for id in &report.in_doubt {
        writeln!(out, "    decision {}", Visible(id))?;
    }
    for id in &report.deleted_in_doubt {
        writeln!(out, "    decision {}, whose record is deleted", Visible(id))?;
    }
    let recoveries = report.recoveries.len() as u64 + report.more_recoveries;
    writeln!(out, "  recoveries {recoveries:>7}")?;
    for recovered in &report.recoveries {
        writeln!(out, "    {}", Visible(told(recovered)))?;
    }
    for removal in &report.pruned {
        writeln!(out, "  {}", Visible(deleted(removal)))?;
    }
    for (record, version) in &report.other_keys {
        writeln!(
            out,
            "  from record {record} on, the key v{version} of pseudonyms is another one: values from before are found by \
             the older one only"
        )?;
    }
    for key in &report.missing_keys {
        writeln!(out, "  {}", of_key(key))?;
    }
    if let Some(why) = &report.unread_keys {
        writeln!(
            out,
            "  whether keys of pseudonyms are missing is not known: {}",
            Visible(why)
        )?;
    }
    if report.more_pruned > 0 {
        writeln!(out, "  and {} more times", report.more_pruned)?;
    }
    show_checkpoints(report, keys, out)?;
    writeln!(out, "  head       {}:{}", report.head_seq, report.head_hash)
}

/// What of the end nothing vouches for.
fn show_end(report: &Report, out: &mut impl Write) -> std::io::Result<()> {
    if !report.has_head_file {
        writeln!(
            out,
            "There is no file head beside the segments: it says how far the journal was on disk. It may have been cut."
        )?;
    }
    for record in &report.unvouched {
        writeln!(
            out,
            "Nothing vouches yet for record {record}, the last: a change of it alone cannot be seen. Note the head elsewhere, \
             and hand it in with --expect-head."
        )?;
    }
    Ok(())
}

fn show_checkpoints(
    report: &Report,
    keys: &[PublicKey],
    out: &mut impl Write,
) -> std::io::Result<()> {
    let checkpoints = &report.checkpoints;
    if report.has_unseen_checkpoints {
        return writeln!(
            out,
            "  checkpoints not looked at, because the beginning is not here"
        );
    }
    writeln!(out, "  checkpoints {:>6}", checkpoints.count)?;
    if let Some(key) = &checkpoints.key {
        let covered = checkpoints.covered;
        writeln!(out, "    the newest covers {}", counted(covered, "record"))?;
        let doubt = if keys.is_empty() {
            " (it says so; not proven without --key)"
        } else {
            ""
        };
        writeln!(out, "    signed by {}{doubt}", Visible(key))?;
    }
    if checkpoints.key_changes > 0 {
        writeln!(
            out,
            "    {} of the key",
            counted(checkpoints.key_changes, "change")
        )?;
    }
    if checkpoints.cosignatures > 0 {
        let count = counted(checkpoints.cosignatures, "cosignature");
        match checkpoints.witnessed {
            0 => writeln!(
                out,
                "    {count} of witnesses (not proven without --witness)"
            )?,
            size => writeln!(
                out,
                "    {count} of witnesses, the newest over {}",
                counted(size, "record")
            )?,
        }
    }
    for Late { from, to, by } in &checkpoints.signed_late {
        writeln!(
            out,
            "    records {from} to {to} were not signed yet when dtgate was started with record {by}: after a crash, \
             those of one checkpoint interval at most"
        )?;
    }
    if checkpoints.more_signed_late > 0 {
        writeln!(out, "    and {} more times", checkpoints.more_signed_late)?;
    }
    if let Some(size) = checkpoints.compared {
        writeln!(
            out,
            "    goes on from the checkpoint over {}",
            counted(size, "record")
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
