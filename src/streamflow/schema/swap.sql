-- Statements about databases that are swapped, and about the sessions in them.

-- name: databases
-- The server's databases, and whether each accepts connections.
SELECT datname, datallowconn FROM pg_database;

-- name: end_sessions
-- Terminate the sessions in a database while another session holds the lock with which it renames it. The session `last`
-- follows once it is alone. Workers of autovacuum make way for a rename themselves.
SELECT pg_terminate_backend(a.pid)
FROM pg_stat_activity a
WHERE a.datname = :database AND a.backend_type <> 'autovacuum worker' AND a.pid <> :renaming
  AND EXISTS (
    SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.objid
    WHERE d.datname = :database AND l.locktype = 'object' AND l.classid = 'pg_database'::regclass
      AND l.mode = 'AccessExclusiveLock' AND l.granted AND l.pid = :renaming
  )
  AND (
    a.pid IS DISTINCT FROM CAST(:last AS integer)
    OR NOT EXISTS (
      SELECT FROM pg_stat_activity other
      WHERE other.datname = :database AND other.pid <> a.pid AND other.backend_type <> 'autovacuum worker'
    )
  );
