-- Queries about where the rows of the drops in the ledger are.

-- name: in_postgresql
-- Whether PostgreSQL has rows of drops: a partition, or a table of an earlier version.
SELECT EXISTS (
  SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = 'source' AND c.relkind = 'r'
);

-- name: has_drops
-- Whether the ledger has drops.
SELECT EXISTS (SELECT FROM streamflow.drops);

-- name: drops
-- Drops that have a table, by as-of, then in load order; those loaded up to a known-at, if one is given.
SELECT d.as_of, d.drop_number AS number, d.loaded_at, d.drop_id, f.accepted AS rows
FROM streamflow.drops d JOIN streamflow.drop_files f USING (drop_id)
WHERE f.table_name = :table
  AND (CAST(:known_at AS timestamptz) IS NULL OR d.loaded_at <= :known_at)
ORDER BY d.as_of, d.sequence;
