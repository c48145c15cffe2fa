//! Where a key stands in the file that the configuration was read from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::Config;
use crate::policy::Problem;

/// The file, and what stands in it.
#[derive(Clone, Debug)]
pub(super) struct File {
    path: PathBuf,
    pub(super) text: Arc<str>,
}

/// Where something stands changes nothing.
impl PartialEq for File {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl File {
    pub(super) fn new(path: &Path, text: String) -> Self {
        Self {
            path: path.to_owned(),
            text: text.into(),
        }
    }
}

impl Config {
    /// Whether the file says this key itself.
    pub(crate) fn has(&self, keys: &[&str]) -> bool {
        let table = self.file.as_ref();
        let table = table.and_then(|file| file.text.parse::<toml::Table>().ok());
        let Some((last, around)) = keys.split_last() else {
            return false;
        };
        let mut within = table;
        for key in around {
            within = within.and_then(|mut table| match table.remove(*key) {
                Some(toml::Value::Table(below)) => Some(below),
                _ => None,
            });
        }
        within.is_some_and(|table| table.contains_key(*last))
    }

    /// What is to be said about a key, at its place, or at that of the nearest one around it which is there. A number
    /// is the place in a list.
    pub(crate) fn problem(&self, keys: &[&str], message: &str) -> Problem {
        let dotted = keys.join(".");
        let Some(file) = &self.file else {
            return Problem {
                path: dotted,
                line: 0,
                column: 0,
                message: message.to_owned(),
            };
        };
        let (line, column) = start(&file.text, keys).map_or((0, 0), |at| position(&file.text, at));
        Problem {
            path: file.path.display().to_string(),
            line,
            column,
            message: format!("{dotted}: {message}"),
        }
    }
}

/// Line and column, counted from 1.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or_default();
    let column = before.chars().rev().take_while(|c| *c != '\n').count();
    (before.matches('\n').count() + 1, column + 1)
}

fn start(text: &str, keys: &[&str]) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let (first, rest) = keys.split_first()?;
    let (key, mut value) = member(root.get_ref(), first)?;
    let mut start = key;
    for key in rest {
        let found = match value {
            DeValue::Table(table) => member(table, key),
            DeValue::Array(list) => {
                let element = key.parse().ok().and_then(|at: usize| list.get(at));
                element.map(|element| (element.span().start, element.get_ref()))
            }
            _ => None,
        };
        let Some((at, within)) = found else { break };
        (start, value) = (at, within);
    }
    Some(start)
}

fn member<'t, 'i>(table: &'t DeTable<'i>, name: &str) -> Option<(usize, &'t DeValue<'i>)> {
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
    Some((key.span().start, value.get_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_however_it_is_written() {
        let text = "[environments.a]\nid = 'é'\ncredential.file = 'f'\n\n[credential]\nteams = ['a',\n 'b']\n\
                    oauth = { client_id = 'c' }\n";
        for (keys, wanted) in [
            (&["credential", "teams"][..], (6, 1)),
            (&["credential", "teams", "0"], (6, 10)),
            (&["credential", "teams", "1"], (7, 2)),
            (&["credential", "oauth", "client_id"], (8, 11)),
            (&["environments", "a", "credential"], (3, 1)),
            // Not there: what is around it.
            (&["credential", "traffic"], (5, 2)),
            (&["credential", "teams", "7"], (6, 1)),
        ] {
            let at = start(text, keys).unwrap();
            assert_eq!(position(text, at), wanted, "{keys:?}");
        }
        assert_eq!(start(text, &["upstream"]), None);
    }
}
