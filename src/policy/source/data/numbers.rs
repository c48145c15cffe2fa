//! Numbers in JSON that would be others in the engine: OPA has all their digits.

use crate::policy::lexical::numbers;
use crate::policy::problem::Problem;
use crate::policy::source::files::File;

/// Refuses a number that cannot be held. The file is known to be JSON.
pub(super) fn refuse(file: &File) -> Result<(), Problem> {
    let text = file.text.as_str();
    let mut at = 0;
    let begins = |c: char| c == '"' || c == '-' || c.is_ascii_digit();
    while let Some(found) = text.get(at..).and_then(|rest| rest.find(begins)) {
        at += found;
        let rest = text.get(at..).unwrap_or_default();
        if rest.starts_with('"') {
            at += text_length(rest);
            continue;
        }
        let end = rest.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
        let number = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        if let Some(message) = unheld(number) {
            let before = text.get(..at).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default();
            let column = column.chars().count() + 1;
            return Err(Problem::new(&file.path, line, column, message));
        }
        at += number.len();
    }
    Ok(())
}

/// How long the text at the beginning is, with its quotation marks.
fn text_length(rest: &str) -> usize {
    let mut escaped = false;
    let end = rest.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    });
    end.map_or(rest.len(), |end| end + 2)
}

fn unheld(number: &str) -> Option<String> {
    let is_integer = !number.contains(['.', 'e', 'E']);
    if is_integer && number.parse::<i64>().is_err() && number.parse::<u64>().is_err() {
        return Some(too_long(number));
    }
    numbers::unheld(number)
}

pub(super) fn too_long(integer: &str) -> String {
    format!("dtgate cannot hold {integer}: an integer in data has 64 bits; write it as a text")
}
