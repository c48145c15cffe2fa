//! Records of this gate's journal into the store.
//!
//! A record is a row, however often it is sent: the row is told by the gate's name and the record's number, and its hash
//! says whether it is the same record. What another journal has sent under this name is never overwritten, and nothing is
//! written beside it.

mod known;

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::error::SqlState;

use super::rows::{Row, endings};
use super::standing::About;
use super::write::Statements;
use super::{Config, Connected, StoreError, connect, partition};
use crate::audit::outgoing::{Arrived, Most, Outgoing};
use crate::value::Sha256Hex;
use known::Known;

/// The store, as a place where records go.
pub struct Sink {
    config: Config,
    /// By what name the gate is known there.
    gate: String,
    about: About,
    session: Option<Session>,
    /// Records of one transaction: fewer where the server is slow.
    at_once: usize,
    /// What has arrived.
    arrived: Arrived,
    known: Known,
    /// Until a record has arrived in this run, nobody knows that the name is this gate's.
    is_known: bool,
    told: Option<Instant>,
    /// It was said that the others are not told how the gate is.
    is_untold: bool,
    names: Names,
    /// Why records do not arrive: what kind of reason it is, and its words.
    reason: Option<(String, String)>,
}

/// An open connection, and what is known through it.
struct Session {
    connected: Connected,
    statements: Statements,
    /// Those that have their table.
    months: BTreeSet<(i16, i8)>,
}

/// Texts that are in the list of all names, in bounded room.
#[derive(Default)]
struct Names {
    known: HashSet<(&'static str, String)>,
    bytes: usize,
}

impl Sink {
    pub fn new(config: &Config, gate: &str, about: About) -> Result<Self, StoreError> {
        connect::check(config)?;
        Ok(Self {
            config: config.clone(),
            gate: gate.to_owned(),
            about,
            session: None,
            at_once: MOST.records,
            arrived: Arrived::default(),
            known: Known::default(),
            is_known: false,
            told: None,
            is_untold: false,
            names: Names::default(),
            reason: None,
        })
    }

    /// Records come from this journal, of which so much has arrived, as far as this gate knows.
    pub fn goes_on(&mut self, journal: &Path, arrived: Arrived) {
        self.known = Known::of(journal);
        self.arrived = arrived;
    }

    /// Writes records. Those that are there already are left as they are. [`StoreError::Lost`]: those that have arrived
    /// are not all there any more. [`StoreError::Earlier`]: some of these are there under another name of this journal.
    pub async fn send(&mut self, records: &[Outgoing]) -> Result<(), StoreError> {
        if let Some(first) = records.first() {
            self.are_new(first.seq).await?;
        }
        let mut rest = records;
        while let Some((part, behind)) = rest.split_at_checked(self.at_once.min(rest.len()))
            && let Some(last) = part.last()
        {
            let begun = Instant::now();
            let written = self.write(part).await;
            if let Err(error) = &written
                && is_slow(error)
            {
                self.at_once = (part.len() / 4).max(1);
            }
            let has_time = begun.elapsed() < self.config.timeout.as_std() / 4;
            // What was there already says nothing of how long new rows take.
            if written? == part.len() && has_time {
                self.at_once = (self.at_once * 2).min(MOST.records);
            }
            self.arrived.seq = last.seq;
            self.arrived.hash = Some(Sha256Hex::of(&last.line));
            self.is_known = true;
            self.reason = None;
            rest = behind;
            if self.told.is_none_or(|told| told.elapsed() >= TELL) {
                self.tell_beside().await?;
            }
        }
        Ok(())
    }

    /// Whether none of what is sent from this record on, which was not sent before, is there under another name.
    async fn are_new(&mut self, first: u64) -> Result<(), StoreError> {
        // Where nothing has arrived under this name yet, more may have under the one before than was noted.
        if self.arrived.seq > self.arrived.behind && first > self.arrived.seq {
            return Ok(());
        }
        self.known.read_names().await?;
        let session = self.session().await?;
        let limit = self.config.timeout.as_std();
        let behind = self.arrived.behind;
        let client = &session.connected.client;
        let found = answered(limit, self.known.earlier(client, &self.gate, behind)).await;
        let found = found.map_err(|error| session.connected.explained(error))?;
        self.session = Some(session);
        match found {
            Some(seq) if seq >= first => {
                self.arrived = Arrived {
                    seq: seq.max(self.arrived.seq),
                    hash: None,
                    behind: seq,
                };
                Err(StoreError::Earlier(seq))
            }
            _ => Ok(()),
        }
    }

    /// Tells the others how the gate is, while records arrive: that this fails is no reason to send those again.
    async fn tell_beside(&mut self) -> Result<(), StoreError> {
        match self.tell().await {
            Err(error @ StoreError::Lost(_)) => return Err(error),
            Err(error) => {
                // Once, however long it lasts.
                if !std::mem::replace(&mut self.is_untold, true) {
                    tracing::warn!(%error, "the store is not told how the gate is; records arrive");
                }
            }
            Ok(()) => self.is_untold = false,
        }
        Ok(())
    }

    /// A reason in words. While it is the same, its words are: a server has new ones for it each time.
    pub fn reason(&mut self, error: &StoreError) -> String {
        let kind = error.kind();
        if let Some((before, words)) = &self.reason
            && *before == kind
        {
            return words.clone();
        }
        let words = error.to_string();
        self.reason = Some((kind.into_owned(), words.clone()));
        words
    }

    /// There is nothing to send: others want to know that the gate is there. What the store has lost is seen here, too.
    pub async fn rest(&mut self, is_end: bool) -> Result<(), StoreError> {
        let is_due = self.told.is_none_or(|told| told.elapsed() >= TELL);
        if !self.is_known || !(is_due || is_end) {
            return Ok(());
        }
        match self.tell().await {
            Err(error @ StoreError::Lost(_)) => Err(error),
            Err(error) => {
                // Records that do not arrive are told by whoever sends them.
                tracing::debug!(%error, "the store is not told how the gate is");
                Ok(())
            }
            Ok(()) => {
                self.is_untold = false;
                Ok(())
            }
        }
    }

    /// In one transaction: how many were not there.
    async fn write(&mut self, records: &[Outgoing]) -> Result<usize, StoreError> {
        let mut rows = Vec::with_capacity(records.len());
        for (number, record) in records.iter().enumerate() {
            rows.push(Row::of(record));
            if number % TURN == 0 {
                // Others send from this thread, too.
                tokio::task::yield_now().await;
            }
        }
        let mut session = self.session().await?;
        match self.write_in(&mut session, &rows).await {
            Ok(new) => {
                // Only what went well is used again.
                self.session = Some(session);
                Ok(new)
            }
            Err(error) => Err(session.connected.explained(error)),
        }
    }

    async fn write_in(
        &mut self,
        session: &mut Session,
        rows: &[Row<'_>],
    ) -> Result<usize, StoreError> {
        let limit = self.config.timeout.as_std();
        let months: BTreeSet<_> = rows.iter().filter_map(|row| row.at.month()).collect();
        for month in months {
            if !session.months.contains(&month) {
                let client = &mut session.connected.client;
                answered(limit, partition::ensure(client, month)).await?;
                session.months.insert(month);
            }
        }
        let names: HashSet<_> = rows.iter().flat_map(Row::names).collect();
        let new = self.names.unknown(names);
        let (client, statements) = (&mut session.connected.client, &mut session.statements);
        if !new.is_empty() {
            answered(limit, statements.add_names(client, &new)).await?;
            self.names.add(&new);
        }
        let before = self.arrived.hash.as_ref();
        let written = statements.write(client, &self.gate, rows, before, endings(rows));
        answered(limit, written).await
    }

    async fn tell(&mut self) -> Result<(), StoreError> {
        // Whatever comes of it, it is not tried at every moment.
        self.told = Some(Instant::now());
        let standing = (self.about)();
        let session = self.session().await?;
        let told = standing.tell(&session.connected.client, &self.gate, self.arrived.seq);
        answered(self.config.timeout.as_std(), told).await?;
        self.session = Some(session);
        Ok(())
    }

    /// The session that is open, or a new one: then the server may be another one than before, or one that was restored.
    async fn session(&mut self) -> Result<Session, StoreError> {
        if let Some(session) = self.session.take()
            && !session.connected.is_closed()
        {
            return Ok(session);
        }
        let limit = self.config.timeout.as_std();
        let connected = Connected::open(&self.config, &self.gate).await?;
        let client = &connected.client;
        let asked = async {
            answered(limit, connected.steady(limit)).await?;
            let statements = answered(limit, Statements::prepare(client)).await?;
            let there = self.known.there(client, &self.gate, &self.arrived);
            Ok((statements, answered(limit, there).await?))
        };
        let asked: Result<_, StoreError> = asked.await;
        let (statements, newest) = asked.map_err(|error| connected.explained(error))?;
        self.names = Names::default();
        let session = Session {
            connected,
            statements,
            months: BTreeSet::new(),
        };
        let left = self.left(&session.connected, newest).await?;
        if left < self.arrived.seq {
            self.arrived = Arrived {
                seq: left,
                hash: None,
                behind: self.arrived.behind.min(left),
            };
            self.session = Some(session);
            return Err(StoreError::Lost(left));
        }
        Ok(session)
    }

    /// The last record that is still there of what has arrived. Where nothing is there that was sent under this name, it
    /// is one that was sent under an earlier one: the store may have lost some of those as well.
    async fn left(&mut self, connected: &Connected, newest: u64) -> Result<u64, StoreError> {
        let behind = self.arrived.behind;
        if newest >= self.arrived.seq || newest > behind || behind == 0 {
            return Ok(newest);
        }
        self.known.read_names().await?;
        let earlier = self.known.earlier(&connected.client, &self.gate, behind);
        let earlier = answered(self.config.timeout.as_std(), earlier).await;
        let earlier = earlier.map_err(|error| connected.explained(error))?;
        Ok(newest.max(earlier.unwrap_or_default()))
    }
}

/// A server that is there answers each question within the limit, or says that it could not; one that is not says
/// nothing, and all questions of a step are waited for together.
async fn answered<T>(
    limit: Duration,
    step: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let answer = tokio::time::timeout(limit * STEPS, step).await;
    answer.unwrap_or(Err(StoreError::Timeout(limit * STEPS)))
}

/// Whether fewer records would have a better chance.
fn is_slow(error: &StoreError) -> bool {
    match error {
        StoreError::Timeout(_) => true,
        StoreError::Postgres(error) => error.code() == Some(&SqlState::QUERY_CANCELED),
        _ => false,
    }
}

impl Names {
    /// Those that are not known to be there.
    fn unknown<'a>(&self, names: HashSet<(&'static str, &'a str)>) -> Vec<(&'static str, &'a str)> {
        let new = names.into_iter();
        new.filter(|(kind, text)| !self.known.contains(&(*kind, (*text).to_owned())))
            .collect()
    }

    fn add(&mut self, names: &[(&'static str, &str)]) {
        for (kind, text) in names {
            self.bytes += text.len() + ENTRY;
            if self.bytes > ROOM {
                self.known.clear();
                self.bytes = text.len() + ENTRY;
            }
            self.known.insert((kind, (*text).to_owned()));
        }
    }
}

/// How much is taken at once.
pub const MOST: Most = Most {
    records: 4096,
    bytes: 8 << 20,
};
/// How often the others are told how the gate is.
const TELL: Duration = Duration::from_secs(5);
/// Records that are read before others have a turn.
const TURN: usize = 128;
/// Questions of a step that each may take the whole time.
const STEPS: u32 = 3;
/// Bytes of names that are remembered, and what one takes besides its text.
const ROOM: usize = 8 << 20;
const ENTRY: usize = 64;
