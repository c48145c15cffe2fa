//! `dtgate audit stats`: how many decisions, by what and when.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::ExitCode;

use anstyle::AnsiColor;
use clap::{Args, ValueEnum};
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, ZonedDateTime};
use serde_json::json;

use super::beside;
use super::opened::note;
use super::query::{Form, at_least_one};
use super::source::Asking;
use super::table::{Cell, Table, terminal};
use super::times::Times;
use super::wanted::Wanted;
use crate::audit::index::{By, Sum, Sums};
use crate::cli::print_json;
use crate::trail::csv;
use crate::value::{Visible, counted};

#[derive(Debug, Args)]
pub(in crate::cli) struct Stats {
    /// By what decisions are counted
    #[arg(long, value_enum, default_value_t = By::Verdict)]
    by: By,
    /// How long a row of the plot is
    #[arg(long, value_enum, default_value_t = Bucket::Day)]
    bucket: Bucket,
    /// Show COUNT names at most, those with the most decisions [default: 20; of json and csv all]
    #[arg(long, value_name = "COUNT", value_parser = at_least_one)]
    limit: Option<usize>,
    #[command(flatten)]
    from: Asking,
    #[command(flatten)]
    which: Wanted,
    #[command(flatten)]
    times: Times,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Form::Pretty)]
    format: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Bucket {
    Hour,
    Day,
    Week,
    Month,
}

/// Allowed and denied.
type Counts = (u64, u64);

/// Says that there was no room to count all names.
fn say_left_out(left_out: u64) {
    if left_out > 0 {
        note(&format!(
            "there are more names than are counted at once: {} of others left out. --since, --until or another filter \
             asks about fewer",
            counted(left_out, "decision")
        ));
    }
}

impl Stats {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let shown = self.times.shown();
        let there = self.from.find()?;
        let filter = self.which.filter(&shown, there.keys())?;
        let source = there.open()?;
        beside::say_counting(&source, &filter, self.by)?;
        let Sums {
            all: sums,
            left_out,
        } = match (self.format, self.by) {
            (Form::Csv, _) | (_, By::Verdict) => source.sums(&filter, self.by)?,
            _ => source.totals(&filter, self.by)?,
        };
        say_left_out(left_out);
        let mut names: BTreeMap<&str, Counts> = BTreeMap::new();
        for sum in &sums {
            add(names.entry(&sum.name).or_default(), sum);
        }
        let mut names: Vec<(&str, Counts)> = names.into_iter().collect();
        names.sort_by_key(|(name, (allowed, denied))| (std::cmp::Reverse(allowed + denied), *name));
        if self.format != Form::Pretty {
            let more = names.len() - names.len().min(self.limit.unwrap_or(usize::MAX));
            if more > 0 {
                note(&format!("and {more} more names: --limit leaves them out"));
            }
            names.truncate(self.limit.unwrap_or(usize::MAX));
        }
        if self.format == Form::Csv {
            let names: BTreeSet<&str> = names.iter().map(|(name, _)| *name).collect();
            let sums: Vec<&Sum> = sums.iter().filter(|it| names.contains(&*it.name)).collect();
            return self.csv(out, &sums, &shown.zone);
        }
        // One decision has several names, and counts once in time.
        let over_time = match self.by {
            By::Verdict => sums.clone(),
            _ => source.sums(&filter, By::Verdict)?.all,
        };
        let (buckets, has_more) = self.buckets(&over_time, &shown.zone);
        if has_more {
            note(&format!(
                "only the last {MOST} rows over time are shown: a longer --bucket, or --since and --until, show others"
            ));
        }
        match self.format {
            Form::Csv => {}
            Form::Json => {
                let lacking = beside::lacking(&source)?;
                let names = names.iter().map(|(name, (allowed, denied))| {
                    json!({"name": name, "allowed": allowed, "denied": denied})
                });
                let buckets = buckets.iter().map(|(from, (allowed, denied))| {
                    json!({"from": from.timestamp().to_string(), "allowed": allowed, "denied": denied})
                });
                let mut all = json!({
                    "names": names.collect::<Vec<_>>(),
                    "buckets": buckets.collect::<Vec<_>>(),
                });
                if let Some(members) = all.as_object_mut() {
                    let mut add = |name: &str, value| members.insert(name.to_owned(), value);
                    if !lacking.is_empty() {
                        add("missing_keys", json!(lacking));
                    }
                    if left_out > 0 {
                        add("left_out", json!(left_out));
                    }
                }
                print_json(out, &all)?;
            }
            Form::Pretty if buckets.is_empty() => writeln!(out, "No decision matches.")?,
            Form::Pretty => {
                self.table(out, &names)?;
                writeln!(out)?;
                self.plot(out, &buckets)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// A line for each name in each bucket.
    fn csv(
        &self,
        out: &mut impl Write,
        sums: &[&Sum],
        zone: &TimeZone,
    ) -> anyhow::Result<ExitCode> {
        let mut counts: BTreeMap<(ZonedDateTime, &str), Counts> = BTreeMap::new();
        for sum in sums {
            if let Some(begins) = self.bucket.of(sum.from, zone) {
                add(counts.entry((begins, &sum.name)).or_default(), sum);
            }
        }
        csv::line(
            out,
            &["from", "name", "allowed", "denied"].map(str::to_owned),
        )?;
        for ((from, name), (allowed, denied)) in counts {
            let cells = [
                from.timestamp().to_string(),
                Visible(name).to_string(),
                allowed.to_string(),
                denied.to_string(),
            ];
            csv::line(out, &cells)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn table(&self, out: &mut impl Write, names: &[(&str, Counts)]) -> anyhow::Result<()> {
        let (title, of_none) = match self.by {
            By::Verdict => ("VERDICT", "(none)"),
            By::Policy => ("POLICY", "(none objected)"),
            By::Code => ("CODE", "(none objected, or without a code)"),
            By::Caller => ("CALLER", "(nothing proven)"),
            By::Credential => ("CREDENTIAL", "(no credential)"),
            By::Subject => ("SUBJECT", "(no token)"),
            By::Certificate => ("CERTIFICATE", "(no certificate)"),
            By::Team => ("TEAM", "(no team)"),
            By::Scope => ("SCOPE", "(no scope asked for)"),
            By::Environment => ("ENVIRONMENT", "(not known)"),
            By::Operation => ("OPERATION", "(not known)"),
            By::Client => ("CLIENT", "(not known)"),
            By::Outcome => ("OUTCOME", "(not known)"),
            By::Token => ("TOKEN", "(no token named)"),
            By::Challenger => ("CHALLENGER", "(not otherwise, or not asked)"),
        };
        let table = Table::new(&[(title, 12), ("ALLOWED", 7), ("DENIED", 7)]);
        let mut table = table.numbers(&["ALLOWED", "DENIED"]);
        let limit = self.limit.unwrap_or(NAMES);
        for (name, (allowed, denied)) in names.iter().take(limit) {
            let name = if name.is_empty() { of_none } else { name };
            table.add(vec![
                Visible(name).to_string().into(),
                allowed.to_string().into(),
                Cell {
                    text: denied.to_string(),
                    style: AnsiColor::Red.on_default(),
                },
            ]);
        }
        table.show(out, terminal())?;
        if names.len() > limit {
            writeln!(out, "and {} more", names.len() - limit)?;
        }
        Ok(())
    }

    /// Every bucket from the first to the last, those with nothing in them too; and whether there are older ones.
    fn buckets(&self, sums: &[Sum], zone: &TimeZone) -> (Vec<(ZonedDateTime, Counts)>, bool) {
        let mut counts: BTreeMap<ZonedDateTime, Counts> = BTreeMap::new();
        for sum in sums {
            if let Some(begins) = self.bucket.of(sum.from, zone) {
                add(counts.entry(begins).or_default(), sum);
            }
        }
        let Some((first, last)) = counts
            .first_key_value()
            .zip(counts.last_key_value())
            .map(|((first, _), (last, _))| (first.clone(), last.clone()))
        else {
            return (Vec::new(), false);
        };
        let (mut all, mut at) = (Vec::new(), Some(last));
        while let Some(begins) = at.take_if(|at| *at >= first && all.len() < MOST) {
            let count = counts.get(&begins).copied().unwrap_or_default();
            at = self.bucket.before(&begins);
            all.push((begins, count));
        }
        all.reverse();
        (all, at.is_some_and(|at| at >= first))
    }

    fn plot(
        &self,
        out: &mut impl Write,
        buckets: &[(ZonedDateTime, Counts)],
    ) -> anyhow::Result<()> {
        let most = buckets.iter().map(|(_, (a, d))| a + d).max().unwrap_or(1);
        let said = |(allowed, denied): &Counts| format!("{allowed} allowed, {denied} denied");
        let counts = buckets.iter().map(|(_, counts)| said(counts).len());
        // The time before it, the counts behind it, and what each bar is rounded up by.
        let beside = counts.max().unwrap_or(0) + TIME;
        let room = terminal()
            .unwrap_or(100)
            .saturating_sub(beside)
            .clamp(8, 60);
        let ascii = !is_utf8();
        for (at, counts @ (allowed, denied)) in buckets {
            let (green, red) = (AnsiColor::Green.on_default(), AnsiColor::Red.on_default());
            let time = at.strftime(self.bucket.form());
            let bars = [
                bar(*allowed, most, room, if ascii { '=' } else { '█' }),
                bar(*denied, most, room, if ascii { 'x' } else { '░' }),
            ];
            let [allowed_bar, denied_bar] = bars;
            let counts = said(counts);
            writeln!(
                out,
                "{time}  {green}{allowed_bar}{green:#}{red}{denied_bar}{red:#} {counts}"
            )?;
        }
        Ok(())
    }
}

impl Bucket {
    fn of(self, ms: i64, zone: &TimeZone) -> Option<ZonedDateTime> {
        let at = Timestamp::from_millisecond(ms)
            .ok()?
            .to_zoned_datetime(zone.clone());
        let day = || at.start_of_day().ok();
        match self {
            Self::Hour => at
                .with()
                .minute(0)
                .second(0)
                .subsec_nanosecond(0)
                .build()
                .ok(),
            Self::Day => day(),
            Self::Week => {
                let back = at.weekday().since(Weekday::Monday);
                day()?.checked_sub(i64::from(back).days()).ok()
            }
            Self::Month => at.first_of_month().ok()?.start_of_day().ok(),
        }
    }

    /// The bucket before the one that begins here.
    fn before(self, begins: &ZonedDateTime) -> Option<ZonedDateTime> {
        let span = match self {
            Self::Hour => 1.hour(),
            Self::Day => 1.day(),
            Self::Week => 1.week(),
            Self::Month => 1.month(),
        };
        // Days do not all begin at the same hour.
        let within = begins.checked_sub(span).ok()?;
        self.of(within.timestamp().as_millisecond(), begins.time_zone())
    }

    fn form(self) -> &'static str {
        match self {
            Self::Hour => "%Y-%m-%d %H:%M",
            Self::Day | Self::Week => "%Y-%m-%d",
            Self::Month => "%Y-%m",
        }
    }
}

fn add(counts: &mut Counts, sum: &Sum) {
    counts.0 += sum.allowed;
    counts.1 += sum.denied;
}

/// A bar of this character, in eighths where there are such; whatever is not nothing is seen.
fn bar(count: u64, most: u64, room: usize, full: char) -> String {
    if count == 0 {
        return String::new();
    }
    let eighths = u128::from(count) * room as u128 * 8 / u128::from(most.max(1));
    let eighths = usize::try_from(eighths).unwrap_or(0).max(1);
    if full != '█' {
        return full.to_string().repeat(eighths.div_ceil(8));
    }
    let mut bar = full.to_string().repeat(eighths / 8);
    bar.extend(PARTS.chars().nth(eighths % 8).filter(|part| *part != ' '));
    bar
}

/// Whether the terminal shows more than ASCII.
fn is_utf8() -> bool {
    let named = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(std::env::var_os)
        .find(|value| !value.is_empty());
    named.is_some_and(|name| {
        let name = name.to_string_lossy().to_lowercase();
        name.contains("utf-8") || name.contains("utf8")
    })
}

const PARTS: &str = " ▏▎▍▌▋▊▉";

/// Columns for the time, for blanks, and for two bars of nearly nothing.
const TIME: usize = 16 + 3 + 2;
/// Of a table.
const NAMES: usize = 20;
/// Rows of a plot.
const MOST: usize = 2000;
