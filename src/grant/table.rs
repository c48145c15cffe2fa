//! The grants that can be used now, and who takes one.
//!
//! The directory is looked at beside the data plane ([`Grants::look`]), and the journal beside that, where a look has found
//! new ones ([`Grants::search`]). Requests see what the last look has found, and take a grant by a claim. It guarantees that
//! a grant is claimed by one request at a time, and never again once a record with it may have been written. What is not in
//! the table cannot be claimed; what comes into it was looked for in the journal, to its end. An entry whose claim was handed
//! to the journal leaves the table only when it is certain what became of the record.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use uuid::Uuid;

use super::config::Config;
use super::facts::Facts;
use super::file;
use super::flaw::Flaw;
use super::signed::Signed;
use super::standing::{Approved, Gate};
use super::text::{Allows, Grant};
use super::told::Told;
use super::used;
use crate::policy::Granted;
use crate::telemetry::{Limit, Metrics};
use crate::value::{Visible, plain_words, unread as why};

/// The grants of a gate. Clones share them.
#[derive(Clone)]
pub struct Grants(Arc<Shared>);

struct Shared {
    ready: ArcSwapOption<Ready>,
    table: Mutex<HashMap<Uuid, Known>>,
    /// What the log says of each file.
    told: Mutex<Told>,
    /// When the log was told that a grant was not used.
    said: Mutex<Option<Instant>>,
    metrics: Metrics,
}

/// What a look has found.
struct Ready {
    config: Arc<Config>,
    since: Instant,
    usable: Vec<Arc<Approved>>,
}

/// What is known of a grant. It is kept as long as the grant could be good, wherever its file is: the journal is not read
/// for it again.
#[derive(Clone, Debug)]
struct Known {
    stands: Use,
    until: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Use {
    /// The journal has nothing against it.
    Free,
    /// A request has it; from there on a record with it may be written.
    Claimed,
    /// A record with it was written, or not: the journal knows when it has more records than it had.
    InDoubt { decision: String, records: u64 },
    /// The journal could not be read; it is again from then on.
    Unread(Flaw, Instant),
    /// It is good no more.
    Void(Flaw),
}

/// A grant in the hands of one request. Dropped before it was handed to the journal, it is free again.
#[must_use = "what was claimed is used or given back"]
pub struct Claim {
    grants: Grants,
    approved: Arc<Approved>,
    is_handed_over: bool,
}

impl Grants {
    pub fn new(metrics: Metrics) -> Self {
        Self(Arc::new(Shared {
            ready: ArcSwapOption::empty(),
            table: Mutex::default(),
            told: Mutex::default(),
            said: Mutex::default(),
            metrics,
        }))
    }

    /// There are none any more.
    pub fn clear(&self) {
        self.0.ready.store(None);
        self.0.metrics.grants_usable(0);
    }

    /// Looks at the directory, and gives those for which the journal has to be [searched](Self::search). `records`: so many
    /// are on disk. It reads files: not for threads that move bytes.
    pub fn look(
        &self,
        config: &Arc<Config>,
        name: &str,
        records: u64,
        now: Timestamp,
    ) -> Vec<Arc<Approved>> {
        let listing = match file::read_all(&config.directory) {
            Ok(listing) => listing,
            Err(error) => {
                let reason = why(&error);
                self.publish(config, Vec::new());
                self.tell(vec![(String::new(), Err(Flaw::Unread(reason)))]);
                return Vec::new();
            }
        };
        if listing.has_more {
            self.0.metrics.reached(Limit::Grants);
        }
        let gate = Gate {
            config,
            name: Some(name),
        };
        let read = listing.files.into_iter().map(|(file, text)| {
            let signed = text.and_then(|text| Signed::parse(&text));
            let approved = signed.and_then(|signed| gate.approved(signed));
            let timely = approved.and_then(|it| it.grant.is_timely(now).map(|()| Arc::new(it)));
            (file, timely)
        });
        let read: Vec<(String, Result<Arc<Approved>, Flaw>)> = read.collect();
        let there: Vec<Arc<Approved>> = read.iter().filter_map(|(_, it)| it.clone().ok()).collect();
        self.forget(&there, records, now);
        self.publish(config, self.free(&there));
        let new = self.unknown(&there);
        let told = read.into_iter().filter_map(|(file, it)| {
            let stands = match it {
                Ok(it) => self.stands(&it)?.map(|()| it),
                Err(flaw) => Err(flaw),
            };
            Some((file, stands))
        });
        self.tell(told.collect());
        new
    }

    /// Looks in the journal for what a look has found. That may take long, and holds up no look.
    pub fn search(&self, journal: &Path, new: &[Arc<Approved>]) {
        let grants: Vec<_> = new.iter().map(|it| &it.grant).collect();
        let found = used::find(journal, &grants).unwrap_or_else(|error| {
            let reason = plain_words(&error.to_string());
            vec![Err(Flaw::Journal(reason)); new.len()]
        });
        let mut table = self.table();
        for (it, found) in new.iter().zip(found) {
            let stands = match found {
                Ok(()) => Use::Free,
                Err(flaw @ Flaw::Journal(_)) => Use::Unread(flaw, Instant::now() + PAUSE),
                Err(flaw) => Use::Void(flaw),
            };
            if stands == Use::Void(Flaw::TooFar) {
                self.0.metrics.reached(Limit::GrantJournal);
            }
            let until = it.grant.until;
            table.entry(it.grant.id).or_insert(Known { stands, until });
        }
    }

    /// Takes out of the table what has to be looked for again, and what can be good no more.
    fn forget(&self, there: &[Arc<Approved>], records: u64, now: Timestamp) {
        let mut table = self.table();
        let is_full = table.len() > MOST_KNOWN;
        table.retain(|id, known| match &known.stands {
            Use::Claimed => true,
            Use::InDoubt { records: then, .. } => records <= *then,
            Use::Unread(_, again) => Instant::now() < *again,
            Use::Free | Use::Void(_) => {
                there.iter().any(|it| it.grant.id == *id) || now < known.until && !is_full
            }
        });
    }

    /// Those that are not in the table, each once.
    fn unknown(&self, there: &[Arc<Approved>]) -> Vec<Arc<Approved>> {
        let table = self.table();
        let mut new: Vec<Arc<Approved>> = Vec::new();
        for it in there {
            let id = it.grant.id;
            if !table.contains_key(&id) && new.iter().all(|other| other.grant.id != id) {
                new.push(it.clone());
            }
        }
        new
    }

    /// Whether it can be used, as far as that is known.
    fn stands(&self, it: &Approved) -> Option<Result<(), Flaw>> {
        let table = self.table();
        Some(match &table.get(&it.grant.id)?.stands {
            Use::Free | Use::Claimed => Ok(()),
            Use::InDoubt { decision, .. } => Err(Flaw::InDoubt(decision.clone())),
            Use::Unread(flaw, _) | Use::Void(flaw) => Err(flaw.clone()),
        })
    }

    /// Those that can be used; those for one request before those for any.
    fn free(&self, there: &[Arc<Approved>]) -> Vec<Arc<Approved>> {
        let table = self.table();
        let free = there
            .iter()
            .filter(|it| (table.get(&it.grant.id)).is_some_and(|it| it.stands == Use::Free));
        let mut free: Vec<Arc<Approved>> = free.cloned().collect();
        free.sort_by_key(|it| matches!(it.grant.allows, Allows::Change(_)));
        free
    }

    fn publish(&self, config: &Arc<Config>, usable: Vec<Arc<Approved>>) {
        self.0.metrics.grants_usable(usable.len());
        self.0.ready.store(Some(Arc::new(Ready {
            config: config.clone(),
            since: Instant::now(),
            usable,
        })));
    }

    /// Says of each file how it stands, once.
    fn tell(&self, files: Vec<(String, Result<Arc<Approved>, Flaw>)>) {
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.tell(files);
    }

    /// Whether any could be used.
    pub fn is_empty(&self) -> bool {
        let ready = self.0.ready.load();
        ready.as_ref().is_none_or(|ready| ready.usable.is_empty())
    }

    /// Takes a grant for a request that policies deny, if one is for it and covers what they say.
    pub fn claim(
        &self,
        config: &Config,
        request: &Facts,
        is_read: bool,
        covers: impl Fn(&Granted) -> bool,
        now: Timestamp,
    ) -> Option<Claim> {
        let ready = self.0.ready.load_full()?;
        if *ready.config != *config || ready.since.elapsed() > STALE {
            return None;
        }
        let mut fitting = ready.usable.iter().filter(|it| {
            it.grant.is_timely(now).is_ok()
                && it.grant.is_for(request, is_read)
                && covers(&it.granted())
        });
        let Some(approved) = fitting.find(|it| self.takes(it.grant.id)) else {
            self.say_unused(&ready, request);
            return None;
        };
        Some(Claim {
            grants: self.clone(),
            approved: approved.clone(),
            is_handed_over: false,
        })
    }

    /// Says why a grant is not used that somebody may have meant for a request: once a second at most.
    fn say_unused(&self, ready: &Ready, request: &Facts) {
        let mut near = ready.usable.iter();
        let Some((it, reason)) = near.find_map(|it| Some((it, self.why_unused(it, request)?)))
        else {
            return;
        };
        let mut said = self.0.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_some_and(|said| said.elapsed() < SAID) {
            return;
        }
        *said = Some(Instant::now());
        tracing::info!(
            grant.id = %it.grant.id, ticket = %Visible(&it.grant.ticket), reason,
            "a grant names this token or path, and is not for this request"
        );
    }

    /// Why a grant that names what a request names is not used for it. The last look may have found it free, and another
    /// request has had it since.
    pub(super) fn why_unused(&self, it: &Approved, request: &Facts) -> Option<String> {
        let differs = it.grant.differs(request)?;
        let taken = self.stands(it).and_then(Result::err);
        Some(taken.map_or_else(
            || format!("it is not for {differs} of this one"),
            |flaw| flaw.to_string(),
        ))
    }

    fn takes(&self, id: Uuid) -> bool {
        let mut table = self.table();
        match table.get_mut(&id) {
            Some(known) if known.stands == Use::Free => {
                known.stands = Use::Claimed;
                true
            }
            _ => false,
        }
    }

    fn put(&self, grant: &Grant, stands: Use) {
        let until = grant.until;
        self.table().insert(grant.id, Known { stands, until });
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Uuid, Known>> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    pub fn granted(&self) -> Granted {
        self.approved.granted()
    }

    /// From here on a record with it may be written: it stays taken whatever happens, unless [`Claim::give_back`] says
    /// that nothing was written.
    pub fn hand_over(&mut self) {
        self.is_handed_over = true;
    }

    /// The record is on disk.
    pub fn used(mut self, decision_id: &str) {
        self.is_handed_over = true;
        let stands = Use::Void(Flaw::Used(decision_id.to_owned()));
        self.grants.put(&self.approved.grant, stands);
        self.grants.0.metrics.grant_used();
    }

    /// Nobody knows whether the record is on disk. The journal had so many records; when it has more, it has this one, or will
    /// never have it.
    pub fn in_doubt(mut self, decision_id: &str, records: u64) {
        self.is_handed_over = true;
        let stands = Use::InDoubt {
            decision: decision_id.to_owned(),
            records,
        };
        self.grants.put(&self.approved.grant, stands);
    }

    /// No record with it was written, and none will be.
    pub fn give_back(mut self) {
        self.is_handed_over = false;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.is_handed_over {
            self.grants.put(&self.approved.grant, Use::Free);
        }
    }
}

impl std::fmt::Debug for Grants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grants").finish_non_exhaustive()
    }
}

/// What was not looked at for so long grants nothing: a file may have been taken away, or a key.
const STALE: Duration = Duration::from_secs(10);

/// Between two lines about grants that were not used.
const SAID: Duration = Duration::from_secs(1);

/// After this the journal is read again where it could not be read.
const PAUSE: Duration = Duration::from_mins(1);

/// Grants that are remembered although their files are gone.
const MOST_KNOWN: usize = 4096;
