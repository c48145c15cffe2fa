//! Writes that no row of the catalogue knows: what Dynatrace adds tomorrow passes here first.
//!
//! They are streamed as other open traffic is. Beside it is counted who sent what, by the shape of its path, and once
//! an hour that is written down. A request pays a few comparisons for it, and waits for nothing. Bounded, whatever is
//! sent: what is past the first shapes is counted by address, and what is past the first addresses together.

mod known;
mod shape;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use http::request::Parts;
use http::{Method, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Gateway;
use super::client::Address;
use super::environment::Environment;
use super::identify::Identity;
use super::ledger::Ledger;
use super::story::Started;
use super::sums::Tally;
use super::upstream::UpstreamError;
use crate::audit::event::{self, Caller, Event, Record};
use crate::dynatrace::redact::{Redacted, Redactor};
use crate::dynatrace::token::TokenId;
use crate::listener::Body;
pub(super) use known::is_unknown;

/// What the gate does with a write that the catalogue does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownWrites {
    /// It is open traffic, like any other.
    Pass,
    /// It passes, and is counted for an `unseen` record.
    #[default]
    Record,
    /// Nothing is sent.
    Refuse,
}

/// What is counted by itself: who sends which method to which paths.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    who: Who,
    environment: Arc<str>,
    method: Redacted,
    path: Redacted,
}

/// One who has proven who it is, or a credential as a whole, so that nobody hides behind another's public id; of those
/// who show neither, an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Who {
    Address(Address),
    Caller(TokenId),
}

/// One such write on its way. When it is let go it is counted, if it was sent: also where its client did not wait for
/// an answer.
pub(super) struct Sighting {
    kind: Kind,
    caller: Arc<Caller>,
    address: Address,
    ledger: Ledger,
    now: fn() -> Timestamp,
    sent: bool,
    status: Option<StatusCode>,
}

/// Writes of one kind.
#[derive(Clone, Debug)]
struct Count {
    /// Of the first.
    address: Address,
    caller: Arc<Caller>,
    first: Timestamp,
    last: Timestamp,
    writes: u64,
    statuses: Tally<Option<StatusCode>>,
}

/// All that were counted since the last records.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    kinds: HashMap<Kind, Count>,
    /// How many kinds each address began.
    begun: HashMap<Address, usize>,
    /// Writes of further kinds, by address, and of further addresses.
    others: HashMap<Address, Count>,
    rest: Option<Count>,
}

/// What was counted together.
#[derive(Debug)]
enum What {
    Kind(Kind),
    /// Further kinds of one address.
    Address(Address),
    /// Those of further addresses.
    Rest,
}

/// One count taken out, to be written down.
#[derive(Debug)]
pub(super) struct Taken(What, Count);

impl Sighting {
    /// `caller`: as it is told.
    pub(super) fn new(
        gateway: &Gateway,
        parts: &Parts,
        started: &Started,
        environment: &Environment,
        (identity, caller): (&Identity, &Arc<Caller>),
    ) -> Self {
        let address = started.address();
        let caller_name = identity.counted_as(parts, &gateway.shared.key);
        Self {
            kind: Kind {
                who: caller_name.map_or(Who::Address(address), Who::Caller),
                environment: environment.name.as_str().into(),
                method: method(&parts.method),
                path: started.redactor.text(&shape::of(parts.uri.path())),
            },
            caller: caller.clone(),
            address,
            ledger: gateway.shared.ledger.clone(),
            now: gateway.shared.now,
            sent: false,
            status: None,
        }
    }

    /// From now on the upstream may have it.
    pub(super) fn sent(&mut self) {
        self.sent = true;
    }

    pub(super) fn answered(&mut self, answer: &Result<Response<Body>, UpstreamError>) {
        match answer {
            Ok(response) => self.status = Some(response.status()),
            Err(error) => self.sent = !error.never_arrived(),
        }
    }
}

impl Drop for Sighting {
    fn drop(&mut self) {
        if self.sent {
            let time = (self.now)();
            let count = Count {
                address: self.address,
                caller: self.caller.clone(),
                first: time,
                last: time,
                writes: 1,
                statuses: Tally::of(self.status),
            };
            self.ledger.saw(Taken(What::Kind(self.kind.clone()), count));
        }
    }
}

/// The usual methods as they are, and of others only what cannot be a secret.
fn method(method: &Method) -> Redacted {
    let text = method.as_str();
    let short = text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    if short {
        Redactor::default().text(text)
    } else {
        Redacted::ours("{other}")
    }
}

impl Unseen {
    /// Adds what was seen, or what could not be written down. Says whether it is counted by itself.
    pub(super) fn add(&mut self, Taken(what, count): Taken) -> bool {
        let kind = match what {
            What::Kind(kind) => kind,
            What::Address(address) => {
                self.add_other(address, count);
                return true;
            }
            What::Rest => {
                self.add_rest(count);
                return true;
            }
        };
        if let Some(known) = self.kinds.get_mut(&kind) {
            known.add(&count);
            return true;
        }
        let begun = self.begun.get(&count.address).copied().unwrap_or_default();
        if self.kinds.len() >= KINDS || begun >= KINDS_OF_ADDRESS {
            self.add_other(count.address, count);
            return false;
        }
        self.begun.insert(count.address, begun + 1);
        self.kinds.insert(kind, count);
        true
    }

    fn add_other(&mut self, address: Address, count: Count) {
        if let Some(others) = self.others.get_mut(&address) {
            others.add(&count);
        } else if self.others.len() < ADDRESSES {
            self.others.insert(address, count);
        } else {
            self.add_rest(count);
        }
    }

    fn add_rest(&mut self, count: Count) {
        match &mut self.rest {
            Some(rest) => rest.add(&count),
            None => self.rest = Some(count),
        }
    }

    fn counts(&self) -> impl Iterator<Item = &Count> {
        let others = self.others.values().chain(&self.rest);
        self.kinds.values().chain(others)
    }

    /// Takes everything out whose hour is over. A clock that was put back ends it too.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<Taken> {
        let begin = self.counts().map(|count| count.first).min();
        let over = |begin| !(SignedDuration::ZERO..WINDOW).contains(&now.duration_since(begin));
        if begin.is_some_and(over) {
            self.take_all()
        } else {
            Vec::new()
        }
    }

    /// Takes everything out, what came first first.
    pub(super) fn take_all(&mut self) -> Vec<Taken> {
        let Self {
            kinds,
            begun: _,
            others,
            rest,
        } = std::mem::take(self);
        let kinds = kinds.into_iter();
        let kinds = kinds.map(|(kind, count)| Taken(What::Kind(kind), count));
        let others = others.into_iter();
        let others = others.map(|(address, count)| Taken(What::Address(address), count));
        let (mut taken, mut others): (Vec<Taken>, Vec<Taken>) = (kinds.collect(), others.collect());
        for taken in [&mut taken, &mut others] {
            taken.sort_by_key(|Taken(_, count)| count.first);
        }
        taken.extend(others);
        taken.extend(rest.map(|rest| Taken(What::Rest, rest)));
        taken
    }

    /// How many writes are counted and not written down.
    pub(super) fn total(&self) -> u64 {
        self.counts().map(|count| count.writes).sum()
    }
}

impl Count {
    fn add(&mut self, other: &Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.writes += other.writes;
        self.statuses.add_all(&other.statuses);
    }
}

impl Taken {
    pub(super) fn record(&self, time: Timestamp) -> Record {
        let Self(what, count) = self;
        let address = match what {
            What::Kind(_) => Some(&count.address),
            What::Address(address) => Some(address),
            What::Rest => None,
        };
        let kind = match what {
            What::Kind(kind) => Some(kind),
            What::Address(_) | What::Rest => None,
        };
        let statuses = count.statuses.first().map(|(status, count)| {
            let status =
                status.map_or_else(|| "none".to_owned(), |status| status.as_str().to_owned());
            (status, count)
        });
        let mut statuses: BTreeMap<String, u64> = statuses.collect();
        if count.statuses.others() > 0 {
            statuses.insert("other".to_owned(), count.statuses.others());
        }
        let event = Event::Unseen(event::Unseen {
            timestamp: time,
            first: count.first,
            last: count.last,
            count: count.writes,
            statuses,
            requested_by: address.map(Redacted::from),
            request: kind.map(|kind| event::UnseenRequest {
                caller: count.caller.known(),
                environment: &kind.environment,
                method: &kind.method,
                path: &kind.path,
            }),
        });
        event.record()
    }
}

/// What one record is about.
const WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// Kinds that are counted by themselves, and of them those that one address may begin.
const KINDS: usize = 1024;
const KINDS_OF_ADDRESS: usize = 256;

/// Addresses whose further kinds are counted by address.
const ADDRESSES: usize = 256;

#[cfg(test)]
mod tests;
