//! What the records say, for whoever asks: where answers come from, and who and what a record tells of.
//!
//! Commands and the console ask here, so that both say the same.

pub mod beside;
pub mod csv;
pub mod ended;
pub mod export;
pub mod history;
pub mod lacking;
mod pseudonyms;
pub mod read;
mod source;
pub mod told;
pub mod when;

use crate::audit::{OpenError, index};
use crate::store::StoreError;

pub use pseudonyms::{Known, known_as};
pub use source::{Before, Latencies, Source};

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Index(#[from] index::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What answers come from cannot be opened.
    #[error("{0}")]
    Unopened(String),
    /// The keys of pseudonyms.
    #[error("the keys of pseudonyms: {0}")]
    Keys(#[from] OpenError),
    /// Where a page begins is said in another way.
    #[error("{0}")]
    Before(&'static str),
}
