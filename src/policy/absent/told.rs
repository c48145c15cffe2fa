//! What is told of a statement that is silent, in words.

use std::collections::BTreeSet;

use crate::policy::input::{self, Presence};
use crate::policy::problem::Problem;

/// A statement, or a value, by where it begins.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Place {
    pub(super) rule: usize,
    pub(super) start: u32,
}

pub(super) struct Told {
    pub(super) problem: Problem,
    pub(super) text: String,
    /// When which member is absent.
    pub(super) when: Vec<(String, String)>,
}

impl Told {
    pub(super) fn problem(self) -> Problem {
        let when: Vec<&str> = self.when.iter().map(|(when, _)| when.as_str()).collect();
        let members: BTreeSet<&String> = self.when.iter().map(|(_, member)| member).collect();
        let rules: Vec<String> = members
            .into_iter()
            .map(|member| asking_for_absence(member))
            .collect();
        Problem {
            message: format!(
                "silent when {}: {}; bind it first if that is meant, or add a rule for `{}`",
                when.join(" or "),
                self.text,
                rules.join("` and `")
            ),
            ..self.problem
        }
    }
}

/// What to write for the absence of a member.
fn asking_for_absence(member: &str) -> String {
    let steps: Vec<&str> = member.split('.').collect();
    match input::presence(&steps) {
        Some(Presence::Flag { within, last }) => format!("not \"{last}\" in object.keys({within})"),
        _ => format!("not {member}"),
    }
}
