//! Why the store is not there, in words for operators.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;

use crate::outbound::OutboundError;

/// Why the store is not there.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{}", causes(.0))]
    Postgres(tokio_postgres::Error),
    /// No server, or no way to it.
    #[error("{servers}: {reason}")]
    Unreached { servers: String, reason: String },
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
    #[error(
        "it has record {seq} of gate {gate:?}, which this journal has not got, and nothing is written: another journal was \
         sent under this name, or this one was put back from an older backup. Give this journal a name of its own: stop the \
         gate and run `dtgate audit key --rotate --origin NAME`"
    )]
    Beyond { gate: String, seq: u64 },
    #[error("it has lost what was sent behind record {0}")]
    Lost(u64),
    #[error("it has the records up to {0} under another name of this journal")]
    Earlier(u64),
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
    /// The driver does not say which server it is that it cannot reach.
    pub(super) fn connecting(error: tokio_postgres::Error, to: &tokio_postgres::Config) -> Self {
        let all = causes(&error);
        match all.strip_prefix(CONNECTING) {
            Some(reason) => Self::Unreached {
                servers: servers(to),
                reason: reason.to_owned(),
            },
            None => Self::Postgres(error),
        }
    }

    /// What it is, whatever the server says of it: the same is told once, in however many words it comes.
    pub(super) fn kind(&self) -> Cow<'static, str> {
        match self {
            Self::Postgres(error) => match error.code() {
                Some(code) => Cow::Owned(code.code().to_owned()),
                None => Cow::Owned(causes(error)),
            },
            Self::Timeout(_) => Cow::Borrowed("timeout"),
            Self::Foreign { .. } => Cow::Borrowed("foreign"),
            Self::Beyond { .. } => Cow::Borrowed("beyond"),
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

/// Their names and ports, as they are tried.
fn servers(to: &tokio_postgres::Config) -> String {
    let ports = to.get_ports();
    let hosts = to.get_hosts().iter().enumerate().map(|(place, host)| {
        let port = ports.get(place).or_else(|| ports.first()).unwrap_or(&PORT);
        match host {
            Host::Tcp(name) if name.contains(':') => format!("[{name}]:{port}"),
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(directory) => directory.display().to_string(),
        }
    });
    let hosts: Vec<String> = hosts.collect();
    hosts.join(", ")
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

/// What the driver says of a server that it cannot reach, before the cause.
const CONNECTING: &str = "error connecting to server: ";
/// Where a server listens.
const PORT: u16 = 5432;
/// Letters of what a server says.
const MOST: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_cannot_be_reached_is_named() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = closed.local_addr().unwrap().port();
        drop(closed);
        let url = format!("postgres://gate@127.0.0.1:{port},127.0.0.1:{port}/audit");
        let to: tokio_postgres::Config = url.parse().unwrap();
        let Err(error) = to.connect(tokio_postgres::NoTls).await else {
            panic!("somebody listens there");
        };
        let said = StoreError::connecting(error, &to).to_string();
        let wanted = format!("127.0.0.1:{port}, 127.0.0.1:{port}: ");
        assert!(
            said.starts_with(&wanted) && said.contains("efused"),
            "{said}"
        );
    }

    #[test]
    fn what_a_server_says_is_cut() {
        assert_eq!(cut("short"), "short");
        let long = cut(&"é".repeat(5000));
        assert_eq!(long.chars().count(), MOST + 1);
        assert!(long.ends_with("é…"));
    }
}
