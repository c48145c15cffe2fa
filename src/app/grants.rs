//! Looks at the directory of grants, beside the data plane.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::now;
use super::reload::State;
use crate::grant::Grants;

/// Looks every second. One look at a time: a directory that hangs is asked once, and what was found before is not used
/// for long.
pub(super) fn keep(
    grants: Grants,
    state: Arc<State>,
    origin: String,
    journal: PathBuf,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let place = Arc::new((origin, journal));
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let config = state.in_force.load().set.grants().cloned();
            let Some(config) = config else {
                grants.clear();
                continue;
            };
            let (grants, place) = (grants.clone(), place.clone());
            let look = move || {
                let (origin, journal) = &*place;
                grants.look(&config, origin, journal, now());
            };
            if tokio::task::spawn_blocking(look).await.is_err() {
                tracing::error!("the look at grants ended by a panic");
            }
        }
    })
}

const LOOK: Duration = Duration::from_secs(1);
