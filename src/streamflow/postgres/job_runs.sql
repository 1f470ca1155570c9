-- Statements about job runs.

-- name: keys_held
-- Those of some keys of advisory locks that are held in this database.
SELECT objid::bigint FROM pg_locks
WHERE locktype = 'advisory' AND granted AND classid = 0 AND objsubid = 1 AND objid::bigint = ANY(CAST(:keys AS bigint[]))
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: record_start
-- Record that a run begins; returns what its outcome names.
INSERT INTO streamflow.job_starts (job) VALUES (:job) RETURNING start_id, started_at;

-- name: open_start
-- A start, unless a run has ended it.
SELECT start_id, started_at FROM streamflow.job_starts s
WHERE start_id = :start_id AND NOT EXISTS (SELECT FROM streamflow.job_runs r WHERE r.start_id = s.start_id);

-- name: record_run
-- Record a run that ends now. Its length is measured, because a clock may step while a job runs. A run is recorded even
-- if the clock is refused, with the stamp that follows the newest one.
INSERT INTO streamflow.job_runs (job, started_at, ended_at, outcome, message, facts, start_id)
SELECT :job, stamp - make_interval(secs => :seconds), stamp, :outcome, :message, CAST(:facts AS jsonb), (
  -- Not there if the job replaced this database by a backup.
  SELECT start_id FROM streamflow.job_starts s
  WHERE start_id = :start_id AND started_at = :started_at AND job = :job
    -- Another shard may have ended it by a failure.
    AND NOT EXISTS (SELECT FROM streamflow.job_runs r WHERE r.start_id = s.start_id)
)
FROM streamflow.next_stamp(:caller, always => true);

-- name: forget_runs
-- Remove the rows of a job that are older than a number of days; their number stays counted.
SELECT streamflow.keep_job_runs(:job, :days);

-- name: newest_facts
-- Facts of a job's newest successful run that had something to do.
SELECT facts FROM streamflow.job_runs
WHERE job = :job AND outcome = 'done' AND NOT facts ? 'idle'
ORDER BY run_id DESC LIMIT 1;
