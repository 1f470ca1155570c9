-- Statements about erasures. Those that change something call functions of the owner.

-- name: count
-- Rows of an entity, by table.
SELECT streamflow.count_entity(:entity);

-- name: mentions
-- Rows whose text names an entity and cannot be changed, by table.
SELECT streamflow.mentions(:entity);

-- name: erase
-- Erase an entity from all tables, and record it.
SELECT erasure_id::text, counts, continued
FROM streamflow.erase(:entity, :inner, :outer, :why, :by, :request);

-- name: withdraw
-- Take an entity off the list of erasures.
SELECT streamflow.withdraw_erasure(:entity, :inner, :outer, :why, :by, :request)::text;

-- name: tables
-- Tables that may have rows of a person.
SELECT relation::text FROM streamflow.entity_tables()
UNION ALL VALUES ('streamflow.quarantine'), ('streamflow.job_runs');

-- name: step
-- Record a step of an erasure.
SELECT streamflow.record_erasure_step(CAST(:erasure AS uuid), :step, CAST(:counts AS jsonb));

-- name: run
-- Record what is left of a run's training set.
SELECT streamflow.record_erased_run(
  CAST(:erasure AS uuid), :run_id, :rows, :fingerprint, :split, :pinned
);

-- name: open
-- Erasures in force that are not complete, by entity hash.
SELECT e.erasure_id::text, e.entity_hash
FROM streamflow.erased e
WHERE NOT EXISTS (
  SELECT FROM streamflow.erasure_steps s WHERE s.erasure_id = e.erasure_id AND s.step = 'done'
);

-- name: listed
-- Hashes of the entities that are erased now, with the name of the key and when.
SELECT entity_hash, key_id, erasure_id::text, erased_at FROM streamflow.erased;

-- name: acts
-- All erasures and withdrawals, oldest first, with their steps' counts.
SELECT a.erasure_id::text, a.action, a.entity_hash, a.key_id, a.why, a.request, a.asked_by, a.login, a.recorded_at,
  max(s.recorded_at) FILTER (WHERE s.step = 'done') AS done_at,
  coalesce(
    jsonb_agg(jsonb_build_object('step', s.step, 'counts', s.counts) ORDER BY s.step_id) FILTER (WHERE s.step_id IS NOT NULL),
    '[]'
  ) AS steps
FROM streamflow.erasures a LEFT JOIN streamflow.erasure_steps s USING (erasure_id)
GROUP BY a.erasure_id
ORDER BY a.recorded_at, a.erasure_id;

-- name: exported
-- All erasures and withdrawals, as they are written beside the backups.
SELECT to_jsonb(a) FROM streamflow.erasures a ORDER BY a.recorded_at, a.erasure_id;

-- name: import
-- Add acts that another database recorded.
SELECT streamflow.import_erasures(CAST(:acts AS jsonb));

-- name: erase_listed
-- Remove entities by their hashes.
SELECT streamflow.erase_listed(:inner, :outer, CAST(:hashes AS text[]));

-- name: erased_run
-- What is left of a run's training set after its newest erasure, how many rows are gone in all, and its fingerprints between.
SELECT (array_agg(fingerprint ORDER BY number DESC))[1] AS fingerprint,
  (array_agg(split_digest ORDER BY number DESC))[1] AS split_digest,
  sum(rows)::integer AS rows,
  (array_agg(fingerprint ORDER BY number DESC))[2:] AS between
FROM streamflow.erased_runs
WHERE run_id = :run_id
HAVING count(*) > 0;

-- name: forget_months
-- Remove the rows of all months but the newest ones.
SELECT before, counts FROM streamflow.forget_months(:keep);

-- name: forgotten_months
-- Before which date rows are gone, and when rows were removed last.
SELECT max(before) AS before, max(recorded_at) AS recorded_at FROM streamflow.forgotten_months;
