//! How policies would have decided what was decided last.

use anyhow::{anyhow, bail};

use crate::app::now;
use crate::config::Config;
use crate::policy::Policy;
use crate::replay::{self, Bound, Change, Report};
use crate::value::unread;

/// Judges the newest decisions of the journal again, and refuses policies that would have decided too many otherwise.
///
/// `in_force`: those that the new ones take the place of, if they are known.
pub(in crate::app) fn replay(
    config: &Config,
    policy: &Policy,
    in_force: Option<&Policy>,
) -> anyhow::Result<()> {
    let activation = &config.policies.activation;
    if activation.replay == 0 {
        return Ok(());
    }
    let journal = &config.journal.directory;
    let report = replay::newest(journal, policy, in_force, now(), activation.replay);
    let report = report.map_err(|error| {
        let (journal, reason) = (journal.display(), unread(&error));
        anyhow!("policies.activation.replay: {journal}: {reason}")
    })?;
    tracing::info!(
        decisions = report.decisions,
        judged = report.replayed,
        new_denials = report.new_denials,
        new_allows = report.new_allows,
        turned_away = report.turned_away,
        "the newest decisions of the journal were judged by the new policies"
    );
    if report.replayed == 0 && report.decisions > 0 {
        let reasons: Vec<&str> = report.not_replayed.keys().map(String::as_str).collect();
        bail!(
            "none of the newest {} decisions could be judged by the policies: {} (policies.activation.replay)",
            report.decisions,
            reasons.join("; ")
        );
    }
    say_what_was_not_judged(&report, activation.replay);
    let too_many = [
        (
            Change::NewDenial,
            report.new_denials,
            activation.new_denials,
            "new_denials",
            "deny",
            "allowed",
        ),
        (
            Change::NewAllow,
            report.new_allows,
            activation.new_allows,
            "new_allows",
            "allow",
            "denied",
        ),
    ];
    let refused = too_many
        .into_iter()
        .filter(|(_, found, most, ..)| found > most);
    let refused = refused.map(|(change, found, most, key, does, did)| {
        format!(
            "the policies would {does} {found} of the newest {} decisions that were {did}, and \
             policies.activation.{key} is {most}{}{}",
            report.replayed,
            examples(&report, change),
            callers(&report, change)
        )
    });
    let refused: Vec<String> = refused.collect();
    if refused.is_empty() {
        return Ok(());
    }
    bail!("{}", refused.join("\n"))
}

/// By policy, with the first of each.
fn examples(report: &Report, change: Change) -> String {
    let groups = report.groups.iter().filter(|group| group.change == change);
    let groups = groups.map(|group| {
        let example = group.examples.first().map(|example| {
            format!(
                ", first decision {} {}: {}",
                example.decision_id, example.by, example.says
            )
        });
        format!(
            "\n{}: {}{}",
            group.policy,
            group.count,
            example.unwrap_or_default()
        )
    });
    groups.collect()
}

/// Whoever asked for most of them: one caller alone may be the cause.
fn callers(report: &Report, change: Change) -> String {
    let number = |affected: &replay::Affected| match change {
        Change::NewDenial => affected.new_denials,
        Change::NewAllow => affected.new_allows,
        Change::Violations => affected.changed,
    };
    let callers = report.callers.iter();
    let callers = callers.map(|(name, affected)| (number(affected), name.as_str()));
    let mut callers: Vec<_> = callers.filter(|(number, _)| *number > 0).collect();
    callers.sort_by_key(|(number, name)| (std::cmp::Reverse(*number), *name));
    let shown = callers.iter().take(MOST_CALLERS);
    let shown = shown.map(|(number, name)| format!("{name} ({number})"));
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() {
        return String::new();
    }
    format!("\nasked for by {}", shown.join(", "))
}

/// What was not looked at may be decided otherwise.
fn say_what_was_not_judged(report: &Report, wanted: usize) {
    let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
    let (judged, damaged) = (report.replayed, report.damaged);
    match report.ended_by {
        _ if judged >= wanted => {}
        None => tracing::warn!(
            wanted,
            judged,
            damaged,
            "the journal has fewer decisions that policies can judge again than policies.activation.replay asks for"
        ),
        Some(Bound::Read) => tracing::warn!(
            wanted,
            judged,
            damaged,
            "the journal has older decisions that the new policies did not judge: newer records are too many to be read"
        ),
        Some(Bound::Held) => tracing::warn!(
            wanted,
            judged,
            damaged,
            "the journal has more decisions that the new policies did not judge: they are too large to be held at once"
        ),
    }
    for (policy, reasons) in &report.not_by {
        for (reason, decisions) in reasons {
            tracing::warn!(%policy, decisions, %reason, "a policy could not judge decisions of the journal again");
        }
    }
}

const MOST_CALLERS: usize = 5;
