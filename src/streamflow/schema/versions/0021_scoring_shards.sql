-- A scoring can be shared among shards. Its scores become visible when the last shard is done: its row in streamflow.scorings
-- is written then, and readers find scores by that row alone.

CREATE TABLE streamflow.scoring_runs (
    run             text PRIMARY KEY CHECK (run <> ''),
    shards          integer NOT NULL CHECK (shards BETWEEN 2 AND 100),
    -- Reserved when the run is opened; null if there was nothing to score.
    scoring_id      bigint UNIQUE,
    nothing         jsonb,
    model           text,
    version         integer,
    manifest_sha256 text,
    fingerprint     text,
    as_of           timestamptz,
    known_at        timestamptz,
    require_newest  boolean,
    newest          double precision[],
    start_id        bigint,
    opened_at       timestamptz NOT NULL,
    completed_at    timestamptz,
    abandoned_at    timestamptz,
    login           text NOT NULL,
    CHECK (scoring_id IS NULL OR num_nulls(model, version, manifest_sha256, fingerprint, as_of, known_at, require_newest, newest) = 0),
    CHECK ((scoring_id IS NULL) = (nothing IS NOT NULL))
);

CREATE TABLE streamflow.scoring_shards (
    run      text NOT NULL REFERENCES streamflow.scoring_runs ON DELETE CASCADE,
    shard    integer NOT NULL CHECK (shard >= 0),
    scored   bigint NOT NULL,
    positive bigint NOT NULL,
    refused  jsonb NOT NULL,
    features jsonb NOT NULL,
    done_at  timestamptz NOT NULL,
    login    text NOT NULL,
    PRIMARY KEY (run, shard)
);

CREATE FUNCTION streamflow.require_scorer() RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT has_table_privilege(session_user, 'streamflow.scores', 'INSERT') THEN
        RAISE EXCEPTION '% may not write scores', session_user USING ERRCODE = '42501';
    END IF;
END $$;

-- Numbers and dates a scoring, as sign_row does; but one whose shards are all done keeps the number that its scores have.
CREATE FUNCTION streamflow.sign_scoring() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.scored_at := clock_timestamp();
    IF NOT EXISTS (
        SELECT FROM streamflow.scoring_runs r
        WHERE r.scoring_id = NEW.scoring_id AND r.abandoned_at IS NULL
          AND r.shards = (SELECT count(*) FROM streamflow.scoring_shards s WHERE s.run = r.run)
    ) THEN
        NEW.scoring_id := nextval(pg_get_serial_sequence('streamflow.scorings', 'scoring_id'));
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER scorings_signed ON streamflow.scorings;
CREATE TRIGGER scorings_signed BEFORE INSERT ON streamflow.scorings
    FOR EACH ROW EXECUTE FUNCTION streamflow.sign_scoring();

-- Opens a run with the columns that `plan` names, unless it is open already: the first shard decides for all of them. Returns
-- whether it was opened.
CREATE FUNCTION streamflow.open_scoring(of_run text, of_shards integer, plan jsonb, of_start bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    work boolean := NOT plan ? 'nothing';
BEGIN
    PERFORM streamflow.require_scorer();
    INSERT INTO streamflow.scoring_runs
    SELECT * FROM jsonb_populate_record(NULL::streamflow.scoring_runs, plan || jsonb_build_object(
        'run', of_run, 'shards', of_shards, 'start_id', of_start, 'login', session_user, 'opened_at', clock_timestamp(),
        'scoring_id', CASE WHEN work THEN nextval(pg_get_serial_sequence('streamflow.scorings', 'scoring_id')) END,
        'completed_at', CASE WHEN NOT work THEN clock_timestamp() END, 'abandoned_at', NULL
    ))
    ON CONFLICT (run) DO NOTHING;
    RETURN FOUND;
END $$;

-- Names the start of a run of the job that a scoring belongs to from now on: the one before has ended with a failure.
CREATE FUNCTION streamflow.restart_scoring(of_run text, of_start bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM streamflow.require_scorer();
    UPDATE streamflow.scoring_runs SET start_id = of_start WHERE run = of_run AND completed_at IS NULL;
END $$;

-- Marks a shard as done, in the transaction that writes its scores. With the last one the scoring is complete. Returns whether
-- it is.
CREATE FUNCTION streamflow.finish_shard(
    of_run text, of_shard integer, scored bigint, positive bigint, refused jsonb, features jsonb
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    opened streamflow.scoring_runs;
BEGIN
    PERFORM streamflow.require_scorer();
    -- Of two shards that end at the same time the second one waits here, and then counts the first one.
    SELECT * INTO opened FROM streamflow.scoring_runs r WHERE r.run = of_run FOR UPDATE;
    IF opened.run IS NULL OR opened.completed_at IS NOT NULL OR opened.abandoned_at IS NOT NULL THEN
        RAISE EXCEPTION 'scoring run % is not open', of_run;
    END IF;
    IF of_shard >= opened.shards THEN
        RAISE EXCEPTION 'scoring run % has % shards, and none with the index %', of_run, opened.shards, of_shard;
    END IF;
    INSERT INTO streamflow.scoring_shards
    VALUES (of_run, of_shard, scored, positive, refused, features, clock_timestamp(), session_user);
    IF (SELECT count(*) FROM streamflow.scoring_shards s WHERE s.run = of_run) < opened.shards THEN
        RETURN false;
    END IF;
    INSERT INTO streamflow.scorings (scoring_id, model, version, fingerprint, as_of, known_at) OVERRIDING SYSTEM VALUE
    VALUES (opened.scoring_id, opened.model, opened.version, opened.fingerprint, opened.as_of, opened.known_at);
    INSERT INTO streamflow.scoring_refusals (scoring_id, reason, entities)
    SELECT opened.scoring_id, each.key, sum(each.value::bigint)
    FROM streamflow.scoring_shards s, jsonb_each_text(s.refused) AS each
    WHERE s.run = of_run GROUP BY each.key HAVING sum(each.value::bigint) > 0;
    UPDATE streamflow.scoring_runs r SET completed_at = clock_timestamp() WHERE r.run = of_run;
    RETURN true;
END $$;

-- Removes the scores of runs that were opened twelve hours ago and have not ended; their shards are refused from then on.
-- Forgets how runs of a month ago were shared.
CREATE FUNCTION streamflow.abandon_scorings() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    old bigint[];
BEGIN
    PERFORM streamflow.require_scorer();
    -- A run that is locked here has a shard that ends.
    SELECT array_agg(late.scoring_id) INTO old FROM (
        SELECT r.scoring_id FROM streamflow.scoring_runs r
        WHERE r.completed_at IS NULL AND r.abandoned_at IS NULL AND r.opened_at < clock_timestamp() - interval '12 hours'
        FOR UPDATE SKIP LOCKED
    ) AS late;
    IF old IS NOT NULL THEN
        UPDATE streamflow.scoring_runs r SET abandoned_at = clock_timestamp() WHERE r.scoring_id = ANY(old);
        PERFORM set_config('streamflow.erasing', 'on', true);
        DELETE FROM streamflow.scores s WHERE s.scoring_id = ANY(old);
        PERFORM set_config('streamflow.erasing', 'off', true);
    END IF;
    DELETE FROM streamflow.scoring_runs r
    WHERE r.opened_at < clock_timestamp() - interval '30 days' AND (r.completed_at IS NOT NULL OR r.abandoned_at IS NOT NULL);
    RETURN coalesce(cardinality(old), 0);
END $$;

COMMENT ON TABLE streamflow.scoring_runs IS
    'Scorings that shards share: what all of them score, decided by the first one. Kept for a month.';
COMMENT ON COLUMN streamflow.scoring_runs.run IS 'Name of the run: the uid of the Job.';
COMMENT ON COLUMN streamflow.scoring_runs.shards IS 'Number of shards.';
COMMENT ON COLUMN streamflow.scoring_runs.scoring_id IS
    'Number of the scoring, which is in streamflow.scorings once all shards are done; null if there was nothing to score.';
COMMENT ON COLUMN streamflow.scoring_runs.nothing IS 'Result of the job when there was nothing to score; null otherwise.';
COMMENT ON COLUMN streamflow.scoring_runs.model IS 'Registered model in MLflow.';
COMMENT ON COLUMN streamflow.scoring_runs.version IS 'Version that scores.';
COMMENT ON COLUMN streamflow.scoring_runs.manifest_sha256 IS 'SHA-256 of its manifest.';
COMMENT ON COLUMN streamflow.scoring_runs.fingerprint IS 'Fingerprint of its training set.';
COMMENT ON COLUMN streamflow.scoring_runs.as_of IS 'As-of of the features.';
COMMENT ON COLUMN streamflow.scoring_runs.known_at IS 'Load time up to which rows are read.';
COMMENT ON COLUMN streamflow.scoring_runs.require_newest IS 'Whether older values than the newest of a view are refused.';
COMMENT ON COLUMN streamflow.scoring_runs.newest IS
    'Newest as-of of each view of the version, in seconds since 1970; null for an empty one.';
COMMENT ON COLUMN streamflow.scoring_runs.start_id IS 'Start of the run of the job; null if it was not recorded.';
COMMENT ON COLUMN streamflow.scoring_runs.opened_at IS 'When the first shard began.';
COMMENT ON COLUMN streamflow.scoring_runs.completed_at IS 'When the last shard was done.';
COMMENT ON COLUMN streamflow.scoring_runs.abandoned_at IS 'When the scores of an unfinished run were removed.';
COMMENT ON COLUMN streamflow.scoring_runs.login IS 'Login that opened the run, entered by the database.';

COMMENT ON TABLE streamflow.scoring_shards IS 'Shards that are done.';
COMMENT ON COLUMN streamflow.scoring_shards.run IS 'Run.';
COMMENT ON COLUMN streamflow.scoring_shards.shard IS 'Index of the shard, from 0.';
COMMENT ON COLUMN streamflow.scoring_shards.scored IS 'Entities with a score.';
COMMENT ON COLUMN streamflow.scoring_shards.positive IS 'Those whose probability reaches the threshold.';
COMMENT ON COLUMN streamflow.scoring_shards.refused IS 'Entities without a score, by reason.';
COMMENT ON COLUMN streamflow.scoring_shards.features IS 'Refused entities that lack a feature, by feature.';
COMMENT ON COLUMN streamflow.scoring_shards.done_at IS 'When it was done.';
COMMENT ON COLUMN streamflow.scoring_shards.login IS 'Login of the shard, entered by the database.';
