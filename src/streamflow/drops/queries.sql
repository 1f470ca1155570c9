-- Queries and inserts for the ledger of drops and the quarantine. The casts give PostgreSQL the type of
-- parameters that may be null.

-- name: entries
-- Drops by as-of, then in load order; those loaded up to a known-at, if one is given.
SELECT drop_id, as_of, sequence, digest, loaded_at, loaded_by, origin, accepted, quarantined
FROM streamflow.drops
WHERE CAST(:known_at AS timestamptz) IS NULL OR loaded_at <= :known_at
ORDER BY as_of, sequence;

-- name: newest_entry
-- The most recently loaded drop of an as-of.
SELECT drop_id, as_of, sequence, digest, loaded_at, loaded_by, origin, accepted, quarantined
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
