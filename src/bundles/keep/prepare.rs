//! What has to be on disk before the gate reads it, and what a start will find there.

use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::{Bundles, said};
use crate::bundles::fetch::Answer;
use crate::bundles::stored::Stored;
use crate::bundles::{Config, Name};
use crate::value::unwritten;

/// Why a bundle that has to be there before the gate reads is not there.
#[derive(Debug, thiserror::Error)]
#[error("policies.bundles.{name}: {url}: {reason}")]
pub struct Missing {
    name: Name,
    url: String,
    reason: String,
}

/// Sees to it that each bundle is there: what was in force last, or, where none was, what the server has.
pub async fn prepare(
    state: &Path,
    bundles: &Bundles,
    is_shared: bool,
    is_start: bool,
    now: Timestamp,
) -> Result<(), Missing> {
    for (name, config) in bundles {
        let Some(remote) = config.remote() else {
            continue;
        };
        let missing = |reason: String| Missing {
            name: name.clone(),
            url: remote.shown(),
            reason,
        };
        let stored = Stored::new(state, name, config, is_shared);
        if is_start {
            stored
                .restore()
                .map_err(|error| missing(unwritten(&error)))?;
        }
        // One that was signed by another key, say, is fetched again before the gate gives up on it.
        if stored.is_good() {
            continue;
        }
        let fetched = remote
            .fetch(None, None)
            .await
            .map_err(|error| error.to_string());
        let vetted = fetched.and_then(|answer| match answer {
            Answer::Bundle(fetched) => stored.vet(&fetched.bytes).map(|()| Some(fetched)),
            Answer::Unchanged => Ok(None),
        });
        match vetted {
            Ok(Some(fetched)) => {
                let kept = stored.keep(&fetched.bytes, &said(&stored, &fetched, now));
                kept.map_err(|error| missing(unwritten(&error)))?;
            }
            // What is there is read, and refused with its reason.
            Ok(None) => {}
            Err(_reason) if stored.is_there() => {}
            Err(reason) => return Err(missing(reason)),
        }
    }
    Ok(())
}

/// Keeps what is in force, for the next start. `false`: it is not there any more.
pub fn in_force(state: &Path, name: &Name, config: &Config, digest: &str) -> io::Result<bool> {
    match config.remote() {
        Some(_) => Stored::new(state, name, config, false).is_in_force(digest),
        None => Ok(true),
    }
}
