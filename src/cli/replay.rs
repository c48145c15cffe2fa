//! `dtgate replay`: past decisions again, under other policies.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use serde_json::json;

use super::audit::{Journal, missing, note, said, unreadable};
use super::{Format, print_json};
use crate::app;
use crate::audit::index::{Filter, Pattern, Unnamed};
use crate::audit::{OpenError, segments};
use crate::policy::{AnswersFor, Entrypoint, Trusted};
use crate::replay::{Affected, Change, Field, Options, Report, Wanted, Where, replay};
use crate::trail;
use crate::trail::when::{When, zone};
use crate::value::threads;
use crate::value::{Visible, counted, unread};

#[derive(Debug, Args)]
pub(super) struct Replay {
    #[command(flatten)]
    place: Journal,
    /// Directory of the policies to judge by
    #[arg(long, value_name = "DIR")]
    policies: PathBuf,
    /// A rule that judges besides the policies, as those of OPA's Envoy plugin do: envoy/authz/allow; may be repeated
    #[arg(long = "entrypoint", value_name = "PATH")]
    entrypoints: Vec<Entrypoint>,
    /// Only what was decided at this moment or later: 7d (ago), 2026-11-01, 2026-11-01T08:00Z
    #[arg(long, value_name = "WHEN")]
    since: Option<When>,
    /// Only what was decided before this moment
    #[arg(long, value_name = "WHEN")]
    until: Option<When>,
    /// Zone of times that name none: UTC, local, or a name such as Europe/Vienna
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    tz: TimeZone,
    /// Only decisions with this value: of caller, code, environment, operation, policy, team, token or verdict. Given
    /// several times, all must hold
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    conditions: Vec<Where>,
    /// Exit with 2 where there is one of these
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    fail_on: Vec<FailOn>,
    /// Examples for each policy and kind of change
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    examples: usize,
    /// Threads that judge [default: one a core]
    #[arg(long, value_name = "NUMBER")]
    jobs: Option<NonZeroUsize>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

/// What makes the answer a no.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum FailOn {
    /// A request that was allowed would be denied
    NewDenials,
    /// A request that was denied would be allowed
    NewAllows,
    /// A decision cannot be judged again, or not by all policies
    NotReplayed,
}

impl Replay {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let now = app::now();
        let moment = |when: Option<When>| when.map(|when| when.moment(now, &self.tz)).transpose();
        let since = moment(self.since).context("--since")?;
        let until = moment(self.until).context("--until")?;
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            bail!("--since is not before --until: nothing lies between");
        }
        self.expect_to_find()?;
        let directory = self.place.find()?;
        let journal = || format!("journal {}", directory.display());
        if since.is_some_and(|since| since > now) {
            bail!("--since lies in the future: nothing was decided since then");
        }
        let found = segments(&directory);
        if found
            .map_err(|error| anyhow::anyhow!("{}: {}", journal(), unread(&error)))?
            .is_empty()
        {
            bail!("{}: there are no segments in it", journal());
        }
        let policy = app::policies_at(&self.policies, &self.entrypoints)?;
        // As in `serve`: the interpreter judges until both engines are found equal, and looks at some of what the bytecode
        // lets pass. A short journal is done before that.
        let (proven, bytecode) = (policy.clone(), AnswersFor::All);
        let proof = threads::named("proof");
        let proving = proof.spawn(move || {
            let trusted = proven.prove(bytecode, app::COMPARED, app::SEED);
            if matches!(trusted, Trusted::Bytecode { .. }) {
                proven.keep_checking();
            }
        });
        proving.context("thread")?;
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let conditions = self.conditions.iter().cloned();
        let conditions = conditions.map(|condition| known_as(condition, &directory));
        let conditions = conditions
            .collect::<Result<Vec<_>, _>>()
            .with_context(journal)?;
        let options = Options {
            wanted: Wanted::new(since, until, conditions),
            examples: self.examples,
            jobs: self.jobs.map_or(cores, NonZeroUsize::get).min(MOST_JOBS),
        };
        let began = Instant::now();
        let report = replay(&directory, &policy, &options).with_context(journal)?;
        let took = began.elapsed();
        let trusted = policy.trusted();
        if let Trusted::Lost { difference } = &trusted {
            bail!("the two engines differ, and nothing here counts; report this: {difference}");
        }
        match self.format {
            Format::Json => {
                let mut value = json!(report);
                if let Some(members) = value.as_object_mut() {
                    members.insert("evaluator".to_owned(), json!(trusted));
                }
                print_json(out, &value)?;
            }
            Format::Pretty => {
                show(out, &report, took)?;
            }
        }
        if options.wanted.asks_by_value() {
            for key in &report.missing_keys {
                missing(key);
            }
        }
        for damaged in &report.unreadable {
            unreadable(damaged);
        }
        say_missing(&report, since.is_none());
        if report.decisions == 0 {
            let is_all = since.is_none() && until.is_none();
            say_unmet(&options.wanted, &report, is_all);
        }
        self.judge(&report)
    }

    /// The exit code, by what `--fail-on` says.
    fn judge(&self, report: &Report) -> anyhow::Result<ExitCode> {
        if !self.fail_on.is_empty() && report.replayed == 0 {
            match report.decisions {
                0 => bail!("no decision matches: --fail-on had nothing to check"),
                _ => bail!("no decision could be judged again: --fail-on had nothing to check"),
            }
        }
        if !self.fail_on.is_empty() && !report.unreadable.is_empty() {
            bail!("a part of the journal could not be read: --fail-on had not all to check");
        }
        let met = self.fail_on.iter().filter_map(|what| what.met(report));
        let met: Vec<String> = met.collect();
        if met.is_empty() {
            if !self.fail_on.is_empty() && (report.damaged > 0 || report.has_gaps()) {
                bail!(
                    "a part of the journal is missing or no record: --fail-on had not all to check"
                );
            }
            let perhaps = report.perhaps_wanted();
            if !self.fail_on.is_empty() && perhaps > 0 {
                let decisions = counted(perhaps, "decision");
                bail!(
                    "of {decisions} masks have hidden whether --where holds: --fail-on had not all to check"
                );
            }
            return Ok(ExitCode::SUCCESS);
        }
        note(&format!("--fail-on is met: {}", met.join(", ")));
        Ok(ExitCode::from(2))
    }

    /// Refuses conditions that leave out what `--fail-on` looks for: it would never be met.
    fn expect_to_find(&self) -> anyhow::Result<()> {
        for (what, hides) in [
            (
                FailOn::NewDenials,
                Where::leaves_out_new_denials as fn(&Where) -> bool,
            ),
            (FailOn::NewAllows, Where::leaves_out_new_allows),
        ] {
            let hiding = self.conditions.iter().find(|it| hides(it));
            if let Some(hiding) = hiding.filter(|_| self.fail_on.contains(&what)) {
                let what = what.to_possible_value();
                bail!(
                    "--where {}={} is about what was decided then, and leaves out what --fail-on {} looks for: use one of \
                     them",
                    hiding.field().name(),
                    hiding.value(),
                    what.as_ref().map_or("", |it| it.get_name())
                );
            }
        }
        Ok(())
    }
}

/// With the pseudonyms of the value.
fn known_as(condition: Where, journal: &Path) -> Result<Where, OpenError> {
    let value = condition.value();
    let values = vec![Pattern::Exactly(value.to_owned())];
    let asked = match condition.field() {
        // The name of a token may hold a value that got one.
        Field::Token => Filter {
            token: values,
            ..Filter::default()
        },
        Field::Caller => Filter {
            claim: values,
            client: value.parse().into_iter().collect(),
            ..Filter::default()
        },
        _ => return Ok(condition),
    };
    let names = trail::known_as(asked, journal)?.known_as.into_values();
    let names = names.flatten().collect();
    Ok(condition.known_as(names))
}

/// Which records are not there. That the beginning was deleted matters to whoever asks for all.
fn say_missing(report: &Report, is_all: bool) {
    for (first, last) in &report.missing {
        if *first > 1 {
            note(&format!(
                "records {first} to {last} are missing: nothing is said of them. Run dtgate audit verify"
            ));
        } else if is_all {
            note(&format!(
                "records 1 to {last} are not in the journal any more: nothing is said of them"
            ));
        }
    }
    if report.more_missing > 0 {
        note(&counted(report.more_missing, "further gap"));
    }
    if let Some((last, on_disk)) = report.cut {
        note(&format!(
            "the journal ends with record {last}, and record {on_disk} was on disk, says the file head: nothing is said of what \
             came after. Run dtgate audit verify"
        ));
    }
}

/// The conditions that hold of no decision of the time.
fn say_unmet(wanted: &Wanted, report: &Report, is_all: bool) {
    let when = if is_all {
        ""
    } else {
        "in the time that was asked for, "
    };
    for (condition, there) in wanted.unmet(&report.met) {
        if condition.field() != Field::Verdict {
            let what = condition.field().name();
            let unnamed = Unnamed::new(what, condition.value().to_owned(), there);
            note(&format!("{when}{}", said(&unnamed)));
        }
    }
}

impl FailOn {
    /// What there is of it.
    fn met(self, report: &Report) -> Option<String> {
        let some = |count: u64, what| (count > 0).then(|| counted(count, what));
        match self {
            Self::NewDenials => some(report.new_denials, "new denial"),
            Self::NewAllows => some(report.new_allows, "new allow"),
            Self::NotReplayed => some(report.unreplayed(), "decision")
                .map(|decisions| format!("{decisions} not judged again"))
                .or_else(|| {
                    let some = !report.not_by.is_empty();
                    some.then(|| "decisions that some policies cannot judge again".to_owned())
                })
                .or_else(|| {
                    some(report.damaged, "line").map(|lines| format!("{lines} that cannot be read"))
                })
                .or_else(|| {
                    let has_gaps = report.has_gaps();
                    has_gaps.then(|| "records that are missing".to_owned())
                }),
        }
    }
}

fn show(out: &mut impl Write, report: &Report, took: Duration) -> anyhow::Result<()> {
    let decisions = counted(report.decisions, "decision");
    write!(out, "{decisions}")?;
    if let (Some(first), Some(last)) = (&report.first, &report.last) {
        let (first, last) = (Visible(&first.timestamp), Visible(&last.timestamp));
        write!(out, ", {first} to {last}")?;
    }
    writeln!(
        out,
        ", judged again by {}",
        report.revision.get(..12).unwrap_or(&report.revision)
    )?;
    for (count, what) in [
        (report.same, "are decided alike"),
        (report.new_denials, "were allowed and would be denied"),
        (report.new_allows, "were denied and would be allowed"),
        (report.changed, "have the same verdict and other violations"),
        (report.unreplayed(), "could not be judged again"),
    ] {
        writeln!(out, "  {count:>8}  {what}")?;
    }
    if report.failed > 0 {
        writeln!(
            out,
            "A policy failed on {}: that denies, as in the gate.",
            counted(report.failed, "decision")
        )?;
    }
    if report.granted > 0 {
        writeln!(
            out,
            "{} had passed by a one-time grant: compared is what the policies said, and they denied",
            report.granted
        )?;
    }
    if report.of_other_policies > 0 {
        writeln!(
            out,
            "{} then by other policies or other data. Here the data of the candidate counts, and the time of the record.",
            match report.of_other_policies {
                1 => "1 was decided".to_owned(),
                many => format!("{many} were decided"),
            }
        )?;
    }
    for (change, title) in [
        (Change::NewDenial, "New denials"),
        (Change::NewAllow, "New allows"),
        (Change::Violations, "Other violations, same verdict"),
    ] {
        groups(out, report, change, title)?;
    }
    callers(out, report)?;
    silent(out, report)?;
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = report.replayed as f64 / took.as_secs_f64().max(0.001);
    if report.replayed >= WORTH_A_RATE {
        writeln!(out, "\n{took:.1?}, {rate:.0} decisions a second")?;
    }
    Ok(())
}

/// What nobody can say.
fn silent(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    if report.unreplayed() > 0 {
        writeln!(out, "\nNot judged again")?;
        for (reason, count) in &report.not_replayed {
            writeln!(out, "  {count:>8}  {}", Visible(reason))?;
        }
    }
    if !report.not_by.is_empty() {
        writeln!(
            out,
            "\nNot judged again by one policy, compared by the others"
        )?;
        for (policy, reasons) in &report.not_by {
            for (reason, count) in reasons {
                writeln!(
                    out,
                    "  {count:>8}  {}: {}",
                    Visible(policy),
                    Visible(reason)
                )?;
            }
        }
    }
    if report.damaged > 0 {
        writeln!(
            out,
            "\n{} no record: run `dtgate audit verify`.",
            match report.damaged {
                1 => "1 line is".to_owned(),
                many => format!("{many} lines are"),
            }
        )?;
    }
    Ok(())
}

fn groups(
    out: &mut impl Write,
    report: &Report,
    change: Change,
    title: &str,
) -> std::io::Result<()> {
    let mut groups: Vec<_> = report
        .groups
        .iter()
        .filter(|it| it.change == change)
        .collect();
    if groups.is_empty() {
        return Ok(());
    }
    groups.sort_by(|one, other| {
        other
            .count
            .cmp(&one.count)
            .then(one.policy.cmp(&other.policy))
    });
    writeln!(out, "\n{title}")?;
    for group in groups {
        writeln!(out, "  {:>8}  {}", group.count, Visible(&group.policy))?;
        for example in &group.examples {
            writeln!(
                out,
                "            {}  #{}  {}  {}  {}  {}",
                Visible(&example.timestamp),
                example.seq,
                Visible(&example.operation),
                Visible(&example.environment),
                Visible(&example.token),
                Visible(&example.by)
            )?;
            writeln!(out, "              {}", Visible(&example.says))?;
        }
    }
    Ok(())
}

fn callers(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    let weight = |it: &Affected| it.new_denials + it.new_allows + it.changed;
    let mut callers: Vec<_> = report.callers.iter().collect();
    if callers.is_empty() {
        return Ok(());
    }
    callers.sort_by_key(|(name, affected)| (std::cmp::Reverse(weight(affected)), *name));
    let more = callers.len().saturating_sub(SHOWN_CALLERS);
    writeln!(out, "\nAffected   denied  allowed   other")?;
    for (name, affected) in callers.into_iter().take(SHOWN_CALLERS) {
        row(out, *affected, &Visible(name).to_string())?;
    }
    if more > 0 {
        writeln!(
            out,
            "  and {}: --format json has more",
            counted(more as u64, "further caller")
        )?;
    }
    if !report.other_callers.is_none() {
        row(
            out,
            report.other_callers,
            "further callers that are not named",
        )?;
    }
    Ok(())
}

fn row(out: &mut impl Write, affected: Affected, name: &str) -> std::io::Result<()> {
    let Affected {
        new_denials,
        new_allows,
        changed,
        ..
    } = affected;
    writeln!(
        out,
        "         {new_denials:>8} {new_allows:>8} {changed:>7}  {name}"
    )
}

/// Threads that judge at most.
const MOST_JOBS: usize = 256;

/// Callers that are shown to people.
const SHOWN_CALLERS: usize = 20;

/// Decisions from which on a rate says something.
const WORTH_A_RATE: u64 = 1000;
