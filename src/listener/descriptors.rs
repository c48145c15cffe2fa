//! File descriptors: how many there may be, and who gets them.
//!
//! Connections of clients and to the upstream take one each. What is left to everything else (the listening
//! sockets, the journal, operators) is never theirs, so that a rush of clients stops none of it.

use std::num::NonZeroU32;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::value::counted;

/// Who wants how many.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Wanted {
    /// Connections of clients.
    pub clients: NonZeroU32,
    /// Connections to the upstream.
    pub upstream: NonZeroU32,
    /// Everything else.
    pub others: u32,
}

/// Who gets how many, when there are too few.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "this process may have {limit} files open, and needs {needed}: it serves {} of clients and {} to the upstream at \
     once, no more. Raise the limit (LimitNOFILE= of the service, ulimit -n) or lower \
     listener.max_connections",
    counted(clients.get(), "connection"),
    counted(upstream.get(), "connection")
)]
pub struct Short {
    pub limit: u64,
    pub needed: u64,
    pub clients: NonZeroU32,
    pub upstream: NonZeroU32,
}

/// How many descriptors this process may have when it asks for them.
pub fn allowed() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// Asks the system for as many descriptors as this process may have, and says how many those are.
pub fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Where it is not allowed, what there is has to do.
    let raised = setrlimit(Resource::Nofile, wanted);
    let current = getrlimit(Resource::Nofile).current;
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit on open files stays as it is");
    }
    current.unwrap_or(u64::MAX)
}

impl Wanted {
    /// Whether `limit` descriptors are enough; if not, what there is goes to both kinds of connections in equal shares.
    pub fn of(self, limit: u64) -> Result<(), Short> {
        let (clients, upstream) = (self.clients.get(), self.upstream.get());
        let needed = u64::from(clients) + u64::from(upstream) + u64::from(self.others);
        if needed <= limit {
            return Ok(());
        }
        let left = limit.saturating_sub(self.others.into());
        let half = u32::try_from(left / 2).unwrap_or(u32::MAX);
        // Whoever wants less than half leaves the rest to the other.
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        let share = |wanted: u32, other: u32| {
            let share = wanted.min(half.max(left.saturating_sub(other)));
            NonZeroU32::new(share).unwrap_or(NonZeroU32::MIN)
        };
        Err(Short {
            limit,
            needed,
            clients: share(clients, upstream),
            upstream: share(upstream, clients),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    fn shares(clients: u32, upstream: u32, limit: u64) -> Option<(u32, u32)> {
        let wanted = Wanted {
            clients: number(clients),
            upstream: number(upstream),
            others: 100,
        };
        let short = wanted.of(limit).err()?;
        assert_eq!(short.limit, limit);
        Some((short.clients.get(), short.upstream.get()))
    }

    #[test]
    fn connections_get_what_the_others_leave() {
        assert_eq!(shares(4096, 4096, 8292), None);
        assert_eq!(shares(4096, 4096, 8291), Some((4095, 4095)));
        assert_eq!(shares(4096, 1024, 5000), Some((3876, 1024)));
        assert_eq!(shares(100, 4096, 1100), Some((100, 900)));
        assert_eq!(shares(4096, 4096, 300), Some((100, 100)));
        // Too few for anything: it starts, and serves one at a time.
        assert_eq!(shares(4096, 4096, 64), Some((1, 1)));
        assert_eq!(shares(4096, 4096, u64::MAX), None);
    }

    #[test]
    fn the_limit_is_raised_to_what_is_allowed() {
        assert_eq!(raise(), allowed());
    }
}
