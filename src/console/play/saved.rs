//! A request with what policies say to it, as a test that `dtgate test` and `opa test` run.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use super::Opinion;
use crate::policy::{Rule, Violation};

/// A file of tests.
pub(super) struct Test {
    /// Of the file.
    pub(super) name: String,
    pub(super) text: String,
}

/// One that holds as long as each policy says as much as it did. Policies that failed are left out.
pub(super) fn test(wanted: &str, opinion: &Opinion) -> Test {
    let package = package(wanted);
    let mut said: BTreeMap<String, usize> = BTreeMap::new();
    let mut failed: Vec<&str> = Vec::new();
    for violation in &opinion.violations {
        if violation.is_failure() {
            failed.push(&violation.policy);
        }
        *said.entry(rule_of(violation)).or_default() += 1;
    }
    let verdict = if opinion.allowed { "allowed" } else { "denied" };
    let mut text = format!(
        "# Made in the playground of dtgate. By the modes and exceptions of then, the request was {verdict}.\n\
         package dtgate.{package}_test\n"
    );
    for rule in &opinion.rules {
        let mut steps = rule.rsplit('.');
        let (Some(kind), Some(policy)) = (steps.next(), steps.next()) else {
            continue;
        };
        if failed.contains(&policy) {
            add(&mut text, &format!("\n# {policy} could not be asked.\n"));
            continue;
        }
        let count = said.get(rule).copied().unwrap_or_default();
        let (name, holds) = match count {
            0 => (format!("test_{policy}_{kind}_is_silent"), "== 0".to_owned()),
            _ if opinion.more > 0 => (format!("test_{policy}_{kind}_objects"), "> 0".to_owned()),
            count => (
                format!("test_{policy}_{kind}_objects"),
                format!("== {count}"),
            ),
        };
        add(
            &mut text,
            &format!("\n{name} if {{\n\tcount({rule}) {holds} with input as _request\n}}\n"),
        );
    }
    add(&mut text, "\n_request := ");
    write_value(&mut text, &opinion.input, 0);
    text.push('\n');
    Test {
        name: format!("{package}_test.rego"),
        text,
    }
}

fn rule_of(violation: &Violation) -> String {
    let kind = match violation.rule {
        Rule::Deny => "deny",
        Rule::Warn => "warn",
    };
    format!("data.dtgate.{}.{kind}", violation.policy)
}

/// A name that Rego takes.
fn package(wanted: &str) -> String {
    let plain = wanted.trim().chars().map(|letter| match letter {
        'a'..='z' | '0'..='9' | '_' => letter,
        'A'..='Z' => letter.to_ascii_lowercase(),
        _ => '_',
    });
    let plain: String = plain.take(LONGEST).collect();
    let plain = plain.trim_matches('_');
    let plain = plain.strip_suffix("_test").unwrap_or(plain);
    match plain.chars().next() {
        Some('a'..='z') => plain.to_owned(),
        Some(_) => format!("saved_{plain}"),
        None => "saved".to_owned(),
    }
}

/// As `opa fmt` writes it.
fn write_value(text: &mut String, value: &Value, depth: usize) {
    let inner = "\t".repeat(depth + 1);
    let outer = "\t".repeat(depth);
    match value {
        Value::Object(members) if !members.is_empty() => {
            text.push_str("{\n");
            for (name, value) in members {
                add(text, &format!("{inner}{}: ", Value::from(name.as_str())));
                write_value(text, value, depth + 1);
                text.push_str(",\n");
            }
            add(text, &format!("{outer}}}"));
        }
        Value::Array(values) if !values.is_empty() => {
            text.push_str("[\n");
            for value in values {
                text.push_str(&inner);
                write_value(text, value, depth + 1);
                text.push_str(",\n");
            }
            add(text, &format!("{outer}]"));
        }
        other => add(text, &other.to_string()),
    }
}

fn add(text: &mut String, more: &str) {
    write!(text, "{more}").expect("writing to a string cannot fail");
}

/// Letters of a name.
const LONGEST: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_rego_takes() {
        for (wanted, package_name) in [
            ("", "saved"),
            ("My Case!", "my_case"),
            ("7 days", "saved_7_days"),
            ("x_test", "x"),
            ("\"] } x", "x"),
        ] {
            assert_eq!(package(wanted), package_name, "{wanted}");
        }
    }
}
