-- Queries on PostgreSQL's catalog. They use pg_catalog, because information_schema hides relations on which
-- the role has no privileges. Values of relkind: r table, p partitioned table, v view, m materialized view.

-- name: tables
-- Ordinary tables of a schema by name.
SELECT relname
FROM pg_class
JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname = :schema AND relkind = 'r'
ORDER BY relname;

-- name: columns
-- Columns of the tables and views of a schema, in order, with their types.
SELECT c.relname, a.attname, format_type(a.atttypid, NULL) AS type
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = :schema
  AND c.relkind IN ('r', 'v', 'p')
  AND a.attnum > 0 AND NOT a.attisdropped
  AND (CAST(:relations AS text[]) IS NULL OR c.relname = ANY(:relations))
ORDER BY c.relname, a.attnum;

-- name: type_name
-- The name by which PostgreSQL shows a type.
SELECT CAST(CAST(:type AS text) AS regtype)::text;

-- name: comments
-- Comments on the tables and views of a schema and on their columns. A partition has those of its table.
SELECT c.relname, CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END AS kind, a.attname,
  CASE a.attnum WHEN 0 THEN obj_description(c.oid, 'pg_class') ELSE col_description(c.oid, a.attnum) END AS text,
  pg_has_role(c.relowner, 'USAGE') AS ours
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
  SELECT 0 AS attnum, NULL AS attname
  UNION ALL
  SELECT attnum, attname FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
) a
WHERE n.nspname = :schema AND c.relkind IN ('r', 'v', 'p') AND NOT c.relispartition
ORDER BY c.relname, a.attnum;

-- name: every_table
-- All permanent tables of the database except system tables. A source table stands for its partitions; of other tables, which
-- earlier backups list so, the partitions stand for themselves.
SELECT nspname, relname
FROM pg_class
JOIN pg_namespace n ON n.oid = relnamespace
WHERE CASE nspname WHEN 'source' THEN relkind IN ('r', 'p') AND NOT relispartition ELSE relkind = 'r' END
  AND relpersistence = 'p' AND nspname <> 'information_schema' AND nspname NOT LIKE 'pg\_%'
ORDER BY nspname, relname;

-- name: relations
-- Tables and views of several schemas, with their owner and whether the login has the owner's privileges.
SELECT nspname, relname, pg_get_userbyid(relowner) AS owner, pg_has_role(relowner, 'USAGE') AS ours
FROM pg_class
JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'v', 'p', 'm') AND nspname = ANY(:schemas);

-- name: grants
-- Privileges on a table, except those of its owner.
SELECT acl.privilege_type AS privilege,
  CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END AS grantee
FROM pg_class c, aclexplode(c.relacl) acl
LEFT JOIN pg_roles r ON r.oid = acl.grantee
WHERE c.oid = to_regclass(:table) AND acl.grantee <> c.relowner;

-- name: owner
-- Quoted owner of a table, and whether the current login is the owner.
SELECT quote_ident(pg_get_userbyid(relowner)) AS owner, pg_get_userbyid(relowner) = current_user AS ours
FROM pg_class
WHERE oid = to_regclass(:table);

-- name: row_estimate
-- The planner's estimate of the rows of a table; -1 if it was never analyzed.
SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(:table);

-- name: exists
-- Whether a table or view of this name exists.
SELECT to_regclass(:table) IS NOT NULL;

-- name: databases
SELECT datname FROM pg_database;

-- name: roles
SELECT rolname FROM pg_roles;

-- name: sessions
-- Logins of the other sessions in a database.
SELECT usename
FROM pg_stat_activity
WHERE datname = :database AND backend_type = 'client backend' AND pid <> pg_backend_pid();

-- name: may_create_databases
SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user;

-- name: owns_database
SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database();

-- name: table_comment
-- The comment on a table, or null.
SELECT obj_description(to_regclass(:table), 'pg_class');

-- name: schema_comment
SELECT obj_description(to_regnamespace(:schema), 'pg_namespace');

-- name: install_comments
-- Comments on databases and on a role, which are the same in every database of the server.
SELECT 'database', datname::text, shobj_description(oid, 'pg_database')
FROM pg_database
WHERE datname = ANY (:databases)
UNION ALL
SELECT 'role', rolname::text, shobj_description(oid, 'pg_authid')
FROM pg_roles
WHERE rolname = :role
ORDER BY 1, 2;

-- name: missing_triggers
-- Tables of a schema without one of some triggers; the login's own tables, or those of everybody. A trigger that is there and
-- disabled counts as missing only for everybody's: to create it again would fail.
SELECT c.relname, wanted.name
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN unnest(CAST(:triggers AS text[])) AS wanted (name)
WHERE n.nspname = :schema AND c.relkind IN ('r', 'p') AND (:everybodys OR pg_has_role(c.relowner, 'USAGE'))
  AND NOT EXISTS (
    SELECT FROM pg_trigger t
    WHERE t.tgrelid = c.oid AND t.tgname = wanted.name AND (t.tgenabled <> 'D' OR NOT :everybodys)
  )
ORDER BY c.relname, wanted.name;

-- name: functions
-- Functions of a schema.
SELECT DISTINCT proname FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname = :schema;

-- name: may_create_in
-- Whether the login may create objects in a schema.
SELECT has_schema_privilege(:schema, 'CREATE');

-- name: own_functions
-- Functions of a schema whose owner's privileges the login has.
SELECT DISTINCT proname
FROM pg_proc
JOIN pg_namespace n ON n.oid = pronamespace
WHERE nspname = :schema AND pg_has_role(proowner, 'USAGE');

-- name: schemas_dated_before
-- The login's schemas with a name prefix whose comment, a timestamp, is older than an interval.
SELECT nspname
FROM pg_namespace
WHERE starts_with(nspname, :prefix) AND pg_has_role(nspowner, 'USAGE')
  AND CAST(obj_description(oid, 'pg_namespace') AS timestamptz) < clock_timestamp() - CAST(:age AS interval);
