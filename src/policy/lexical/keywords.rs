//! Keywords that a file imports, and keywords that begin a reference.
//!
//! In Rego v1 the words of `import future.keywords` from before are part of the language, and OPA takes their import for
//! nothing, beside `import rego.v1` too. The engine refuses two that name the same word. Three words are new: `not` with
//! a body, `and`, `or`.

use super::Wrong;
use super::moved::Changes;
use super::tokens::{Kind, Token};

/// What a file may use because it imports it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Imported {
    pub(super) not: bool,
    pub(super) and: bool,
    pub(super) or: bool,
}

impl Imported {
    pub(super) fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// The keywords that are imported; what the engine would refuse is taken out. Behind the header nothing is imported.
pub(super) fn imported(text: &str, tokens: &[Token], changes: &mut Changes) -> Imported {
    let mut imported = Imported::default();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let first = word(text, token);
        if !["import", "package"].contains(&first) || is_reference(text, tokens, at) {
            break;
        }
        let rest = tokens.get(at + 1..).unwrap_or_default();
        at += 1 + header(text, rest);
        let Some((path, end)) = path(text, rest).filter(|_| first == "import") else {
            continue;
        };
        match path.as_slice() {
            ["future", "keywords"] | ["rego", "v2"] => {
                imported = Imported {
                    not: true,
                    and: true,
                    or: true,
                };
            }
            ["future", "keywords", "not"] => imported.not = true,
            ["future", "keywords", "and"] => imported.and = true,
            ["future", "keywords", "or"] => imported.or = true,
            // The last says nothing that is not so: the engine would print to standard error that it is redundant, and
            // panic where that is closed.
            ["future", "keywords", "contains" | "every" | "if" | "in"] | ["input"] => {}
            _ => continue,
        }
        let written = text.get(token.start..end).unwrap_or_default();
        let blank = written.chars().map(|c| if c == '\n' { c } else { ' ' });
        changes.replace(token.start, end, blank.collect());
    }
    imported
}

/// Whether `rego.v1` is imported, under no other name: OPA knows none.
pub(super) fn says_rego_v1(text: &str, tokens: &[Token]) -> bool {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let first = word(text, token);
        if !["import", "package"].contains(&first) || is_reference(text, tokens, at) {
            return false;
        }
        let rest = tokens.get(at + 1..).unwrap_or_default();
        let length = header(text, rest);
        let found = path(text, rest).filter(|_| first == "import");
        if found.is_some_and(|(path, _)| path == ["rego", "v1"] && length == 3) {
            return true;
        }
        at += 1 + length;
    }
    false
}

/// How many words a path takes, with the name that is given to it.
fn header(text: &str, tokens: &[Token]) -> usize {
    let joined = tokens
        .windows(2)
        .take_while(|pair| matches!(pair, [one, other] if one.end == other.start));
    let length = joined.count() + 1;
    let named = tokens
        .get(length)
        .is_some_and(|next| word(text, next) == "as");
    length + if named { 2 } else { 0 }
}

/// Names with dots between them, and where they end; nothing where more follows.
fn path<'a>(text: &'a str, tokens: &[Token]) -> Option<(Vec<&'a str>, usize)> {
    let mut path = Vec::new();
    let mut tokens = tokens.iter().peekable();
    loop {
        let name = tokens.next().filter(|token| token.kind == Kind::Name)?;
        path.push(word(text, name));
        match tokens.peek() {
            Some(next) if word(text, next) == "." => {
                tokens.next();
            }
            Some(next) if word(text, next) == "as" || next.start == name.end => return None,
            _ => return Some((path, name.end)),
        }
    }
}

/// The keywords that may begin a reference.
const KEYWORDS: [&str; 15] = [
    "as", "contains", "default", "else", "every", "false", "if", "import", "in", "not", "null",
    "package", "some", "true", "with",
];

/// What stands before a keyword that is a name.
const MARK: &str = "dtgate_word_";

/// What the names begin with that only dtgate gives, here and where policies are written out.
const OWN: &str = "dtgate_";

/// The name as it is written in the file.
pub(in crate::policy) fn without_mark(name: &str) -> &str {
    name.strip_prefix(MARK).unwrap_or(name)
}

/// Whether a name of a rule is a keyword.
pub(in crate::policy) fn is_keyword(name: &str) -> bool {
    KEYWORDS.contains(&name)
}

/// Marks keywords that are names, and refuses names that look like such.
pub(super) fn references(text: &str, tokens: &[Token], changes: &mut Changes) -> Result<(), Wrong> {
    for (number, token) in tokens.iter().enumerate() {
        if token.kind != Kind::Name {
            continue;
        }
        let name = word(text, token);
        let before = number.checked_sub(1).and_then(|at| tokens.get(at));
        let is_package = before.is_some_and(|before| word(text, before) == "package");
        if name.starts_with(OWN) && !is_package && !is_step(text, tokens, number) {
            let said = "names that begin with dtgate_ are dtgate's own: give it another";
            return Err(Wrong::new(token.start, said));
        }
        if is_keyword(name) && is_reference(text, tokens, number) {
            changes.open(token.start, MARK);
        }
    }
    Ok(())
}

/// Whether a keyword is the first step of a reference.
pub(super) fn is_reference(text: &str, tokens: &[Token], number: usize) -> bool {
    let at = |number: usize| tokens.get(number).map(|token| (word(text, token), token));
    let Some((name, token)) = at(number) else {
        return false;
    };
    match at(number + 1) {
        _ if is_step(text, tokens, number) => false,
        Some((".", next)) => token.end == next.start,
        Some(("[", next)) if token.end == next.start => {
            let before = number.checked_sub(1).and_then(at);
            let Some((before, end)) = before.map(|(word, token)| (word, token.end)) else {
                return false;
            };
            let begins_line = text
                .get(end..token.start)
                .is_some_and(|between| between.contains('\n'));
            // Elsewhere these stand between two operands, or before one.
            let joins = ["as", "else", "if", "in", "with"].contains(&name);
            matches!(before, ";" | "{" | "|" | "if" | "default") || (begins_line && !joins)
        }
        _ => false,
    }
}

/// Whether a dot stands before it.
pub(super) fn is_step(text: &str, tokens: &[Token], number: usize) -> bool {
    let before = number.checked_sub(1).and_then(|before| tokens.get(before));
    before.is_some_and(|before| word(text, before) == ".")
}

pub(super) fn word<'a>(text: &'a str, token: &Token) -> &'a str {
    text.get(token.start..token.end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::super::bundle::tests::problems;

    fn said(imports: &str) -> Vec<String> {
        let rule = "deny contains \"x\" if input.nowhere";
        problems(&[("p.rego", &format!("package dtgate.p\n{imports}\n{rule}\n"))])
    }

    #[test]
    fn the_header_of_older_policies_is_taken_for_nothing() {
        for imports in [
            "import future.keywords.contains\nimport future.keywords.if",
            "import future.keywords",
            "\timport  future.keywords.in # for v0\nimport future.keywords.every\r",
            "import rego.v1\nimport future.keywords.if",
            "import future.keywords\nimport rego.v1",
            "import future.keywords.if\nimport future.keywords",
            "import future.keywords.if\nimport future.keywords.if\n",
            "import rego.v2\nimport future.keywords.not",
        ] {
            let lines = imports.lines().count() + 2 + usize::from(imports.ends_with('\n'));
            let wanted =
                format!("p.rego:{lines}:28: the input document has no member input.nowhere");
            let said = said(imports);
            assert!(
                said.len() == 1 && said[0].starts_with(&wanted),
                "{imports}: {said:?}"
            );
        }
    }
}
