//! What has to be on disk before the gate reads it, and what a start will find there.

use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::{Bundles, said};
use crate::bundles::fetch::Answer;
use crate::bundles::stored::Stored;
use crate::bundles::{Name, Vouched};
use crate::policy::{Before, Release};
use crate::value::unwritten;

/// Why a bundle that has to be there before the gate reads is not there.
#[derive(Debug, thiserror::Error)]
#[error("policies.bundles.{name}: {url}: {reason}")]
pub struct Missing {
    name: Name,
    url: String,
    reason: String,
}

/// Sees to it that each bundle is there: what was in force last, or, where none was, what the server has now. `running`:
/// those that are fetched again and again already. `at_start`: what was in force before, as far as anybody knows;
/// `None`: it is no start.
pub async fn prepare(
    state: &Path,
    bundles: &Bundles,
    is_shared: bool,
    at_start: Option<&[Before]>,
    running: &Bundles,
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
        let mut stored = Stored::new(state, name, config, is_shared);
        if let Some(known) = at_start {
            stored.not_older(known);
            stored
                .restore()
                .map_err(|error| missing(unwritten(&error)))?;
        }
        // One that was signed by another key, say, is fetched again before the gate gives up on it. So is one that was
        // never in force: its server may have a better one by now.
        let was_in_force = stored.was_in_force();
        if stored.is_good() && (was_in_force || running.get(name) == Some(config)) {
            continue;
        }
        let fetched = match remote.fetch(None, None).await {
            Ok(Answer::Bundle(fetched)) => fetched,
            // What is there is read, and refused with its reason.
            Ok(Answer::Unchanged) => continue,
            Err(_reason) if stored.is_there() => continue,
            Err(reason) => return Err(missing(reason.to_string())),
        };
        match stored.vet(&fetched.bytes) {
            Ok(()) => {
                let kept = stored.keep(&fetched.bytes, &said(&stored, &fetched, now));
                kept.map_err(|error| missing(unwritten(&error)))?;
            }
            Err(_reason) if was_in_force => {}
            Err(reason) => return Err(missing(reason)),
        }
    }
    Ok(())
}

/// Keeps what is in force, for the next start: the bytes that were judged, whatever has come meanwhile. One in a file is
/// kept where a server has others: those are judged beside it when the file is wrong. Gives what is to be remembered of
/// when the server vouched for it.
pub fn in_force(
    state: &Path,
    name: &Name,
    bundles: &Bundles,
    judged: &Release,
) -> io::Result<Option<Vouched>> {
    let is_any_remote = bundles.values().any(|it| it.remote().is_some());
    let Some(config) = bundles.get(name).filter(|_| is_any_remote) else {
        return Ok(None);
    };
    let stored = Stored::new(state, name, config, false);
    stored.is_in_force(&judged.packed)?;
    Ok(config.remote().and_then(|_| stored.vouched(&judged.digest)))
}
