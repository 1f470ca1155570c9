-- Queries on PostgreSQL's catalog about partitions of source tables.

-- name: parts
-- The partition of a drop, quoted.
SELECT format('%I.%I', 'source', c.relname)
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass(format('source.%I', CAST(:table AS text)))
  AND pg_get_expr(c.relpartbound, c.oid)
    = format('FOR VALUES IN (%L)', to_timestamp((CAST(:drop_number AS integer) >> 12) * CAST(86400 AS double precision)));

-- name: months
-- Number of partitions.
SELECT count(*) FROM pg_inherits WHERE inhparent = to_regclass(format('source.%I', CAST(:table AS text)));

-- name: unpartitioned
-- Source tables of an earlier version: name, key, and whether the login has their owner's privileges.
SELECT c.relname, a.attname, pg_has_role(c.relowner, 'USAGE')
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'u'
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
WHERE n.nspname = 'source' AND c.relkind = 'r' AND NOT c.relispartition AND (
  SELECT array_agg(s.attname ORDER BY s.attname) FROM pg_attribute s
  WHERE s.attrelid = c.oid AND s.attname IN ('as_of', 'loaded_at', 'drop_id') AND NOT s.attisdropped
) = CAST('{as_of,drop_id,loaded_at}' AS name[])
ORDER BY c.relname;

-- name: dependents
-- Views that read a source table: schema and name.
SELECT DISTINCT n.nspname, v.relname
FROM pg_depend d
JOIN pg_rewrite r ON r.oid = d.objid
JOIN pg_class v ON v.oid = r.ev_class
JOIN pg_namespace n ON n.oid = v.relnamespace
WHERE d.classid = CAST('pg_rewrite' AS regclass) AND d.refclassid = CAST('pg_class' AS regclass)
  AND d.refobjid = to_regclass(format('source.%I', CAST(:table AS text)))
ORDER BY 1, 2;
