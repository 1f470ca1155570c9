-- Statements of the exporter and of the jobs `monitor` and `parity`.

-- name: last_runs
-- Last run of each job, and when the job last succeeded.
SELECT DISTINCT ON (job)
  job, ended_at, outcome = 'done' AS ok, extract(epoch FROM ended_at - started_at) AS seconds,
  (SELECT max(ended_at) FROM streamflow.job_runs AS good WHERE good.job = last.job AND good.outcome = 'done') AS success
FROM streamflow.job_runs AS last
ORDER BY job, run_id DESC;

-- name: count_runs
-- Number of runs of each job by outcome, including runs whose rows have been removed.
SELECT job, outcome, sum(runs) AS runs
FROM (
  SELECT job, outcome, count(*) AS runs FROM streamflow.job_runs GROUP BY job, outcome
  UNION ALL
  SELECT job, outcome, runs FROM streamflow.job_runs_forgotten
) AS all_runs
GROUP BY job, outcome;

-- name: running_jobs
-- Newest start of any job, and the keys of all advisory locks that are held. The start is read first, so that each start up to it
-- either holds its lock here, or has ended, or was killed.
SELECT
  (SELECT coalesce(max(start_id), 0) FROM streamflow.job_starts) AS newest,
  ARRAY(
    SELECT objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND classid = 0 AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  ) AS keys_held;

-- name: last_starts
-- The two newest starts of each job up to a start, and whether the run ended. Not those that came with a backup: whatever ran
-- while the backup was made has no outcome in it.
SELECT job, ended
FROM (
  SELECT job, start_id, row_number() OVER (PARTITION BY job ORDER BY start_id DESC) AS place,
    EXISTS (SELECT FROM streamflow.job_runs r WHERE r.start_id = s.start_id) AS ended
  FROM streamflow.job_starts s
  WHERE start_id <= :newest AND started_at > coalesce(
    (SELECT max(moved_at) FROM streamflow.promotions WHERE action = 'restore'), '-infinity'
  )
) AS numbered
WHERE place <= 2
ORDER BY job, start_id DESC;

-- name: ingested_rows
-- Accepted and quarantined rows of all drops, by table.
SELECT table_name, sum(accepted) AS accepted, sum(quarantined) AS quarantined
FROM streamflow.drop_files
GROUP BY table_name;

-- name: external_changes
-- Number of moves of each alias of a model that were asked for in MLflow, done or refused.
SELECT alias, count(*) FILTER (
  WHERE (action = 'outside' OR facts ? 'detected') AND NOT facts ? 'request'
) AS changes
FROM streamflow.promotions
WHERE model = :model
GROUP BY alias;

-- name: promoted_version
-- Version behind an alias, and when it was put there. Rows that did not change the version are ignored.
SELECT to_version, moved_at, extract(epoch FROM clock_timestamp() - moved_at) AS age
FROM streamflow.promotions
WHERE model = :model AND alias = :alias AND to_version IS DISTINCT FROM from_version
ORDER BY promotion_id DESC
LIMIT 1;

-- name: source_tables
-- Rows and newest as-of of each source table, from the ledger's counts, so that no large table is scanned.
SELECT table_name, sum(f.accepted)::bigint AS rows, max(as_of) FILTER (WHERE f.accepted > 0) AS newest
FROM streamflow.drop_files AS f JOIN streamflow.drops USING (drop_id)
GROUP BY table_name;

-- name: newest_drop
-- As-of of the newest drop.
SELECT max(as_of) FROM streamflow.drops;

-- name: newest_materialized
-- Newest as-of that has been materialized for a feature view.
SELECT newest_as_of
FROM online.materializations
WHERE feature_view = :view
ORDER BY materialization_id DESC
LIMIT 1;

-- name: materialized
-- As-of and known-at of the online content of some feature views.
SELECT max(newest_as_of) AS as_of, max(materialized_at) AS known_at
FROM online.materializations
WHERE feature_view = ANY(:views) AND newest_as_of IS NOT NULL;

-- name: newest_online
-- Newest as-of of all materializations.
SELECT max(newest_as_of) FROM online.materializations;

-- name: advisory_locks
-- Who holds advisory locks of this database: key, mode, login, and StreamFlow's roles that the login is or is a member of. Not
-- those of superusers.
SELECT l.objid::bigint AS key, l.mode, a.usename AS login,
  ARRAY(
    SELECT r.rolname::text FROM pg_roles r
    WHERE starts_with(r.rolname, :prefix) AND pg_has_role(a.usesysid, r.oid, 'MEMBER')
  ) AS roles
FROM pg_locks l
JOIN pg_stat_activity a USING (pid)
JOIN pg_roles holder ON holder.oid = a.usesysid AND NOT holder.rolsuper
WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 0 AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.objid::bigint = ANY(CAST(:keys AS bigint[]));
