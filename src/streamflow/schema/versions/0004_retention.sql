-- History that would grow for ever is forgotten. Who may write it may call these, without being able to delete a row.

-- Set when the scores of a scoring were removed; the row itself stays.
ALTER TABLE streamflow.scorings ADD COLUMN removed_at timestamptz;

-- Runs of jobs that are no longer in job_runs, so that their number never goes down.
CREATE TABLE streamflow.job_runs_forgotten (
    job     text NOT NULL,
    outcome text NOT NULL,
    runs    bigint NOT NULL,
    PRIMARY KEY (job, outcome)
);

-- Removes the scores and refusals of all but the newest scorings of a model.
CREATE FUNCTION streamflow.keep_scores(of_model text, keep integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    old bigint[];
BEGIN
    IF NOT has_table_privilege(session_user, 'streamflow.scores', 'INSERT') THEN
        RAISE EXCEPTION '% may not write scores', session_user USING ERRCODE = '42501';
    END IF;
    IF keep < 1 THEN
        RAISE EXCEPTION 'keeping % scorings is not possible', keep;
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtext('streamflow.keep_scores')) THEN
        RETURN;
    END IF;
    SELECT array_agg(s.scoring_id) INTO old FROM (
        SELECT scoring_id, removed_at FROM streamflow.scorings
        WHERE model = of_model ORDER BY scoring_id DESC OFFSET keep
    ) AS s WHERE s.removed_at IS NULL;
    IF old IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM streamflow.scores WHERE scoring_id = ANY(old);
    DELETE FROM streamflow.scoring_refusals WHERE scoring_id = ANY(old);
    UPDATE streamflow.scorings SET removed_at = clock_timestamp() WHERE scoring_id = ANY(old);
END
$$;

-- Removes the runs of a job that ended long ago, but for its newest one and its newest one that was done.
CREATE FUNCTION streamflow.keep_job_runs(of_job text, retention_days integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT has_table_privilege(session_user, 'streamflow.job_runs', 'INSERT') THEN
        RAISE EXCEPTION '% may not write outcomes of jobs', session_user USING ERRCODE = '42501';
    END IF;
    IF retention_days < 1 THEN
        RAISE EXCEPTION 'a retention of % days is not possible', retention_days;
    END IF;
    WITH gone AS (
        DELETE FROM streamflow.job_runs
        WHERE job = of_job
          AND ended_at < clock_timestamp() - make_interval(days => retention_days)
          AND run_id <> (SELECT max(run_id) FROM streamflow.job_runs WHERE job = of_job)
          AND run_id <> coalesce(
              (SELECT max(run_id) FROM streamflow.job_runs WHERE job = of_job AND outcome = 'done'), 0
          )
        RETURNING outcome
    )
    INSERT INTO streamflow.job_runs_forgotten AS held (job, outcome, runs)
    SELECT of_job, outcome, count(*) FROM gone GROUP BY outcome
    ON CONFLICT (job, outcome) DO UPDATE SET runs = held.runs + excluded.runs;
END
$$;
