//! How many files and sockets the gate needs, and has.

use std::num::{NonZeroU32, NonZeroUsize};

use crate::config::Config;
use crate::listener::descriptors::{self, Wanted};

/// Who needs how many descriptors.
pub fn descriptors(config: &Config) -> Wanted {
    let workers = u32::from(config.listener.workers.get());
    let environments = config.environments.values();
    let upstreams = environments.map(|environment| &environment.upstream);
    let upstream = upstreams
        .chain(config.environments.is_empty().then_some(&config.upstream))
        .map(|upstream| u32::try_from(upstream.max_connections.get()).unwrap_or(u32::MAX));
    Wanted {
        clients: config.listener.max_connections,
        upstream: NonZeroU32::new(upstream.fold(0, u32::saturating_add)).unwrap_or(NonZeroU32::MIN),
        others: OPERATORS
            + u32::try_from(SPARES).unwrap_or(0)
            + 4 * workers
            + OF_A_SINK * u32::try_from(config.ship.names().len()).unwrap_or(0)
            // As a sink, and for turns.
            + config.store.as_ref().map_or(0, |_| 2 * OF_A_SINK)
            + FILES,
    }
}

/// The configuration with no more connections than there are descriptors for.
pub(super) fn within_descriptors(config: &Config) -> Config {
    let mut config = config.clone();
    if let Err(short) = descriptors(&config).of(descriptors::raise()) {
        tracing::warn!("{short}");
        config.listener.max_connections = short.clients;
        let environments = config.environments.len().max(1);
        let each = usize::try_from(short.upstream.get()).unwrap_or(usize::MAX) / environments;
        let each = NonZeroUsize::new(each).unwrap_or(NonZeroUsize::MIN);
        let environments = config.environments.values_mut();
        let upstreams = environments.map(|environment| &mut environment.upstream);
        for upstream in upstreams.chain([&mut config.upstream]) {
            upstream.max_connections = upstream.max_connections.min(each);
        }
    }
    config
}

/// Connections of operators and their tools.
pub(super) const OPERATORS: u32 = 64;
/// Descriptors that are theirs even when everybody else has used up what there is.
pub(super) const SPARES: usize = 8;
/// The way to it, the journal, and how far it is.
const OF_A_SINK: u32 = 4;
/// The journal, the log, policies, listening sockets, and what nobody thought of.
const FILES: u32 = 64;
