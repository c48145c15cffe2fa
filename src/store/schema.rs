//! The tables of the store. Whatever changes here changes [`VERSION`].

use sha2::{Digest, Sha256};
use tokio_postgres::{Client, IsolationLevel};

use super::StoreError;
use super::column::column;

/// Makes the tables where there are none. Several gates may do that at once.
pub async fn prepare(client: &mut Client) -> Result<(), StoreError> {
    match version(client).await? {
        Some(VERSION) => return Ok(()),
        Some(found) => return Err(wrong(found)),
        None => {}
    }
    // So that what others did meanwhile is seen behind the lock.
    let transaction = client.build_transaction();
    let transaction = transaction.isolation_level(IsolationLevel::ReadCommitted);
    let transaction = transaction.start().await?;
    transaction
        .execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])
        .await?;
    let found = transaction.query_opt(FIND, &[]).await?;
    let is_there = found.map(|row| column(&row, 0)).transpose()?;
    if is_there != Some(true) {
        transaction.batch_execute(TABLES).await?;
        let insert = "INSERT INTO dtgate.version(one, version) VALUES (true, $1)";
        transaction.execute(insert, &[&VERSION]).await?;
    }
    transaction.commit().await?;
    match version(client).await? {
        Some(VERSION) => Ok(()),
        found => Err(wrong(found.unwrap_or_default())),
    }
}

/// Whether the tables are there, for somebody who makes none.
pub(super) async fn check(client: &Client) -> Result<(), StoreError> {
    match version(client).await? {
        Some(VERSION) => Ok(()),
        Some(found) => Err(wrong(found)),
        None => Err(StoreError::Absent),
    }
}

fn wrong(found: i32) -> StoreError {
    StoreError::Version {
        found,
        wanted: VERSION,
    }
}

async fn version(client: &Client) -> Result<Option<i32>, StoreError> {
    let found = client.query_one(FIND, &[]).await?;
    if !column::<bool>(&found, 0)? {
        return Ok(None);
    }
    let row = client
        .query_opt("SELECT version FROM dtgate.version", &[])
        .await?;
    row.map(|row| column(&row, 0)).transpose()
}

/// A number as the tables have it.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What no gate writes, is nothing.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// The advisory lock of a name.
pub(super) fn lock_of(name: &str) -> i64 {
    let hash: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    let beginning = hash.first_chunk().copied().unwrap_or_default();
    i64::from_be_bytes(beginning)
}

/// Of the tables.
const VERSION: i32 = 1;

/// Whoever makes tables holds it.
pub(super) const LOCK: i64 = 0x6474_6761_7465;

/// By the catalogue itself: what the server remembers of names may be of before the lock.
const FIND: &str =
    "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = 'dtgate' AND c.relname = 'version')";

/// What of the tables that are asked, or of their parts, is not as [`TABLES`] makes it or could hide rows, and why. Parts
/// are plain tables: one that has parts itself leaves rows out by what those say. Where a column says that it is never
/// null, newer servers do not look.
///
/// An index of some rows leaves the others out by what its predicate was when it was written: also functions of the
/// server's own answer by settings, and by what anybody owns (a text search configuration). An index of all rows may have
/// any expression: only a question with the same expression goes by it, and ours have none whose value settings change.
pub(super) const ODD: &str = "
WITH RECURSIVE shape(top, key, columns) AS (VALUES
  ('version', '{one}'::text[], '{one boolean!,version integer!}'::text[]),
  ('record', '{gate,seq,at}', '{gate text!,seq bigint!,at timestamp with time zone!,kind text!,hash bytea!,line text!,
    decision_id text,verdict text,operation text,environment text,caller text,client text,revision text,no_op boolean,
    certificate text[],claim text[],team text[],token text[],scope text[],added text[],removed text[],policy text[],
    code text[],words tsvector,outcome text,outcome_seq bigint,settled_seq bigint,found text,decision_seq bigint}'),
  ('name', '{kind,value}', '{kind text!,value text!}'),
  ('gate', '{gate}', '{gate text!,version text!,revision text!,listen text!,head_seq bigint!,head_hash text!,
    shipped_seq bigint!,started timestamp with time zone!,seen timestamp with time zone!,key text!}')
), partial(predicate) AS (VALUES
  ('(kind = ''decision''::text)'),
  ('(kind <> ALL (ARRAY[''decision''::text, ''outcome''::text]))'),
  ('(decision_id IS NOT NULL)'), ('(caller IS NOT NULL)'), ('(client IS NOT NULL)'),
  ('(verdict = ''deny''::text)'),
  ('(no_op AND ((added <> ''{}''::text[]) OR (removed <> ''{}''::text[])))'),
  ('((verdict = ''allow''::text) AND ((outcome IS NULL) OR (outcome <> ''answered''::text)))')
), ours(table_id, top, is_top) AS (
  SELECT c.oid, c.relname::text, true FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = 'dtgate' AND c.relname IN (SELECT top FROM shape)
  UNION ALL
  SELECT i.inhrelid, ours.top, false FROM ours JOIN pg_inherits i ON i.inhparent = ours.table_id
), there(table_id, columns) AS (
  SELECT attrelid, array_agg(attname || ' ' || format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN '!' ELSE '' END)
  FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped AND attrelid IN (SELECT table_id FROM ours) GROUP BY attrelid
), looked AS (
  SELECT c.oid::regclass::text AS name, CASE
    WHEN is_top AND c.relispartition OR NOT is_top AND top <> 'record' THEN 'it is a part of another table, which has none'
    WHEN is_top AND top = 'record' AND c.relkind <> 'p' OR is_top AND top <> 'record' AND c.relkind <> 'r'
      OR c.relkind NOT IN ('p', 'r') THEN 'it is a view, a table of another server, or else no such table'
    WHEN NOT is_top AND c.relkind <> 'r' THEN 'it is a part that has parts itself'
    WHEN is_top AND top = 'record' AND pg_get_partkeydef(c.oid) <> 'RANGE (at)'
      THEN 'its parts are told by something else than the time'
    WHEN NOT is_top AND pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT' THEN 'it is a part for what no other part takes'
    WHEN c.relrowsecurity OR EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid) THEN 'it has row-level security'
    WHEN EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid) THEN 'it has a rule'
    WHEN EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
      AND (attgenerated <> '' OR attcollation NOT IN (0, 'pg_catalog.default'::regcollation)))
      THEN 'a column is generated, or compares texts otherwise'
    WHEN EXISTS (SELECT FROM pg_depend d WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
      AND (d.classid = 'pg_constraint'::regclass AND d.objid IN (SELECT oid FROM pg_constraint WHERE conrelid = c.oid)
        OR d.classid = 'pg_class'::regclass AND d.objid IN (SELECT indexrelid FROM pg_index WHERE indrelid = c.oid)))
      THEN 'a constraint or an index of it calls a function that is not the server''s own'
    WHEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indpred IS NOT NULL
      AND (top <> 'record' OR pg_get_expr(i.indpred, i.indrelid) NOT IN (SELECT predicate FROM partial)))
      THEN 'it has an index of some of its rows that dtgate has not made: ' || (SELECT string_agg(i.indexrelid::regclass::text, ', ')
        FROM pg_index i WHERE i.indrelid = c.oid AND i.indpred IS NOT NULL
          AND (top <> 'record' OR pg_get_expr(i.indpred, i.indrelid) NOT IN (SELECT predicate FROM partial)))
    WHEN NOT (there.columns @> shape.columns AND there.columns <@ shape.columns) THEN 'a column is missing, is one more, is of \
      another type, or may be null where it must not or the other way round: ' || (SELECT string_agg(DISTINCT odd, ', ')
      FROM (SELECT split_part(unnest, ' ', 1) AS odd FROM (SELECT unnest(there.columns) EXCEPT SELECT unnest(shape.columns)) AS more
        UNION SELECT split_part(unnest, ' ', 1) FROM (SELECT unnest(shape.columns) EXCEPT SELECT unnest(there.columns)) AS fewer) AS odd)
    WHEN (SELECT array_agg(a.attname::text ORDER BY place) FROM pg_constraint k
      JOIN pg_index i ON i.indexrelid = k.conindid AND i.indisvalid, unnest(k.conkey) WITH ORDINALITY AS parts(number, place)
      JOIN pg_attribute a ON a.attnum = parts.number
      WHERE k.conrelid = c.oid AND k.contype = 'p' AND a.attrelid = c.oid) IS DISTINCT FROM shape.key
      THEN 'its primary key is gone, or another one'
  END AS why
  FROM ours JOIN shape USING (top) JOIN pg_class c ON c.oid = ours.table_id LEFT JOIN there USING (table_id)
)
SELECT name, why FROM looked WHERE why IS NOT NULL ORDER BY name LIMIT 1";

/// Bytes of a line, as a gate writes it at most: what is longer is no gate's, and is not read.
pub(super) const LONGEST_LINE: i32 = 64 << 20;
const _: () = assert!(LONGEST_LINE as usize == crate::audit::lines::LONGEST);

/// What changes nothing, and yet adds or removes something: hardly any record says that, and none of a gate. The index of
/// these has next to no rows, and answers what two indexes with many could not. Stores of earlier builds have none.
pub(super) const CONTRADICTION: &str = "d.no_op AND (d.added <> '{}' OR d.removed <> '{}')";

/// A record is as it was written (`line`), and beside it stands what it is looked for by. A row of a decision also has
/// how it ended, as soon as that is known: `outcome_seq` and `settled_seq` are the numbers of the records that say so.
/// `outcome` is `unclear` where Dynatrace has answered, and not whether it was done.
///
/// The month of its own time is a record's partition: the same record is the same row, however often it comes. One
/// without a time is from `-infinity`. What is no dtgate's record has the kind `unreadable`, and is kept as it is.
/// `token` has what an outcome made, too, and `words` what it says: not in rows of earlier builds. Of several records that settle a decision, one that found something counts
/// before one that did not (`found` is `unknown`), and then the last. A challenger's record has in `found` what it would
/// have done otherwise.
///
/// `name` has every text once, by what it is, for questions of how names begin and of networks. `turn` is unlike the
/// advisory lock beside it there after a gate was killed or the server restarted.
const TABLES: &str = "
CREATE SCHEMA IF NOT EXISTS dtgate;
CREATE TABLE dtgate.version(one boolean PRIMARY KEY CHECK(one), version integer NOT NULL);
CREATE TABLE dtgate.record(
  gate text NOT NULL, seq bigint NOT NULL, at timestamptz NOT NULL,
  kind text NOT NULL, hash bytea NOT NULL, line text NOT NULL,
  decision_id text, verdict text, operation text, environment text, caller text, client text, revision text,
  no_op boolean, certificate text[], claim text[], team text[], token text[], scope text[], added text[],
  removed text[], policy text[], code text[], words tsvector,
  outcome text, outcome_seq bigint, settled_seq bigint, found text,
  decision_seq bigint,
  PRIMARY KEY (gate, seq, at)
) PARTITION BY RANGE (at);
CREATE TABLE dtgate.record_before_2000 PARTITION OF dtgate.record
  FOR VALUES FROM (MINVALUE) TO ('2000-01-01 00:00:00+00');
CREATE TABLE dtgate.record_from_2100 PARTITION OF dtgate.record
  FOR VALUES FROM ('2100-01-01 00:00:00+00') TO (MAXVALUE);
CREATE INDEX record_by_time ON dtgate.record(at) INCLUDE (verdict, policy) WHERE kind = 'decision';
CREATE INDEX record_by_kind ON dtgate.record(kind, at) WHERE kind NOT IN ('decision', 'outcome');
CREATE INDEX record_by_id ON dtgate.record(decision_id) WHERE decision_id IS NOT NULL;
CREATE INDEX record_by_caller ON dtgate.record(caller, at) WHERE caller IS NOT NULL;
CREATE INDEX record_by_client ON dtgate.record(client, at) WHERE client IS NOT NULL;
CREATE INDEX record_by_operation ON dtgate.record(operation, at) WHERE kind = 'decision';
CREATE INDEX record_by_environment ON dtgate.record(environment, at) WHERE kind = 'decision';
CREATE INDEX record_by_denial ON dtgate.record(at) WHERE verdict = 'deny';
CREATE INDEX record_by_doubt ON dtgate.record(at)
  WHERE verdict = 'allow' AND (outcome IS NULL OR outcome <> 'answered');
CREATE INDEX record_by_contradiction ON dtgate.record(at) WHERE no_op AND (added <> '{}' OR removed <> '{}');
CREATE INDEX record_by_texts ON dtgate.record USING gin(
  token, scope, added, removed, policy, code, team, certificate, claim, words
);
CREATE TABLE dtgate.name(kind text NOT NULL, value text NOT NULL, PRIMARY KEY (kind, value));
CREATE INDEX name_by_beginning ON dtgate.name(kind, value text_pattern_ops);
CREATE TABLE dtgate.gate(
  gate text PRIMARY KEY, version text NOT NULL, revision text NOT NULL, listen text NOT NULL,
  head_seq bigint NOT NULL, head_hash text NOT NULL, shipped_seq bigint NOT NULL,
  started timestamptz NOT NULL, seen timestamptz NOT NULL, key text NOT NULL
);
CREATE TABLE dtgate.turn(
  environment text NOT NULL, token text NOT NULL, gate text NOT NULL, holder uuid NOT NULL,
  since timestamptz NOT NULL, until timestamptz NOT NULL, wanted_by text, wanted timestamptz,
  PRIMARY KEY (environment, token)
);
";

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise the server does not go by the index.
    #[test]
    fn a_contradiction_is_asked_for_as_its_index_has_it() {
        let of_index = format!(" WHERE {};", CONTRADICTION.replace("d.", ""));
        assert!(TABLES.contains(&of_index), "{of_index}");
    }
}
