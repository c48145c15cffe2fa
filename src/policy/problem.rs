//! What is wrong with policies, and where.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// One thing that is wrong with the policies, and where. Line 0: the file as a whole.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Problem {
    pub path: String,
    pub line: usize,
    pub column: usize,
    pub message: String,
}

impl Problem {
    pub(super) fn new(path: &str, line: usize, column: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            column,
            message: message.into(),
        }
    }

    /// `file:line:column`, as far as it is known.
    pub fn place(&self) -> String {
        let Self {
            path, line, column, ..
        } = self;
        match line {
            0 => path.clone(),
            _ => format!("{path}:{line}:{column}"),
        }
    }

    pub(super) fn of_file(path: &Path, message: &impl fmt::Display) -> Self {
        Self::new(&path.display().to_string(), 0, 0, message.to_string())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place(), self.message)
    }
}

/// Everything that is wrong with the policies, in the order of the files.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))]
pub struct LoadError {
    pub problems: Vec<Problem>,
}

/// The problems in order and once each, or nothing to complain about.
pub(super) fn finish(mut problems: Vec<Problem>) -> Result<(), LoadError> {
    problems.sort();
    problems.dedup();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(LoadError { problems })
    }
}
