//! Why the store is not there, in words for operators.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::error::SqlState;

use crate::outbound::OutboundError;

/// Why the store is not there.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{}", causes(.0))]
    Postgres(tokio_postgres::Error),
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("password_file {}: {reason}", path.display())]
    Password { path: PathBuf, reason: String },
    #[error("no answer within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    #[error(
        "its tables are of version {found}, and this dtgate wants {wanted}: use the same version of dtgate for all gates"
    )]
    Version { found: i32, wanted: i32 },
    #[error(
        "it has another record {seq} of gate {gate:?}, and nothing is overwritten: another journal was sent under this \
         name, or the record was changed since, or somebody put a row there. Look which it is; or give this journal a name of its own: stop the gate and run `dtgate audit key --rotate --origin NAME`"
    )]
    Foreign { gate: String, seq: i64 },
    #[error("it has lost what was sent behind record {0}")]
    Lost(u64),
    #[error(
        "{0} is there and is no part of dtgate.record: attach it again, or give it another name"
    )]
    Detached(String),
    #[error("its encoding is {0}: make the database with ENCODING 'UTF8'")]
    Encoding(String),
    #[error("the tables are not as dtgate made them (column {0})")]
    Column(String),
    #[error(
        "{table} is not as dtgate made it: {why}, so that not all that is there may be seen. Nothing is asked of it"
    )]
    Odd { table: String, why: String },
    #[error(
        "there is no dtgate store here: no gate has been in this database, or it is not the one that is meant"
    )]
    Absent,
    #[error("the question was given up: it took too long, or nobody waits for the answer")]
    Stopped,
    #[error("{0}")]
    Other(String),
}

/// Without a source: what the server says would stand there again, and whole.
impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl StoreError {
    /// What it is, whatever the server says of it: the same is told once, in however many words it comes.
    pub(super) fn kind(&self) -> Cow<'static, str> {
        match self {
            Self::Postgres(error) => match error.code() {
                Some(code) => Cow::Owned(code.code().to_owned()),
                None => Cow::Owned(causes(error)),
            },
            Self::Timeout(_) => Cow::Borrowed("timeout"),
            Self::Foreign { .. } => Cow::Borrowed("foreign"),
            other => Cow::Owned(other.to_string()),
        }
    }
}

/// The driver says only "db error" of what the server says.
pub(super) fn causes(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let code = said.code();
        let advice = advice(code).map_or(String::new(), |it| format!(": {it}"));
        return format!("{} ({}){advice}", cut(said.message()), code.code());
    }
    let error: &dyn std::error::Error = error;
    let all = std::iter::successors(Some(error), |error| error.source());
    let all: Vec<String> = all.map(ToString::to_string).collect();
    cut(&all.join(": "))
}

/// What a server says, as far as a line of a log has room for it.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// What an operator can do, where the server's own words do not say it.
fn advice(code: &SqlState) -> Option<&'static str> {
    let advice = match *code {
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            "this server can only be read (a standby?): name the primary, or all of them and target_session_attrs=read-write"
        }
        SqlState::INSUFFICIENT_PRIVILEGE => "docs/store.md has the rights that a gate's role needs",
        SqlState::UNDEFINED_TABLE => "the tables are not as dtgate made them",
        // A partition that was dropped since it was looked for is made again by the next attempt.
        SqlState::CHECK_VIOLATION => "a table of a month is gone",
        _ => return None,
    };
    Some(advice)
}

/// Letters of what a server says.
const MOST: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_cut() {
        assert_eq!(cut("short"), "short");
        let long = cut(&"é".repeat(5000));
        assert_eq!(long.chars().count(), MOST + 1);
        assert!(long.ends_with("é…"));
    }
}
