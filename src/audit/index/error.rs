//! Why an index cannot be used, and what helps.

use std::path::PathBuf;

use rusqlite::ErrorCode;
use thiserror::Error;

/// Why an index cannot be used. The journal is as it was.
#[derive(Debug, Error)]
pub enum Error {
    #[error("index: {0}{advice}", advice = advice(.0))]
    Database(rusqlite::Error),
    #[error("journal: {0}")]
    Journal(std::io::Error),
    #[error("index {}: {source}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is there and is no index of a journal: remove it, or name another file", .0.display())]
    Foreign(PathBuf),
    #[error(
        "record {0} is indexed where the journal has another one: run dtgate audit index --rebuild"
    )]
    Stale(u64),
    #[error("the question was given up: it took too long, or nobody waits for the answer")]
    Stopped,
}

impl Error {
    /// Nothing can be written to it: by its modes, for want of room, or because another process holds it and does not let go.
    pub fn is_read_only(&self) -> bool {
        match self {
            Self::Database(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    ErrorCode::ReadOnly
                        | ErrorCode::DiskFull
                        | ErrorCode::SystemIoFailure
                        | ErrorCode::CannotOpen
                        | ErrorCode::PermissionDenied
                        | ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                )
            ),
            Self::File { source, .. } => matches!(
                source.kind(),
                std::io::ErrorKind::PermissionDenied
                    | std::io::ErrorKind::ReadOnlyFilesystem
                    | std::io::ErrorKind::StorageFull
                    | std::io::ErrorKind::QuotaExceeded
            ),
            Self::Journal(_) | Self::Foreign(_) | Self::Stale(_) | Self::Stopped => false,
        }
    }

    /// It is the index that is wrong, and a new one helps: its pages, or what somebody wrote into its tables.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Database(error) => is_damage(error),
            Self::Stale(_) => true,
            Self::Journal(_) | Self::File { .. } | Self::Foreign(_) | Self::Stopped => false,
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => Self::Stopped,
            _ => Self::Database(error),
        }
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{
        FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, QueryReturnedNoRows,
        SqliteFailure, Utf8Error,
    };
    match error {
        // The words say "SQL logic error" of what is wrong in their tables, and that code has no name.
        SqliteFailure(failure, _) => matches!(
            failure.code,
            ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::Unknown
        ),
        FromSqlConversionFailure(..)
        | IntegralValueOutOfRange(..)
        | InvalidColumnType(..)
        | QueryReturnedNoRows
        | Utf8Error(..) => true,
        _ => false,
    }
}

fn advice(error: &rusqlite::Error) -> &'static str {
    if is_damage(error) {
        ": it is damaged, run dtgate audit index --rebuild"
    } else {
        ""
    }
}
