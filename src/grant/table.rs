//! The grants that can be used now, and who takes one.
//!
//! The directory is looked at beside the data plane ([`Grants::look`]); requests see what the last look has found, and
//! take a grant by a claim. It guarantees that a grant is claimed by one request at a time, and never again once a
//! record with it may have been written. What is not in the table cannot be claimed; what comes into it was looked for
//! in the journal, to its end. An entry whose claim was handed to the journal leaves the table only when that record is on disk.

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
use super::text::Allows;
use super::used;
use crate::policy::Granted;
use crate::telemetry::{Limit, Metrics};
use crate::value::{Visible, plain_words, unread as why};

/// The grants of a gate. Clones share them.
#[derive(Clone)]
pub struct Grants(Arc<Shared>);

struct Shared {
    ready: ArcSwapOption<Ready>,
    table: Mutex<HashMap<Uuid, Use>>,
    /// What the log says of each file.
    told: Mutex<HashMap<String, String>>,
    metrics: Metrics,
}

/// What a look has found.
struct Ready {
    config: Arc<Config>,
    since: Instant,
    usable: Vec<Arc<Approved>>,
}

/// What is known of a grant that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Use {
    /// The journal has nothing against it.
    Free,
    /// A request has it; from there on a record with it may be written.
    Claimed,
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
            metrics,
        }))
    }

    /// There are none any more.
    pub fn clear(&self) {
        self.0.ready.store(None);
        self.0.metrics.grants_usable(0);
    }

    /// Looks at the directory, and in the journal for those that are new. It reads files: not for threads that move bytes.
    pub fn look(&self, config: &Arc<Config>, name: &str, journal: &Path, now: Timestamp) {
        let listing = match file::read_all(&config.directory) {
            Ok(listing) => listing,
            Err(error) => {
                let reason = why(&error);
                self.publish(config, Vec::new());
                self.tell(vec![(String::new(), Err(Flaw::Unread(reason)))]);
                return;
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
        let new = self.forget_others(&there);
        let mut unread = None;
        if !new.is_empty() {
            // Those that are known need not wait until the journal was read.
            self.publish(config, self.free(&there));
            let grants: Vec<_> = new.iter().map(|it| &it.grant).collect();
            match used::find(journal, &grants) {
                Ok(found) => self.learn(&new, found),
                Err(error) => unread = Some(plain_words(&error.to_string())),
            }
        }
        self.publish(config, self.free(&there));
        let told = read.into_iter().map(|(file, it)| {
            let stands = it.and_then(|it| match (self.table().get(&it.grant.id), &unread) {
                (Some(Use::Void(flaw)), _) => Err(flaw.clone()),
                (None, Some(reason)) => Err(Flaw::Journal(reason.clone())),
                _ => Ok(it),
            });
            (file, stands)
        });
        self.tell(told.collect());
    }

    /// Takes out of the table what is not there any more, and gives what is not in it.
    fn forget_others(&self, there: &[Arc<Approved>]) -> Vec<Arc<Approved>> {
        let mut table = self.table();
        table.retain(|id, stands| {
            *stands == Use::Claimed || there.iter().any(|it| it.grant.id == *id)
        });
        let mut new: Vec<Arc<Approved>> = Vec::new();
        for it in there {
            let id = it.grant.id;
            if !table.contains_key(&id) && new.iter().all(|other| other.grant.id != id) {
                new.push(it.clone());
            }
        }
        new
    }

    fn learn(&self, new: &[Arc<Approved>], found: Vec<Result<(), Flaw>>) {
        let mut table = self.table();
        for (it, found) in new.iter().zip(found) {
            let stands = found.map_or_else(Use::Void, |()| Use::Free);
            table.entry(it.grant.id).or_insert(stands);
        }
    }

    /// Those that can be used; those for one request before those for any.
    fn free(&self, there: &[Arc<Approved>]) -> Vec<Arc<Approved>> {
        let table = self.table();
        let free = there
            .iter()
            .filter(|it| table.get(&it.grant.id) == Some(&Use::Free));
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
        let mut now = HashMap::new();
        for (file, stands) in files {
            let said = match &stands {
                Ok(it) => it.grant.id.to_string(),
                Err(flaw) => flaw.to_string(),
            };
            if told.get(&file) != Some(&said) {
                match &stands {
                    Ok(it) => tracing::info!(
                        file = %Visible(&file), grant.id = %it.grant.id,
                        requested_by = %it.grant.requested_by, approved_by = %it.approved_by, ticket = %it.grant.ticket,
                        until = %it.grant.until, "a grant can be used"
                    ),
                    Err(_) if file.is_empty() => {
                        tracing::warn!(reason = %said, "the directory of grants cannot be looked at");
                    }
                    Err(_) => tracing::warn!(
                        file = %Visible(&file), reason = %said, "a file holds no grant that can be used"
                    ),
                }
            }
            now.insert(file, said);
        }
        *told = now;
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
                && covers(&it.grant.granted(&it.approved_by))
        });
        let approved = fitting.find(|it| self.takes(it.grant.id))?;
        Some(Claim {
            grants: self.clone(),
            approved: approved.clone(),
            is_handed_over: false,
        })
    }

    fn takes(&self, id: Uuid) -> bool {
        let mut table = self.table();
        match table.get_mut(&id) {
            Some(stands @ Use::Free) => {
                *stands = Use::Claimed;
                true
            }
            _ => false,
        }
    }

    fn put(&self, id: Uuid, stands: Use) {
        self.table().insert(id, stands);
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Uuid, Use>> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    pub fn granted(&self) -> Granted {
        self.approved.grant.granted(&self.approved.approved_by)
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
        self.grants.put(self.approved.grant.id, stands);
        self.grants.0.metrics.grant_used();
    }

    /// No record with it was written, and none will be.
    pub fn give_back(mut self) {
        self.is_handed_over = false;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.is_handed_over {
            self.grants.put(self.approved.grant.id, Use::Free);
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
