//! What is asked for when the metrics are read.

use std::sync::OnceLock;

use super::Metrics;
use super::labels::SinkLabels;

/// Whom to ask: nobody, until somebody says so.
#[derive(Default)]
pub(super) struct Sources {
    console: OnceLock<Box<dyn Fn() -> (usize, usize) + Send + Sync>>,
    connections: OnceLock<Box<dyn Fn() -> usize + Send + Sync>>,
    journal_free: OnceLock<Box<dyn Fn() -> u64 + Send + Sync>>,
    index: OnceLock<Box<dyn Fn() -> (u64, u64) + Send + Sync>>,
    evaluator: OnceLock<Box<dyn Fn() -> Evaluator + Send + Sync>>,
    kept: OnceLock<Box<dyn Fn() -> JournalKept + Send + Sync>>,
    load: OnceLock<Box<dyn Fn() -> Load + Send + Sync>>,
    ready: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
    sinks: OnceLock<Box<dyn Fn() -> Vec<SinkLoad> + Send + Sync>>,
    turns: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
}

/// What requests hold at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Bytes of bodies that are read whole.
    pub body_bytes: usize,
    /// Requests that wait for their turn to be judged.
    pub judge_waiting: usize,
}

/// What of the journal is there, and whether old segments are kept as they should be.
#[derive(Clone, Copy, Debug)]
pub struct JournalKept {
    pub segments: u64,
    /// On disk, and as it was written.
    pub bytes: u64,
    pub text_bytes: u64,
    /// When the oldest record was written.
    pub oldest: Option<jiff::Timestamp>,
    /// Segments that are to be deleted and may not be yet.
    pub waiting: u64,
    /// Segments cannot be compressed, or deleted.
    pub failing: bool,
}

/// How far a sink is behind.
#[derive(Clone, Debug)]
pub struct SinkLoad {
    pub sink: String,
    /// Records that have not arrived.
    pub behind: u64,
    /// Since it had everything.
    pub seconds: i64,
}

/// Which engine answers for the policies.
#[derive(Clone, Copy, Debug)]
pub struct Evaluator {
    /// The bytecode engine may.
    pub bytecode: bool,
    /// It may not any more, because it was seen to decide otherwise than the interpreter.
    pub differs: bool,
}

impl Metrics {
    /// Where to ask for the number of open connections when the metrics are read. Only the first counts.
    pub fn connections_from(&self, count: impl Fn() -> usize + Send + Sync + 'static) {
        self.0.sources.connections.get_or_init(|| Box::new(count));
    }

    /// Where to ask how many have logged in to the console, and how many look on as decisions come, when the metrics are
    /// read. Only the first counts.
    pub fn console_from(&self, ask: impl Fn() -> (usize, usize) + Send + Sync + 'static) {
        self.0.sources.console.get_or_init(|| Box::new(ask));
    }

    /// Where to ask for the free space of the journal's disk when the metrics are read. Only the first counts.
    pub fn journal_free_from(&self, bytes: impl Fn() -> u64 + Send + Sync + 'static) {
        self.0.sources.journal_free.get_or_init(|| Box::new(bytes));
    }

    /// Where to ask how many records are not indexed yet, and how often indexing failed, when the metrics are read. Only
    /// the first counts.
    pub fn index_from(&self, ask: impl Fn() -> (u64, u64) + Send + Sync + 'static) {
        self.0.sources.index.get_or_init(|| Box::new(ask));
    }

    /// Where to ask what of the journal is there when the metrics are read. Only the first counts.
    pub fn journal_kept_from(&self, ask: impl Fn() -> JournalKept + Send + Sync + 'static) {
        self.0.sources.kept.get_or_init(|| Box::new(ask));
    }

    /// Where to ask whether everything is well when the metrics are read. Only the first counts.
    pub fn ready_from(&self, ask: impl Fn() -> bool + Send + Sync + 'static) {
        self.0.sources.ready.get_or_init(|| Box::new(ask));
    }

    /// Where to ask which engine answers when the metrics are read. Only the first counts.
    pub fn evaluator_from(&self, ask: impl Fn() -> Evaluator + Send + Sync + 'static) {
        self.0.sources.evaluator.get_or_init(|| Box::new(ask));
    }

    /// Where to ask what requests hold when the metrics are read. Only the first counts.
    pub fn load_from(&self, ask: impl Fn() -> Load + Send + Sync + 'static) {
        self.0.sources.load.get_or_init(|| Box::new(ask));
    }

    /// Where to ask how far sinks are behind when the metrics are read. Only the first counts.
    pub fn sinks_from(&self, ask: impl Fn() -> Vec<SinkLoad> + Send + Sync + 'static) {
        self.0.sources.sinks.get_or_init(|| Box::new(ask));
    }

    /// Where to ask whether turns can be had when the metrics are read. Only the first counts.
    pub fn turns_from(&self, ask: impl Fn() -> bool + Send + Sync + 'static) {
        self.0.sources.turns.get_or_init(|| Box::new(ask));
    }

    /// Asks them all.
    pub(super) fn ask(&self) {
        let (sources, families) = (&self.0.sources, &self.0.families);
        if let Some(count) = sources.connections.get() {
            families
                .connections
                .set(i64::try_from(count()).unwrap_or(i64::MAX));
        }
        if let Some(ask) = sources.console.get() {
            let (sessions, live) = ask();
            families
                .console_sessions
                .set(i64::try_from(sessions).unwrap_or(i64::MAX));
            families
                .console_live
                .set(i64::try_from(live).unwrap_or(i64::MAX));
        }
        if let Some(bytes) = sources.journal_free.get() {
            let bytes = i64::try_from(bytes()).unwrap_or(i64::MAX);
            families.journal_free.set(bytes);
        }
        if let Some(ask) = sources.index.get() {
            let (behind, failures) = ask();
            families
                .index_behind
                .set(i64::try_from(behind).unwrap_or(i64::MAX));
            families
                .index_failures
                .set(i64::try_from(failures).unwrap_or(i64::MAX));
        }
        if let Some(ask) = sources.evaluator.get() {
            let evaluator = ask();
            families.bytecode_trusted.set(evaluator.bytecode.into());
            families.bytecode_differs.set(evaluator.differs.into());
        }
        if let Some(ask) = sources.kept.get() {
            families.kept.set(ask());
        }
        if let Some(ask) = sources.load.get() {
            families.load.set(ask());
        }
        if let Some(ask) = sources.ready.get() {
            families.ready.set(ask().into());
        }
        if let Some(ask) = sources.turns.get() {
            families.turns_ok.set(ask().into());
        }
        if let Some(ask) = sources.sinks.get() {
            for load in ask() {
                let labels = SinkLabels::of(&load.sink);
                let behind = i64::try_from(load.behind).unwrap_or(i64::MAX);
                families.sink_behind.get_or_create(&labels).set(behind);
                families.sink_lag.get_or_create(&labels).set(load.seconds);
            }
        }
    }
}
