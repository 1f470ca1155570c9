-- A run of a job leaves a row when it begins, so that one which was killed before it could record an outcome is seen.

CREATE TABLE streamflow.job_starts (
    start_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job        text NOT NULL,
    -- The server's clock and not a stamp: nothing is ordered by it.
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    login      text NOT NULL DEFAULT session_user
);
CREATE INDEX job_starts_by_job ON streamflow.job_starts (job, start_id DESC);

CREATE FUNCTION streamflow.sign_start() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT streamflow.may_record(NEW.job) THEN
        RAISE EXCEPTION '% may not record runs of the job %', session_user, NEW.job USING ERRCODE = '42501';
    END IF;
    IF NOT streamflow.is_owner() THEN
        NEW.start_id := nextval(pg_get_serial_sequence('streamflow.job_starts', 'start_id'));
        NEW.started_at := clock_timestamp();
    END IF;
    NEW.login := session_user;
    RETURN NEW;
END $$;
CREATE TRIGGER job_starts_signed BEFORE INSERT ON streamflow.job_starts
    FOR EACH ROW EXECUTE FUNCTION streamflow.sign_start();
CREATE TRIGGER job_starts_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON streamflow.job_starts
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_unless_erasing();

-- The start that a run ends. Null for runs before this migration, and for one whose start could not be recorded.
ALTER TABLE streamflow.job_runs ADD COLUMN start_id bigint UNIQUE;

CREATE OR REPLACE FUNCTION streamflow.sign_run() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT streamflow.may_record(NEW.job) THEN
        RAISE EXCEPTION '% may not record runs of the job %', session_user, NEW.job USING ERRCODE = '42501';
    END IF;
    -- Or a login could hide that a run of another job was killed.
    IF NEW.start_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM streamflow.job_starts s WHERE s.start_id = NEW.start_id AND s.job = NEW.job
    ) THEN
        RAISE EXCEPTION 'start % is not one of the job %', NEW.start_id, NEW.job USING ERRCODE = '42501';
    END IF;
    IF NOT streamflow.is_owner() THEN
        IF NOT streamflow.was_given(NEW.ended_at, false) THEN
            RAISE EXCEPTION 'the clock did not give % to this run', NEW.ended_at USING ERRCODE = '42501';
        END IF;
        NEW.run_id := nextval(pg_get_serial_sequence('streamflow.job_runs', 'run_id'));
    END IF;
    NEW.login := session_user;
    RETURN NEW;
END $$;

-- Removes the runs of a job that ended long ago, but for its newest one and its newest one that was done; and the starts
-- of that time but for the newest.
CREATE OR REPLACE FUNCTION streamflow.keep_job_runs(of_job text, retention_days integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT streamflow.may_record(of_job) THEN
        RAISE EXCEPTION '% may not write outcomes of the job %', session_user, of_job USING ERRCODE = '42501';
    END IF;
    PERFORM streamflow.check_least('job_runs', retention_days);
    PERFORM set_config('streamflow.erasing', 'on', true);
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
    DELETE FROM streamflow.job_starts
    WHERE job = of_job
      AND started_at < clock_timestamp() - make_interval(days => retention_days)
      AND start_id <> (SELECT max(start_id) FROM streamflow.job_starts WHERE job = of_job);
    PERFORM set_config('streamflow.erasing', 'off', true);
END
$$;
