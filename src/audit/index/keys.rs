//! The keys of pseudonyms that records tell of, each once: one that is lost is missed however long ago it was used, and
//! also when what told of it is deleted.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use super::fill::signed;
use super::{Error, Index};
use crate::audit::pseudonym::{MOST_KEYS, Said};

impl Index {
    /// What records say of the keys of pseudonyms, each key once, those of which a record spoke last at the end: first of what
    /// is deleted. [`MOST_KEYS`] at most: where there are so many, there may be more.
    pub fn said_of_keys(&self) -> Result<Vec<Said>, Error> {
        let sql = "SELECT version, fingerprint FROM told_key ORDER BY last, version";
        let mut statement = self.db.prepare_cached(sql)?;
        let said = statement.query_map([], |row| {
            Ok(Said {
                version: row.get(0)?,
                fingerprint: row.get(1)?,
            })
        })?;
        Ok(said.collect::<rusqlite::Result<_>>()?)
    }
}

/// A `start` or `reload` record tells of a key.
pub(super) fn told(db: &Connection, seq: i64, line: &[u8]) -> rusqlite::Result<()> {
    match Said::of(line) {
        Some(said) => note(db, &said, seq),
        None => Ok(()),
    }
}

/// A `pruned` record tells of the keys of what is deleted, the oldest first: all of them are older than what a record that
/// is there tells.
pub(super) fn told_of_deleted(db: &Connection, line: &[u8]) -> rusqlite::Result<()> {
    let all = Said::all(line);
    let (mut seen, mut last) = (BTreeSet::new(), -signed(all.len() as u64));
    for said in &all {
        if seen.len() >= MOST_KEYS {
            break;
        }
        if seen.insert(said) {
            note(db, said, last)?;
        }
        last += 1;
    }
    Ok(())
}

fn note(db: &Connection, said: &Said, last: i64) -> rusqlite::Result<()> {
    let Said {
        version,
        fingerprint,
    } = said;
    let known = db
        .prepare_cached(
            "UPDATE told_key SET last = CASE WHEN ?3 < 0 AND last > 0 THEN last ELSE ?3 END
             WHERE version = ?1 AND fingerprint IS ?2",
        )?
        .execute(params![version, fingerprint, last])?;
    if known == 0 {
        db.prepare_cached(
            "INSERT INTO told_key(version, fingerprint, last)
             SELECT ?1, ?2, ?3 WHERE (SELECT count(*) FROM told_key) < ?4",
        )?
        .execute(params![
            version,
            fingerprint,
            last,
            signed(MOST_KEYS as u64)
        ])?;
    }
    Ok(())
}
