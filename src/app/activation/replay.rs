//! How policies would have decided what was decided last.

use anyhow::{anyhow, bail};

use crate::app::now;
use crate::config::Config;
use crate::policy::Policy;
use crate::replay::{self, Bound, Change, Report};
use crate::value::unread;

/// Policies are refused for what was decided last: later others have asked for something else.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::app) struct ByDecisions(pub(in crate::app) String);

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
    if let Some(reason) = too_few(&report, activation.replay) {
        bail!(ByDecisions(format!(
            "{reason} (policies.activation.replay)"
        )));
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
    bail!(ByDecisions(refused.join("\n")))
}

/// Why what was judged says nothing of the policies.
fn too_few(report: &Report, wanted: usize) -> Option<String> {
    let (judged, damaged) = (report.replayed, report.damaged);
    if judged == 0 && (report.decisions > 0 || damaged > 0) {
        let mut reasons: Vec<String> = report.not_replayed.keys().cloned().collect();
        if damaged > 0 {
            reasons.push(format!("lines that are no record: {damaged}"));
        }
        return Some(format!(
            "none of the newest {} decisions could be judged by the policies: {}",
            report.decisions.saturating_add(damaged),
            reasons.join("; ")
        ));
    }
    // Whoever can fill the journal with what cannot be judged would decide by which few policies are measured.
    let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
    (report.ended_by.is_some() && judged.saturating_mul(LEAST) < wanted).then(|| {
        format!(
            "only {judged} of the newest {wanted} decisions were found to be judged by the policies: newer records are \
             too many to be read, or too large to be held; see who sends so much, or ask for fewer"
        )
    })
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
/// One of so many of those that are asked for has to be judged where the look ended before there were enough.
const LEAST: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_too_little_of_policies_is_refused() {
        let report = |judged: u64, decisions: u64, damaged: u64, ended_by: Option<Bound>| {
            let mut report = Report::default();
            (report.replayed, report.decisions) = (judged, decisions);
            (report.damaged, report.ended_by) = (damaged, ended_by);
            report
        };
        let says = |report: Report| too_few(&report, 1000).unwrap_or_default();
        for fine in [
            report(0, 0, 0, None),
            report(1, 9, 9, None),
            report(100, 100, 0, Some(Bound::Held)),
            report(100, 100, 0, Some(Bound::Read)),
        ] {
            assert_eq!(says(fine), "");
        }
        let none = says(report(0, 0, 30, None));
        assert!(none.contains("none of the newest 30 decisions") && none.contains("no record: 30"));
        assert!(says(report(0, 3, 0, None)).contains("none of the newest 3 decisions"));
        for bound in [Bound::Read, Bound::Held] {
            for judged in [0, 1, 99] {
                let few = says(report(judged, judged, 0, Some(bound)));
                assert!(
                    few.contains(&format!("only {judged} of the newest 1000")),
                    "{few}"
                );
            }
        }
    }
}
