//! What the engine complains of, with its place and in words that say what to write.

use super::bundle::Problem;

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
    let message = in_our_words(message).unwrap_or(message);
    match place {
        Some((path, line, column)) => {
            let source = text.lines().find_map(|drawn| {
                drawn
                    .trim_start()
                    .strip_prefix(&format!("{line} "))?
                    .trim_start()
                    .strip_prefix("| ")
            });
            Problem::new(
                path,
                line,
                source.map_or(column, |source| true_column(source, column)),
                message,
            )
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
