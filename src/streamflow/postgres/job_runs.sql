-- Statements about job runs.

-- name: record_run
-- Record the outcome of a run.
INSERT INTO streamflow.job_runs (job, started_at, outcome, message, facts)
VALUES (:job, :started_at, :outcome, :message, CAST(:facts AS jsonb));

-- name: forget_runs
-- Remove the rows of a job that are older than a number of days; their number stays counted.
SELECT streamflow.keep_job_runs(:job, :days);

-- name: newest_facts
-- Facts of a job's newest successful run that had something to do.
SELECT facts FROM streamflow.job_runs
WHERE job = :job AND outcome = 'done' AND NOT facts ? 'idle'
ORDER BY run_id DESC LIMIT 1;
