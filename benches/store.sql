-- Fills the tables of the store with :records records of three gates, as Terraform, a few hundred jobs and some people
-- could have written them: half of them are outcomes, 60 % of the changes change nothing, 3 % are denied, 2 % are in doubt
-- and 1 % used a grant.
-- The lines are no chain: this is for questions, not for `audit verify`.

\set ON_ERROR_STOP on
SELECT to_regclass('dtgate.record') IS NULL AS is_empty \gset
\if :is_empty
  \warn there are no tables here: cargo bench --bench store -- URL 0 [PASSWORD_FILE] makes them
  \quit
\endif
\timing on

-- Indexes are made behind the rows: that takes a tenth of the time.
CREATE TEMP TABLE made AS
  SELECT c.relname AS name, pg_get_indexdef(c.oid) AS sql, i.indisprimary AS is_primary
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = 'dtgate.record'::regclass;
SELECT format('ALTER TABLE dtgate.record DROP CONSTRAINT %I', name) FROM made WHERE is_primary \gexec
SELECT format('DROP INDEX dtgate.%I', name) FROM made WHERE NOT is_primary \gexec

SELECT format(
  'CREATE TABLE IF NOT EXISTS dtgate.%I PARTITION OF dtgate.record FOR VALUES FROM (%L) TO (%L)',
  to_char(month, '"record_"YYYY"_"MM'), month, month + interval '1 month')
FROM generate_series(
  timestamptz '2026-01-01 00:00+00',
  timestamptz '2026-01-01 00:00+00' + interval '2 seconds' * (:records / 2),
  interval '1 month') AS month \gexec

-- Numbers that look like chance.
CREATE FUNCTION pg_temp.chance(of bigint, what bigint, below bigint) RETURNS bigint LANGUAGE sql IMMUTABLE
  AS $$ SELECT (hashint8extended(of, what) & 4611686018427387903) % below $$;

-- A claim, as it stands among the words.
CREATE FUNCTION pg_temp.claim(text text) RETURNS text LANGUAGE sql IMMUTABLE
  AS $$ SELECT U&'\E000\E001value' || encode(convert_to(text, 'UTF8'), 'hex') $$;

CREATE TEMP VIEW asked AS
  SELECT n,
    'gate-' || n % 3 + 1 AS gate,
    n / 3 * 2 + 1 AS seq,
    timestamptz '2026-01-01 00:00+00' + interval '2 seconds' * n AS at,
    to_char((timestamptz '2026-01-01 00:00+00' + interval '2 seconds' * n) AT TIME ZONE 'UTC',
      'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS time,
    ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0')) AS id,
    pg_temp.chance(n, 1, 100) < 3 AS denied,
    pg_temp.chance(n, 2, 100) < 60 AS no_op,
    (ARRAY['failed', 'unknown', 'unclear'])[pg_temp.chance(n, 10, 150) + 1] AS doubt,
    pg_temp.chance(n, 11, 100) < 1 AS granted,
    'dt0c01.TOKEN' || lpad(pg_temp.chance(n, 3, 5000)::text, 23, '0') AS token,
    'service-' || pg_temp.chance(n, 3, 5000) || '-' || (ARRAY['prod', 'stage', 'dev'])[pg_temp.chance(n, 3, 5000) % 3 + 1] AS name,
    pg_temp.chance(n, 4, 300) AS caller,
    '10.' || pg_temp.chance(n, 5, 8) || '.' || pg_temp.chance(n, 6, 250) || '.1' AS client,
    (ARRAY['prod', 'stage'])[pg_temp.chance(n, 7, 2) + 1] AS environment,
    (ARRAY['metrics.read', 'metrics.ingest', 'logs.read', 'logs.ingest', 'entities.read', 'problems.read', 'slo.read', 'WriteConfig'])
      [pg_temp.chance(n, 8, 5) + 1 : pg_temp.chance(n, 8, 5) + 3] AS scope,
    (ARRAY['metrics.read', 'metrics.ingest', 'logs.read', 'logs.ingest', 'entities.read', 'problems.read', 'slo.read'])
      [pg_temp.chance(n, 9, 7) + 1] AS more
  FROM generate_series(0::bigint, :records / 2 - 1) AS n;

CREATE TEMP VIEW decision AS
  SELECT asked.*,
    CASE WHEN no_op THEN '{}' ELSE ARRAY[more] END AS added,
    'scope "WriteConfig" may not be granted to ' || name || '; not allowed' AS message,
    json_build_object('seq', seq, 'prev', repeat('1d2dd3cb06ac8b43', 4), 'synced', seq - 1, 'kind', 'decision', 'timestamp', time,
      'decision_id', id, 'labels', json_build_object('version', '0.1.0'), 'path', 'dtgate',
      'input', json_build_object(
        'operation', 'token.update', 'api', 'v2', 'environment', json_build_object('name', environment),
        'caller', json_build_object('address', client, 'token', json_build_object('id', 'dt0c01.CALLER' || caller, 'kind', 'api-token'),
          'jwt', json_build_object('issuer', 'https://ci.example', 'subject', 'repo:example/' || caller,
            'claims', json_build_object('repository', 'example/' || caller, 'ref', 'refs/heads/main')),
          'teams', ARRAY['team-' || caller % 20]),
        'token', json_build_object('id', token, 'known', true,
          'current', json_build_object('id', token, 'name', name, 'enabled', true, 'owner', 'ci', 'scopes', scope)),
        'change', json_build_object('name', json_build_object('requested', name, 'current', name),
          'enabled', json_build_object('requested', true, 'current', true),
          'scopes', json_build_object('requested', scope, 'current', scope, 'added', CASE WHEN no_op THEN '{}' ELSE ARRAY[more] END,
            'removed', '{}'::text[], 'kept', scope),
          'differs', CASE WHEN no_op THEN '{}' ELSE ARRAY['scopes'] END),
        'time', time),
      'result', json_build_object('allow', NOT denied, 'violations', CASE WHEN denied THEN json_build_array(json_build_object(
        'policy', 'forbidden_scopes', 'mode', 'enforce', 'rule', 'deny', 'code', 'forbidden-scope', 'path', 'scopes[0]',
        'message', 'scope "WriteConfig" may not be granted to ' || name || '; not allowed')) ELSE '[]' END),
      'bundles', json_build_object('policies', json_build_object('revision', repeat('1d2dd3cb06ac8b43', 4))),
      'metrics', json_build_object('timer_rego_query_eval_ns', 71586), 'requested_by', client,
      'verdict', CASE WHEN denied THEN 'deny' ELSE 'allow' END, 'operation', 'token.update',
      'caller', json_build_object('id', 'dt0c01.CALLER' || caller, 'kind', 'api-token', 'teams', ARRAY['team-' || caller % 20],
        'jwt', json_build_object('issuer', 'https://ci.example', 'subject', 'repo:example/' || caller)),
      'request', json_build_object('id', id, 'method', 'PUT', 'path', '/api/v2/apiTokens/' || token,
        'received_sha256', repeat('1d2dd3cb06ac8b43', 4), 'forwarded_sha256', repeat('1d2dd3cb06ac8b43', 4)))::text AS line
  FROM asked;

INSERT INTO dtgate.record(gate, seq, at, kind, hash, line, decision_id, verdict, operation, environment, caller, client, revision,
    no_op, certificate, claim, team, token, scope, added, removed, policy, code, words, outcome, outcome_seq)
  SELECT gate, seq, at, 'decision', sha256(convert_to(line, 'UTF8')), line, id, CASE WHEN denied THEN 'deny' ELSE 'allow' END, 'token.update',
    environment, 'dt0c01.CALLER' || caller, client, repeat('1d2dd3cb06ac8b43', 4), no_op, '{}',
    ARRAY['https://ci.example', 'repo:example/' || caller], ARRAY['team-' || caller % 20], ARRAY[token, name], scope, added, '{}',
    CASE WHEN denied THEN ARRAY['forbidden_scopes'] ELSE '{}' END, CASE WHEN denied THEN ARRAY['forbidden-scope'] ELSE '{}' END,
    array_to_tsvector(array_remove(regexp_split_to_array(lower(token || ' ' || name || ' https ci example repo example ' || caller ||
      ' api v2 apitokens' || CASE WHEN denied THEN ' ' || message ELSE '' END), '[^a-z0-9]+') || ARRAY[
        pg_temp.claim('https://ci.example'), pg_temp.claim('repo:example/' || caller), pg_temp.claim('repository=example/' || caller),
        pg_temp.claim('ref=refs/heads/main'), CASE WHEN granted AND NOT no_op THEN U&'\E000\E001granted' ELSE '' END], '')),
    CASE WHEN NOT denied THEN coalesce(doubt, 'answered') END, CASE WHEN NOT denied THEN seq + 1 END
  FROM decision;

INSERT INTO dtgate.record(gate, seq, at, kind, hash, line, decision_id, decision_seq)
  SELECT gate, seq + 1, at, CASE WHEN denied THEN 'suppressed' ELSE 'outcome' END, sha256(convert_to(line, 'UTF8')), line, id,
    CASE WHEN NOT denied THEN seq END
  FROM (
    SELECT *, json_build_object('seq', seq + 1, 'prev', repeat('1d2dd3cb06ac8b43', 4), 'synced', seq, 'kind', 'outcome',
      'timestamp', time, 'decision_id', id, 'decision_seq', seq, 'outcome', coalesce(doubt, 'answered'), 'status', 204, 'duration_ms', 4.545)::text AS line
    FROM asked
  ) AS answered;

INSERT INTO dtgate.name(kind, value)
  SELECT DISTINCT kind, value FROM (
    SELECT 'token' AS kind, unnest(ARRAY[token, name]) AS value FROM asked
    UNION ALL SELECT 'caller', 'dt0c01.CALLER' || caller FROM asked
    UNION ALL SELECT 'claim', unnest(ARRAY['https://ci.example', 'repo:example/' || caller]) FROM asked
    UNION ALL SELECT 'team', 'team-' || caller % 20 FROM asked
    UNION ALL SELECT 'client', client FROM asked
    UNION ALL SELECT 'environment', environment FROM asked
    UNION ALL SELECT 'operation', 'token.update' FROM asked
    UNION ALL SELECT 'scope', unnest(scope || more) FROM asked
    UNION ALL VALUES ('policy', 'forbidden_scopes'), ('code', 'forbidden-scope')
  ) AS names
  ON CONFLICT DO NOTHING;

-- All rows are of the form of this build.
INSERT INTO dtgate.name(kind, value) SELECT 'form', '1 1 1 gate-' || n FROM generate_series(1, 3) AS n ON CONFLICT DO NOTHING;

INSERT INTO dtgate.gate(gate, version, revision, listen, head_seq, head_hash, shipped_seq, started, seen, key)
  SELECT gate, '0.1.0', repeat('1d2dd3cb06ac8b43', 4), '127.0.0.1:8080', max(seq) + 1, repeat('1d2dd3cb06ac8b43', 4), max(seq) + 1,
    min(at), max(at), '' FROM asked GROUP BY gate
  ON CONFLICT DO NOTHING;

SELECT 'ALTER TABLE dtgate.record ADD PRIMARY KEY (gate, seq, at)' WHERE EXISTS (SELECT FROM made WHERE is_primary) \gexec
SELECT replace(sql, ' ON ONLY ', ' ON ') FROM made WHERE NOT is_primary \gexec
VACUUM (ANALYZE) dtgate.record;
VACUUM (ANALYZE) dtgate.name;
SELECT pg_size_pretty(sum(pg_relation_size(relid))) AS rows, pg_size_pretty(sum(pg_indexes_size(relid))) AS indexes
FROM pg_partition_tree('dtgate.record') WHERE isleaf;
