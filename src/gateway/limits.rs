//! What requests may cost, and what hands it out: slots, memory, cores. No client can take any of it from all others.

use std::num::{NonZeroU32, NonZeroUsize};

use serde::Deserialize;

use super::bodies::{Bodies, at_most};
use super::client::{Address, Who};
use super::line::Line;
use super::quota::Quota;
use super::rejection::Shed;
use crate::telemetry::{Limit, Load};
use crate::value::{Duration, Share, Size};

/// What requests may cost.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The longest body of a guarded request.
    pub body: Size,
    /// The longest body of a write of settings, which is read to know whether it is guarded.
    pub settings_body: Size,
    /// How long a guarded request's body may take to arrive.
    pub body_timeout: Duration,
    /// How much of the answer to a creation is read before it is passed on, to record what it made.
    pub birth: Size,
    /// How long that may take.
    pub birth_timeout: Duration,
    /// Memory for all bodies that are read whole.
    pub bodies: Size,
    /// Requests of open traffic, to the last byte of their answer.
    pub in_flight: NonZeroUsize,
    /// Guarded requests, from the last byte of their body to the last byte of their answer.
    pub guarded_in_flight: NonZeroUsize,
    /// What one address may hold of each of the three above, and of the places to wait for a JSON Web Token to be checked.
    pub address_share: Share,
    /// Requests that wait for the signature of a JSON Web Token to be checked.
    pub jwt_signatures: NonZeroUsize,
    /// Requests of one caller that wait to be judged.
    pub judge_queue: NonZeroUsize,
    /// How long a request may wait to be judged.
    pub judge_timeout: Duration,
    /// Refusals of one caller that are recorded a minute; more are counted.
    pub refusals: NonZeroU32,
    /// Denials of one caller that are recorded a minute; more are answered 429, and counted.
    pub denials: NonZeroU32,
    /// Allowed reads of one caller that are recorded a minute; more are answered 429, counted, and not forwarded.
    pub reads: NonZeroU32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            body: Size::from_kib(64),
            // Dynatrace accepts 1 MB.
            settings_body: Size::from_kib(1024),
            body_timeout: Duration::from_secs(10),
            birth: Size::from_kib(64),
            birth_timeout: Duration::from_secs(10),
            bodies: Size::from_mib(64),
            in_flight: const { NonZeroUsize::new(1024).expect("more than none") },
            guarded_in_flight: const { NonZeroUsize::new(256).expect("more than none") },
            address_share: const { Share::percent(25) },
            jwt_signatures: const { NonZeroUsize::new(4096).expect("more than none") },
            judge_queue: const { NonZeroUsize::new(16).expect("more than none") },
            judge_timeout: Duration::from_secs(5),
            refusals: const { NonZeroU32::new(60).expect("more than none") },
            denials: const { NonZeroU32::new(600).expect("more than none") },
            reads: const { NonZeroU32::new(600).expect("more than none") },
        }
    }
}

/// What requests need. Clones hand out of the same.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    /// Slots of open traffic, each held until the answer ends.
    pub(super) open: Quota<Address>,
    /// The same slots by caller, of callers that have proven who they are.
    pub(super) open_callers: Quota<Who>,
    /// Slots of guarded requests, each held from the end of the body to the end of the answer.
    pub(super) guarded: Quota<Address>,
    /// The same slots by caller: where many share an address, none of them takes all of its share.
    pub(super) callers: Quota<Who>,
    pub(super) bodies: Bodies,
    pub(super) judges: Line,
}

impl Admission {
    pub(super) fn new(config: &Config) -> Self {
        let share = |all| config.address_share.of(all);
        let quota = |all, least, exceeded| Quota::new(all, share(all), least, exceeded);
        let (open, guarded) = (config.in_flight.get(), config.guarded_in_flight.get());
        let of_callers = |all, exceeded| Quota::new(all, share(all).div_ceil(2), 1, exceeded);
        let body = config.body.as_usize();
        // As it was received, and as it was read.
        let guarded_body = body.saturating_add(at_most(body));
        let one_request = guarded_body.max(config.settings_body.as_usize());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (queue, timeout) = (config.judge_queue.get(), config.judge_timeout.into());
        Self {
            open: quota(open, 1, IN_FLIGHT),
            open_callers: of_callers(open, IN_FLIGHT_BY_CALLER),
            guarded: quota(guarded, 1, GUARDED_IN_FLIGHT),
            callers: of_callers(guarded, GUARDED_BY_CALLER),
            bodies: Bodies {
                memory: quota(config.bodies.as_usize(), one_request, BODIES),
                timeout: config.body_timeout.into(),
            },
            judges: Line::new(cores, queue, timeout),
        }
    }

    pub(super) fn load(&self) -> Load {
        Load {
            body_bytes: self.bodies.memory.held(),
            judge_waiting: self.judges.waiting(),
        }
    }
}

const IN_FLIGHT: [Shed; 2] = [
    Shed {
        limit: Limit::InFlight,
        text: "too many requests at once",
    },
    Shed {
        limit: Limit::InFlightPerAddress,
        text: "too many requests at once from this address",
    },
];

const IN_FLIGHT_BY_CALLER: [Shed; 2] = [
    IN_FLIGHT[0],
    Shed {
        limit: Limit::InFlightPerCaller,
        text: "too many requests at once of this caller",
    },
];

const GUARDED_IN_FLIGHT: [Shed; 2] = [
    Shed {
        limit: Limit::GuardedInFlight,
        text: "too many guarded requests at once",
    },
    Shed {
        limit: Limit::GuardedInFlightPerAddress,
        text: "too many guarded requests at once from this address",
    },
];

const GUARDED_BY_CALLER: [Shed; 2] = [
    GUARDED_IN_FLIGHT[0],
    Shed {
        limit: Limit::GuardedInFlightPerCaller,
        text: "too many guarded requests at once of this caller",
    },
];

const BODIES: [Shed; 2] = [
    Shed {
        limit: Limit::Bodies,
        text: "too many request bodies at once",
    },
    Shed {
        limit: Limit::BodiesPerAddress,
        text: "too many request bodies at once from this address",
    },
];
