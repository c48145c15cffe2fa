//! What the engine complains of, with its place and in words that say what to write.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::extent::in_short;
use super::problem::Problem;

pub(super) const PANICKED: &str = "the engine panicked";

/// What an engine does, or nothing if it panicked: a panic in it must not be one of the gate. The engine is not to be
/// asked again then, because nobody knows what is left in it.
pub(super) fn guarded<T>(ask: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(ask)).ok()
}

/// What an engine answers, or what went wrong; `about` is the place of what has no other.
pub(super) fn answer<T, E: ToString>(
    about: &str,
    ask: impl FnOnce() -> Result<T, E>,
) -> Result<T, Problem> {
    match guarded(ask) {
        Some(answer) => answer.map_err(|error| engine_problem(&error.to_string(), about)),
        None => Err(Problem::new(about, 0, 0, PANICKED)),
    }
}

/// Takes file, line and column out of an error of the engine: `--> file:line:column`, a drawing, `error: text`.
pub(super) fn engine_problem(text: &str, path: &str) -> Problem {
    let place = text.lines().find_map(|line| {
        let mut parts = line.trim().strip_prefix("--> ")?.rsplitn(3, ':');
        let column: usize = parts.next()?.parse().ok()?;
        let line: usize = parts.next()?.parse().ok()?;
        Some((parts.next()?, line, column))
    });
    let message = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("error: "));
    let message = message.unwrap_or_else(|| text.trim().lines().next().unwrap_or("unknown error"));
    let message = match in_our_words(message) {
        Some(ours) => ours.to_owned(),
        None => not_closed(message).unwrap_or_else(|| in_short(message)),
    };
    match place {
        Some((path, line, column)) => {
            let source = text.lines().find_map(|drawn| {
                drawn
                    .trim_start()
                    .strip_prefix(&format!("{line} "))?
                    .trim_start()
                    .strip_prefix("| ")
            });
            let column = source.map_or(column, |source| true_column(source, column));
            let newer = source.and_then(|source| of_a_newer_opa(source, column));
            Problem::new(path, line, column, newer.map_or(message, str::to_owned))
        }
        None => Problem::new(path, 0, 0, message),
    }
}

/// The engine counts a tab as four columns; editors and OPA count one.
fn true_column(line: &str, column: usize) -> usize {
    let mut reached = 1;
    let before = line.chars().take_while(|character| {
        let before = reached < column;
        reached += if *character == '\t' { 4 } else { 1 };
        before
    });
    before.count() + 1
}

/// What to import for syntax that OPA has with an import only.
fn of_a_newer_opa(line: &str, column: usize) -> Option<&'static str> {
    let (start, _) = line.char_indices().nth(column.checked_sub(1)?)?;
    let (before, rest) = line.split_at_checked(start)?;
    let word = rest.split(|c: char| !c.is_alphanumeric()).next();
    match word {
        Some("and") => Some(
            "`and` stands between two conditions, and needs `import future.keywords.and`; without it write one condition \
             below the other",
        ),
        Some("or") => Some(
            "`or` stands between two conditions, and needs `import future.keywords.or`; without it write a rule for each \
             condition",
        ),
        _ if before.contains("not {") || rest.starts_with("not {") => Some(
            "the braces behind `not` are a set: conditions in them need `import future.keywords.not`",
        ),
        _ => None,
    }
}

/// What to write instead, where people used to older or other Rego are told only what is missing.
fn in_our_words(message: &str) -> Option<&'static str> {
    Some(match message {
        "recursion detected when evaluating rule:" => "the rule rests on itself",
        "`if` keyword is required before rule body" => {
            "the word `if` is missing before this body: in Rego v1 write `deny contains msg if { … }` and `else := value if { … }` \
             (`opa fmt --v0-v1 --write FILE` rewrites a file of Rego v0)"
        }
        "else cannot be used with set rules" | "expected assignment or query after `else`" => {
            "a rule with `contains` has one body and no `else`: write what follows as a rule of its own, \
             `deny contains … if { … }`; all rules are asked, not only the first that holds"
        }
        "unexpected keyword `else`" => {
            "`else` follows a rule with one body: write the second body as a rule of its own, or as `else := value if { … }`"
        }
        _ => return None,
    })
}

/// What is said where something else stands than the end of what is in brackets: "expecting `}` while parsing set".
fn not_closed(message: &str) -> Option<String> {
    let rest = message.strip_prefix("expecting ")?;
    let sign = rest.split(' ').next()?.trim_matches('`');
    if !["}", "]", ")"].contains(&sign) {
        return None;
    }
    let advice = if rest.ends_with(" query") {
        "a second condition begins on a line of its own, or behind `;`"
    } else {
        "if more belongs to it, a comma is missing before this"
    };
    Some(format!("`{sign}` is expected here: {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::bundle::tests::wrong;

    #[test]
    fn a_long_message_is_cut_where_a_letter_ends() {
        for short in ["", "x", &"x".repeat(1000), &"é".repeat(500)] {
            assert_eq!(in_short(short), short);
            let problem = engine_problem(&format!("error: {short}x"), "p");
            assert!(problem.message.len() < 1020, "{short}");
        }
        let cut = in_short(&format!("x{}", "é".repeat(1000)));
        assert_eq!(cut, format!("x{}… (cut)", "é".repeat(499)));
    }

    #[test]
    fn what_needs_an_import_or_is_not_there_is_named() {
        for (rules, said) in [
            (
                "deny contains \"x\" if { input.api == \"v1\" and input.x }",
                "naming.rego:3:42: `and` stands between two conditions, and needs `import future.keywords.and`",
            ),
            (
                "deny contains \"x\" if { input.api == \"v1\" or input.api == \"v2\" }",
                "naming.rego:3:42: `or` stands between two conditions, and needs `import future.keywords.or`",
            ),
            (
                "import future.keywords.or\n\ndeny contains $\"{input.api}\" if { x := (input.api or true) }",
                "naming.rego:5:51: `and` and `or` stand between two conditions here",
            ),
            (
                "deny contains \"x\" if { not { input.api == \"v1\"; input.x } }",
                "naming.rego:3:24: the braces behind `not` are a set: conditions in them need `import future.keywords.not`",
            ),
            (
                "import future.keywords.nothing\n\ndeny contains \"x\" if input.api == \"v1\"",
                "naming.rego:3:1: there is no keyword nothing to import",
            ),
            (
                "deny contains \"x\" if strings.render_template(\"{{.}}\", input)",
                "naming.rego:3:22: strings.render_template may not be used: dtgate does not have the templates",
            ),
        ] {
            let found = wrong(rules);
            assert!(found.starts_with(said), "{rules}: {found}");
        }
    }

    #[test]
    fn a_comma_that_is_missing_is_named() {
        let comma = "if more belongs to it, a comma is missing before this";
        let condition = "a second condition begins on a line of its own, or behind `;`";
        for (rules, place, sign, advice) in [
            (
                "deny contains v if {\n\tsome s in input.change.scopes.requested\n\tv := {\n\t\t\"message\": s\n\t\t\"code\": \"c\"\n\t}\n}",
                "7:4",
                '}',
                comma,
            ),
            (
                "deny contains \"x\" if input.api in [\"a\" \"b\"]",
                "3:41",
                ']',
                comma,
            ),
            (
                "deny contains \"x\" if input.api in {\"a\" \"b\"}",
                "3:41",
                '}',
                comma,
            ),
            (
                "deny contains \"x\" if startswith(input.api \"b\")",
                "3:44",
                ')',
                comma,
            ),
            (
                "deny contains \"x\" if { input.api == \"v1\" input.x }",
                "3:42",
                '}',
                condition,
            ),
        ] {
            let wanted = format!("naming.rego:{place}: `{sign}` is expected here: {advice}");
            assert_eq!(wrong(rules), wanted, "{rules}");
        }
    }

    /// The engine has a limit of its own.
    #[test]
    fn a_line_may_be_long() {
        let list = vec!["\"some.scope\""; 500].join(", ");
        let rules = format!("deny contains \"x\" if input.api in {{{list}}}");
        assert_eq!(wrong(&rules), "");
    }
}
