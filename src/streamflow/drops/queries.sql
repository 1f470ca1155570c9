-- Queries and inserts for the ledger of drops and the quarantine. The casts give PostgreSQL the type of
-- parameters that may be null.

-- name: entries
-- Drops by as-of, then in load order; those loaded up to a known-at, if one is given.
SELECT drop_id, as_of, sequence, digest, loaded_at, loaded_by, origin, accepted, quarantined, login
FROM streamflow.drops
WHERE CAST(:known_at AS timestamptz) IS NULL OR loaded_at <= :known_at
ORDER BY as_of, sequence;

-- name: newest_entry
-- The most recently loaded drop of an as-of.
SELECT drop_id, as_of, sequence, digest, loaded_at, loaded_by, origin, accepted, quarantined, login
FROM streamflow.drops
WHERE as_of = :as_of
ORDER BY sequence DESC
LIMIT 1;

-- name: files
-- Files of a drop by name.
SELECT table_name AS "table", file, sha256, bytes, lines, accepted, quarantined
FROM streamflow.drop_files
WHERE drop_id = :drop
ORDER BY file;

-- name: quarantined
-- Rejected rows, optionally of one drop or table; newest drop first, then in file order.
SELECT q.drop_id, q.file, q.line, q.column_name AS "column", q.reason, q.value, q.raw
FROM streamflow.quarantine q
JOIN streamflow.drops d USING (drop_id)
WHERE (CAST(:drop AS text) IS NULL OR q.drop_id = :drop)
  AND (CAST(:table AS text) IS NULL OR q.table_name = :table)
ORDER BY d.loaded_at DESC, q.file, q.line
LIMIT :most;

-- name: add_drop
-- Add a drop to the ledger.
INSERT INTO streamflow.drops
    (drop_id, as_of, sequence, digest, loaded_at, loaded_by, origin, accepted, quarantined)
VALUES (:drop_id, :as_of, :sequence, :digest, :loaded_at, :loaded_by, :origin, :accepted, :quarantined);

-- name: add_file
-- Add a file of a drop to the ledger.
INSERT INTO streamflow.drop_files
    (drop_id, table_name, file, sha256, bytes, lines, accepted, quarantined)
VALUES (:drop_id, :table, :file, :sha256, :bytes, :lines, :accepted, :quarantined);

-- name: chain
-- The hash chain of drops, oldest first: its hashes, then the hashed fields as text in the order of streamflow.drop_hash.
SELECT c.position, c.previous_hash, c.hash,
  c.position::text,
  c.drop_id,
  to_char(d.as_of AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
  d.sequence::text,
  d.digest,
  to_char(d.loaded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
  d.loaded_by,
  d.login,
  d.origin,
  d.accepted::text,
  d.quarantined::text,
  (SELECT jsonb_agg(
       jsonb_build_array(f.table_name, f.file, f.sha256, f.bytes, f.lines, f.accepted, f.quarantined)
       ORDER BY f.table_name COLLATE "C"
   )::text
   FROM streamflow.drop_files f WHERE f.drop_id = c.drop_id)
FROM streamflow.drop_chain c
LEFT JOIN streamflow.drops d USING (drop_id)
ORDER BY c.position;

-- name: unlinked
-- Drops that are not in the chain.
SELECT drop_id FROM streamflow.drops d
WHERE NOT EXISTS (SELECT FROM streamflow.drop_chain c WHERE c.drop_id = d.drop_id)
ORDER BY drop_id;
