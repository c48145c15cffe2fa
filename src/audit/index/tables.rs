//! The tables. Whatever changes here changes [`VERSION`]: an index of another version is made anew.
//!
//! Records are numbered in the order of time, so that "the newest" is "the highest number", and an index of one column,
//! whose entries end in that number, gives a caller's newest decisions without sorting anything. Texts that repeat are
//! kept once ([`Kind`]), and so are lists of them ([`List`]): which list holds what is asked once a query.

use rusqlite::Connection;

use super::Error;

/// Whether the tables are those below, to the letter, and there is nothing else: a view or a trigger of somebody's could
/// answer without end.
pub(super) fn are_right(db: &Connection) -> Result<bool, Error> {
    let right = Connection::open_in_memory()?;
    right.execute_batch(TABLES)?;
    Ok(schema(db)? == schema(&right)?)
}

fn schema(db: &Connection) -> Result<Vec<(String, String, Option<String>)>, Error> {
    let sql = "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name LIMIT 1000";
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Of the tables.
pub(super) const VERSION: i64 = 13;

/// Tells the file from any other of `SQLite`.
pub(super) const APPLICATION: i64 = 0x6474_6778;

/// What a text is, by which it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Operation,
    Environment,
    /// Public ids and names.
    Token,
    Caller,
    Certificate,
    Claim,
    Team,
    Client,
    Scope,
    Policy,
    Code,
    Revision,
    Record,
    /// Ids of decisions that are no UUID.
    Decision,
}

/// What a list is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Scopes,
    Teams,
    Objections,
    /// Subject, SPIFFE id and fingerprint.
    Certificate,
    /// Issuer and subject.
    Claim,
}

pub(super) const KINDS: usize = Kind::Decision as usize + 1;
pub(super) const LISTS: usize = List::Claim as usize + 1;

/// Verdicts and outcomes as they are kept.
pub(super) const ALLOW: i64 = 0;
pub(super) const DENY: i64 = 1;
pub(super) const ANSWERED: i64 = 1;
pub(super) const FAILED: i64 = 2;
pub(super) const UNKNOWN: i64 = 3;
/// Answered, and the answer does not tell whether it was done.
pub(super) const UNCLEAR: i64 = 4;

/// What a challenger would have done otherwise, as it is kept.
pub(super) const WOULD_DENY: i64 = 1;
pub(super) const WOULD_ALLOW: i64 = 2;
pub(super) const VIOLATIONS: i64 = 3;
pub(super) const COULD_NOT: i64 = 4;
pub(super) const TIMED_OUT: i64 = 5;

/// The tables of an index. Words are collected in 4 MiB before they are written: each time makes a part of the index that
/// has to be joined with others. `decision.settled` is the number of the record that says what became of it; with a sign
/// before it: that record says that nobody can tell. `decision.challenger` says what a challenger would have done
/// otherwise, and `challenger_seq` is the number of the record that says so. `counted` has how many requests a
/// `suppressed` record stands for. `position.last` is the segment of the last record, and `behind` the lines since then that
/// are no records. `block` has sums of many decisions at once, and `latency` how many took how
/// long in each minute, and in longer and shorter parts. `told_key` has the keys of pseudonyms, and the last record that
/// tells of each; below 0 are those of which only `pruned` records tell. They stay when such records are deleted.
pub(super) const TABLES: &str = "
CREATE TABLE position(
  one INTEGER PRIMARY KEY CHECK(one = 1),
  epoch INTEGER NOT NULL, segment INTEGER, offset INTEGER, seq INTEGER, hash TEXT, unread INTEGER NOT NULL,
  last INTEGER, behind INTEGER
);
CREATE TABLE text(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, value TEXT NOT NULL, UNIQUE(kind, value));
CREATE TABLE list(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, value TEXT NOT NULL, UNIQUE(kind, value));
CREATE TABLE member(text INTEGER NOT NULL, list INTEGER NOT NULL, PRIMARY KEY(text, list)) WITHOUT ROWID;
CREATE TABLE record(
  seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, ms INTEGER, segment INTEGER NOT NULL, offset INTEGER NOT NULL
);
CREATE TABLE span(first INTEGER PRIMARY KEY, earliest INTEGER NOT NULL, latest INTEGER NOT NULL);
CREATE TABLE decision(
  seq INTEGER PRIMARY KEY, ms INTEGER, id INTEGER, verdict INTEGER NOT NULL,
  operation INTEGER, environment INTEGER, caller INTEGER, certificate INTEGER, claim INTEGER, teams INTEGER,
  client INTEGER, objections INTEGER, asked INTEGER, added INTEGER, removed INTEGER, noop INTEGER NOT NULL,
  revision INTEGER, outcome INTEGER, status INTEGER, micros INTEGER, outcome_seq INTEGER, settled INTEGER,
  challenger INTEGER, challenger_seq INTEGER
);
CREATE TABLE block(
  level INTEGER NOT NULL, number INTEGER NOT NULL, earliest INTEGER, latest INTEGER, whens BLOB NOT NULL,
  whos BLOB NOT NULL, UNIQUE(level, number)
);
CREATE TABLE latency(
  long INTEGER NOT NULL, number INTEGER NOT NULL, environment INTEGER NOT NULL, took INTEGER NOT NULL,
  times BLOB NOT NULL, PRIMARY KEY(long, number, environment, took)
) WITHOUT ROWID;
CREATE TABLE gap(seq INTEGER PRIMARY KEY, last INTEGER NOT NULL);
CREATE TABLE told_key(version INTEGER NOT NULL, fingerprint TEXT, last INTEGER NOT NULL, UNIQUE(version, fingerprint));
CREATE TABLE counted(seq INTEGER PRIMARY KEY, count INTEGER NOT NULL);
CREATE TABLE about(text INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(text, seq)) WITHOUT ROWID;
CREATE VIRTUAL TABLE words USING fts5(
  text, content='', columnsize=0, detail='none', tokenize='ascii'
);
INSERT INTO words(words, rank) VALUES ('hashsize', 4194304);
CREATE INDEX by_id ON decision(id) WHERE id IS NOT NULL;
CREATE INDEX by_denial ON decision(verdict) WHERE verdict = 1;
CREATE INDEX by_operation ON decision(operation);
CREATE INDEX by_environment ON decision(environment);
CREATE INDEX by_caller ON decision(caller) WHERE caller IS NOT NULL;
CREATE INDEX by_certificate ON decision(certificate) WHERE certificate IS NOT NULL;
CREATE INDEX by_claim ON decision(claim) WHERE claim IS NOT NULL;
CREATE INDEX by_teams ON decision(teams) WHERE teams IS NOT NULL;
CREATE INDEX by_client ON decision(client);
CREATE INDEX by_objections ON decision(objections) WHERE objections IS NOT NULL;
CREATE INDEX by_asked ON decision(asked) WHERE asked IS NOT NULL;
CREATE INDEX by_added ON decision(added) WHERE added IS NOT NULL;
CREATE INDEX by_removed ON decision(removed) WHERE removed IS NOT NULL;
CREATE INDEX by_end ON decision(outcome) WHERE outcome > 1;
CREATE INDEX by_challenger ON decision(challenger) WHERE challenger IS NOT NULL;
CREATE INDEX by_doubt ON decision(verdict) WHERE verdict = 0 AND outcome IS NULL;
CREATE INDEX by_effect ON decision(noop) WHERE noop = 0;
CREATE INDEX by_kind ON record(kind, seq) WHERE kind > 0;
INSERT INTO position(one, epoch, unread) VALUES (1, abs(random()), 0);
";
