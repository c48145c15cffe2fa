//! Looks at the directory of grants, beside the data plane.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::now;
use super::reload::State;
use crate::grant::Grants;
use crate::value::threads;

/// Looks every second. One look at a time: a directory that hangs is asked once, and what was found before is not used
/// for long. `records`: how many the journal has; `place`: its name, and where it is.
pub(super) fn keep(
    grants: Grants,
    state: Arc<State>,
    records: impl Fn() -> u64 + Send + Sync + 'static,
    place: (String, PathBuf),
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let (origin, journal) = place;
        let (origin, records) = (Arc::new(origin), Arc::new(records));
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut search: Option<thread::JoinHandle<()>> = None;
        loop {
            looks.tick().await;
            let config = state.in_force.load().set.grants().cloned();
            let Some(config) = config else {
                grants.clear();
                continue;
            };
            let (looking, origin, records) = (grants.clone(), origin.clone(), records.clone());
            let look = move || looking.look(&config, &origin, records(), now());
            let Ok(new) = tokio::task::spawn_blocking(look).await else {
                tracing::error!("the look at grants ended by a panic");
                continue;
            };
            if new.is_empty() || search.as_ref().is_some_and(|it| !it.is_finished()) {
                continue;
            }
            if search.take().is_some_and(|ended| ended.join().is_err()) {
                tracing::error!("the search for used grants ended by a panic");
            }
            // A thread of its own: it may read long, and must not hold up the end of the gate.
            let (searching, journal) = (grants.clone(), journal.clone());
            let started = threads::named("grants").spawn(move || searching.search(&journal, &new));
            match started {
                Ok(thread) => search = Some(thread),
                Err(error) => {
                    tracing::error!(%error, "the journal cannot be searched for used grants");
                }
            }
        }
    })
}

const LOOK: Duration = Duration::from_secs(1);
