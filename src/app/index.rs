//! The index of the journal, kept beside the requests. Whatever becomes of it, they are served.

use std::path::{Path, PathBuf};

use crate::audit::index::Keeper;
use crate::audit::{Audit, Config, Indexing};
use crate::telemetry::Metrics;

/// The journal, and where its index is to be, if one is.
pub(super) fn wanted(config: &Config) -> Option<(PathBuf, PathBuf)> {
    let is_on = config.index == Indexing::On;
    is_on.then(|| (config.directory.clone(), config.index_path()))
}

/// Begins to keep it.
pub(super) fn keep(
    journal: &Path,
    path: &Path,
    audit: &Audit,
    metrics: &Metrics,
) -> Option<Keeper> {
    match Keeper::start(journal, path) {
        Err(error) => {
            tracing::warn!(%error, "the journal is not indexed");
            None
        }
        Ok(keeper) => {
            let (progress, last) = (keeper.progress(), audit.last());
            metrics.index_from(move || {
                let behind = last().saturating_sub(progress.last());
                (behind, progress.failures())
            });
            Some(keeper)
        }
    }
}

/// Takes what was written last.
pub(super) async fn end(keeper: Option<Keeper>) {
    if let Some(keeper) = keeper
        && tokio::task::spawn_blocking(move || keeper.end())
            .await
            .is_err()
    {
        tracing::error!("the end of the index ended by a panic");
    }
}
