-- Evidence that those who write it cannot bend: rows are numbered, dated and signed with a login by the database, and what one
-- role writes, no other role changes.

-- Whether the login has the rights of the owner of these tables, as the migrations and the one login of a laptop do.
CREATE FUNCTION streamflow.is_owner() RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_has_role(session_user, nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'streamflow'
$$;

-- Everybody may call a new function, and may make it a trigger of a temporary table whose rows run code of their own: as the
-- owner, if the function is SECURITY DEFINER. So nobody may, but the roles that schema/functions.py names.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA streamflow FROM PUBLIC;
GRANT EXECUTE ON FUNCTION streamflow.is_owner, streamflow.read_clock, streamflow.server_clock TO PUBLIC;

-- What one session at a time does. No role but the owner of the tables can lock these rows, while everybody can hold an
-- advisory lock for ever, and so keep the others from promoting.
CREATE TABLE streamflow.row_locks (name text PRIMARY KEY);
INSERT INTO streamflow.row_locks VALUES
    ('promotions'), ('drops'), ('stamps'), ('predictions'), ('scores');

CREATE OR REPLACE FUNCTION streamflow.chain_promotion() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    newest timestamptz;
BEGIN
    -- One writer at a time, until its transaction ends: a chain has one end.
    PERFORM FROM streamflow.row_locks WHERE name = 'promotions' FOR UPDATE;
    SELECT promotion_id + 1, hash INTO NEW.promotion_id, NEW.previous_hash
        FROM streamflow.promotions ORDER BY promotion_id DESC LIMIT 1;
    IF NOT FOUND THEN
        NEW.promotion_id := 1;
        NEW.previous_hash := repeat('0', 64);
    END IF;
    SELECT moved_at INTO newest
        FROM streamflow.promotions WHERE model = NEW.model ORDER BY promotion_id DESC LIMIT 1;
    IF NEW.moved_at < newest THEN
        RAISE EXCEPTION 'promotions is append-only: moved_at % is before the newest row''s, %', NEW.moved_at, newest;
    END IF;
    -- After the clock was set back, the newest row's own date is the best there is.
    IF NEW.moved_at > greatest(clock_timestamp(), newest) THEN
        RAISE EXCEPTION 'promotions tells what was done: moved_at % is in the future', NEW.moved_at;
    END IF;
    NEW.recorded_at := clock_timestamp();
    NEW.login := session_user;
    NEW.hash := streamflow.promotion_hash(NEW);
    RETURN NEW;
END $$;

-- Writes a row of the trail. No role may insert one itself, so the date of a move is never the writer's choice.
CREATE FUNCTION streamflow.append_promotion(
    said_by text, of_model text, of_alias text, before integer, after integer, what text, reason text,
    facts jsonb, release jsonb, gate jsonb
) RETURNS streamflow.promotions LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    written streamflow.promotions;
BEGIN
    -- Before the clock is read: of two writers, the later one is dated later.
    PERFORM FROM streamflow.row_locks WHERE name = 'promotions' FOR UPDATE;
    INSERT INTO streamflow.promotions
        (moved_at, moved_by, model, alias, from_version, to_version, action, why, facts, release, gate)
    VALUES (
        greatest(clock_timestamp(), (SELECT max(p.moved_at) FROM streamflow.promotions p WHERE p.model = of_model)),
        said_by, of_model, of_alias, before, after, what, reason,
        append_promotion.facts, append_promotion.release, append_promotion.gate
    )
    RETURNING * INTO written;
    RETURN written;
END $$;

-- Numbers and dates a row, and names its login; the arguments are the columns of date, login and number, empty for none. What
-- the writer says about them is ignored.
CREATE FUNCTION streamflow.sign_row() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    signed jsonb := '{}';
BEGIN
    IF TG_ARGV[0] <> '' THEN
        signed := signed || jsonb_build_object(TG_ARGV[0], clock_timestamp());
    END IF;
    IF TG_ARGV[1] <> '' THEN
        signed := signed || jsonb_build_object(TG_ARGV[1], session_user);
    END IF;
    IF TG_ARGV[2] <> '' THEN
        signed := signed || jsonb_build_object(
            TG_ARGV[2], nextval(pg_get_serial_sequence(format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME), TG_ARGV[2]))
        );
    END IF;
    RETURN jsonb_populate_record(NEW, signed);
END $$;
CREATE TRIGGER trained_models_signed BEFORE INSERT ON streamflow.trained_models
    FOR EACH ROW EXECUTE FUNCTION streamflow.sign_row('trained_at', 'login', '');
CREATE TRIGGER mlflow_in_line_signed BEFORE INSERT ON streamflow.mlflow_in_line
    FOR EACH ROW EXECUTE FUNCTION streamflow.sign_row('since', '', '');
CREATE TRIGGER release_checks_signed BEFORE INSERT ON streamflow.release_checks
    FOR EACH ROW EXECUTE FUNCTION streamflow.sign_row('recorded_at', 'login', 'check_id');
CREATE TRIGGER releases_signed BEFORE INSERT ON streamflow.releases
    FOR EACH ROW EXECUTE FUNCTION streamflow.sign_row('stored_at', '', '');

-- The schemas of views that runs read: the source tables as they were known at a time.
CREATE TABLE streamflow.known_schemas (
    name      text PRIMARY KEY,
    login     text NOT NULL,
    known_at  timestamptz NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Creates a schema of views, one for each {"view": …, "table": …, "columns": […]}, that show the rows of a source table which were
-- loaded up to a time. Only the login that asks may read it, and nobody creates anything in it. So no role needs the right to
-- create schemas. What runs that were killed left behind for a day is dropped.
CREATE FUNCTION streamflow.open_known(of_time timestamptz, views jsonb) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    opened text := 'known_' || left(replace(gen_random_uuid()::text, '-', ''), 16);
    -- Independent of the session's DateStyle and TimeZone.
    moment text := to_char(of_time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00';
    item jsonb;
    leftover text;
BEGIN
    IF of_time IS NULL OR NOT isfinite(of_time) THEN
        RAISE EXCEPTION 'a known-at is a time, and not %', of_time;
    END IF;
    FOR leftover IN
        SELECT name FROM streamflow.known_schemas
        WHERE opened_at < clock_timestamp() - interval '1 day' FOR UPDATE SKIP LOCKED
    LOOP
        EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', leftover);
        DELETE FROM streamflow.known_schemas WHERE name = leftover;
    END LOOP;
    EXECUTE format('CREATE SCHEMA %I', opened);
    INSERT INTO streamflow.known_schemas (name, login, known_at) VALUES (opened, session_user, of_time);
    FOR item IN SELECT jsonb_array_elements(views) LOOP
        EXECUTE format(
            'CREATE VIEW %I.%I AS SELECT %s FROM source.%I WHERE loaded_at <= %L::timestamptz',
            opened,
            item ->> 'view',
            (SELECT string_agg(quote_ident(name), ', ' ORDER BY place)
             FROM jsonb_array_elements_text(item -> 'columns') WITH ORDINALITY AS columns (name, place)),
            item ->> 'table',
            moment
        );
    END LOOP;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', opened, session_user);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %I', opened, session_user);
    RETURN opened;
END $$;

-- Drops a schema that the same login opened; does nothing if it is gone.
CREATE FUNCTION streamflow.close_known(opened text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    opener text;
BEGIN
    SELECT login INTO opener FROM streamflow.known_schemas WHERE name = opened FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF opener <> session_user THEN
        RAISE EXCEPTION 'the schema % was opened by %', opened, opener USING ERRCODE = '42501';
    END IF;
    EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', opened);
    DELETE FROM streamflow.known_schemas WHERE name = opened;
END $$;

-- The stamps that the clock gave in transactions that have not ended, and whether nobody could take a known-at since.
CREATE TABLE streamflow.given_stamps (
    stamp       timestamptz NOT NULL,
    transaction xid8 NOT NULL,
    loading     boolean NOT NULL
);

CREATE FUNCTION streamflow.was_given(of_stamp timestamptz, while_loading boolean) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM streamflow.given_stamps g
        WHERE g.stamp = of_stamp AND g.transaction = pg_current_xact_id() AND (g.loading OR NOT while_loading)
    )
$$;

CREATE OR REPLACE FUNCTION streamflow.next_stamp(
    caller timestamptz, always boolean DEFAULT false,
    OUT server timestamptz, OUT newest timestamptz, OUT stamp timestamptz
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_refused boolean;
    is_loading boolean;
    -- The advisory lock of postgres/locks.py whose name is LOADING.
    loading_key CONSTANT bigint := 3585425983;
BEGIN
    IF NOT has_table_privilege(session_user, 'streamflow.job_runs', 'INSERT') THEN
        RAISE EXCEPTION '% may not set the time', session_user USING ERRCODE = '42501';
    END IF;
    SELECT EXISTS (
        SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
        WHERE l.pid = pg_backend_pid() AND l.locktype = 'advisory' AND l.mode = 'ExclusiveLock' AND l.granted
          AND l.classid = 0 AND l.objid = loading_key AND l.objsubid = 1
    ) INTO is_loading;
    IF is_loading THEN
        -- A session's lock could be released before the transaction ends. This one cannot.
        PERFORM pg_advisory_xact_lock(loading_key);
    END IF;
    BEGIN
        PERFORM FROM streamflow.row_locks WHERE name = 'stamps' FOR UPDATE;
        SELECT read.server, read.newest, read.next, read.refused INTO server, newest, stamp, is_refused
            FROM streamflow.read_clock(caller) AS read;
        IF is_refused THEN
            stamp := CASE WHEN always THEN newest + interval '1 microsecond' END;
        END IF;
        IF stamp IS NOT NULL THEN
            PERFORM setval('streamflow.newest_stamp', streamflow.microseconds(stamp));
        END IF;
        -- Leaving the block by an error releases the lock now and not when the caller's transaction ends, and keeps the
        -- sequence's value.
        RAISE EXCEPTION USING ERRCODE = 'SF000';
    EXCEPTION WHEN SQLSTATE 'SF000' THEN
        NULL;
    END;
    IF stamp IS NOT NULL THEN
        DELETE FROM streamflow.given_stamps WHERE ctid IN (
            SELECT ctid FROM streamflow.given_stamps WHERE transaction <> pg_current_xact_id() FOR UPDATE SKIP LOCKED
        );
        INSERT INTO streamflow.given_stamps VALUES (stamp, pg_current_xact_id(), is_loading);
    END IF;
END
$$;

-- Evidence is deleted or changed by functions of the owner alone, which set streamflow.erasing for as long as they do.
CREATE FUNCTION streamflow.refuse_unless_erasing() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('streamflow.erasing', true) = 'on' AND EXISTS (
        SELECT FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
        WHERE n.nspname = 'streamflow' AND r.rolname = current_user
    ) THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER drop_files_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON streamflow.drop_files
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_change();
CREATE TRIGGER quarantine_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON streamflow.quarantine
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_unless_erasing();
CREATE TRIGGER scorings_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON streamflow.scorings
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_unless_erasing();
CREATE TRIGGER scores_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON streamflow.scores
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_unless_erasing();
CREATE TRIGGER scoring_refusals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON streamflow.scoring_refusals
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_unless_erasing();
CREATE TRIGGER job_runs_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON streamflow.job_runs
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_unless_erasing();
CREATE TRIGGER scorings_signed BEFORE INSERT ON streamflow.scorings
    FOR EACH ROW EXECUTE FUNCTION streamflow.sign_row('scored_at', '', 'scoring_id');

-- Refuses a table on which the role that owns it put code of its own: whoever writes to the table runs that code. Functions of the
-- owner call it before they write to a table that is not theirs, and the table stays as it is until their transaction ends.
CREATE FUNCTION streamflow.refuse_foreign_code(of_table regclass) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ours oid := (SELECT nspowner FROM pg_namespace WHERE nspname = 'streamflow');
BEGIN
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', of_table);
    IF EXISTS (
        SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
        WHERE t.tgrelid = of_table AND NOT t.tgisinternal AND (p.proowner <> ours OR t.tgqual IS NOT NULL)
    ) OR EXISTS (
        SELECT FROM pg_class c
        WHERE c.oid = of_table AND (c.relrowsecurity OR c.relhasrules OR c.relhassubclass OR c.relkind <> 'r')
    ) OR EXISTS (
        -- A type of its own may have a cast of its own, which a comparison calls.
        SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = of_table AND a.attnum > 0 AND t.typnamespace <> 'pg_catalog'::regnamespace
    ) THEN
        RAISE EXCEPTION '% has triggers, rules, policies or types of its own', of_table USING ERRCODE = '42501';
    END IF;
END $$;

-- The ledger of drops is chained as the promotions are: position, the drop, its files. A drop is linked when its transaction
-- commits; from then on it gets no more files, rows or rejected rows.
CREATE TABLE streamflow.drop_chain (
    position      bigint PRIMARY KEY,
    drop_id       text NOT NULL UNIQUE REFERENCES streamflow.drops,
    previous_hash text NOT NULL,
    hash          text NOT NULL
);
CREATE TRIGGER drop_chain_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON streamflow.drop_chain
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_change();
ALTER TABLE streamflow.drops ADD COLUMN login text;

CREATE FUNCTION streamflow.drop_hash(of_position bigint, of_drop text, of_previous text) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT encode(sha256(convert_to(concat_ws(',',
        streamflow.hashed_field(of_previous),
        streamflow.hashed_field(of_position::text),
        streamflow.hashed_field(d.drop_id),
        streamflow.hashed_field(to_char(d.as_of AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')),
        streamflow.hashed_field(d.sequence::text),
        streamflow.hashed_field(d.digest),
        streamflow.hashed_field(to_char(d.loaded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')),
        streamflow.hashed_field(d.loaded_by),
        streamflow.hashed_field(d.login),
        streamflow.hashed_field(d.origin),
        streamflow.hashed_field(d.accepted::text),
        streamflow.hashed_field(d.quarantined::text),
        streamflow.hashed_field((
            SELECT jsonb_agg(
                jsonb_build_array(f.table_name, f.file, f.sha256, f.bytes, f.lines, f.accepted, f.quarantined)
                ORDER BY f.table_name COLLATE "C"
            )::text
            FROM streamflow.drop_files f WHERE f.drop_id = d.drop_id
        ))
    ), 'UTF8')), 'hex')
    FROM streamflow.drops d WHERE d.drop_id = of_drop
$$;

CREATE FUNCTION streamflow.link_drop(of_drop text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    number bigint := 1;
    before text := repeat('0', 64);
    newest record;
BEGIN
    PERFORM FROM streamflow.row_locks WHERE name = 'drops' FOR UPDATE;
    SELECT position, hash INTO newest FROM streamflow.drop_chain ORDER BY position DESC LIMIT 1;
    IF FOUND THEN
        number := newest.position + 1;
        before := newest.hash;
    END IF;
    INSERT INTO streamflow.drop_chain VALUES (number, of_drop, before, streamflow.drop_hash(number, of_drop, before));
END $$;

-- The drops from before the chain get their links now.
DO $$
DECLARE
    old text;
BEGIN
    FOR old IN SELECT drop_id FROM streamflow.drops ORDER BY loaded_at, drop_id LOOP
        PERFORM streamflow.link_drop(old);
    END LOOP;
END $$;

-- A drop is dated by the clock, in its own transaction, and while nobody can take a known-at: rows that appear later with an
-- earlier date would change what is said to have been known. It names the login that loads it.
CREATE FUNCTION streamflow.sign_drop() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT streamflow.is_owner() AND NOT streamflow.was_given(NEW.loaded_at, true) THEN
        RAISE EXCEPTION 'the clock did not give % to this drop', NEW.loaded_at USING ERRCODE = '42501';
    END IF;
    NEW.login := session_user;
    RETURN NEW;
END $$;
CREATE TRIGGER drops_signed BEFORE INSERT ON streamflow.drops
    FOR EACH ROW EXECUTE FUNCTION streamflow.sign_drop();

CREATE FUNCTION streamflow.chain_drop() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM streamflow.link_drop(NEW.drop_id);
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER drops_chained AFTER INSERT ON streamflow.drops DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION streamflow.chain_drop();

-- Files and rejected rows belong to a drop whose transaction has not ended.
CREATE FUNCTION streamflow.check_parts() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    linked text;
BEGIN
    SELECT c.drop_id INTO linked FROM streamflow.drop_chain c
        WHERE c.drop_id IN (SELECT DISTINCT a.drop_id FROM added a) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'drop % is complete: % takes no more of its rows', linked, TG_TABLE_NAME USING ERRCODE = '42501';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER drop_files_checked AFTER INSERT ON streamflow.drop_files REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.check_parts();
CREATE TRIGGER quarantine_checked AFTER INSERT ON streamflow.quarantine REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.check_parts();

-- The rows of a source table have the dates of their drop, whose transaction has not ended. A statement at a time: a trigger for
-- each row takes as long as the insert. Not SECURITY DEFINER: the columns of a table may have types of its owner's, whose casts a
-- comparison calls.
CREATE FUNCTION streamflow.check_source_rows() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF streamflow.is_owner() THEN
        RETURN NULL;
    END IF;
    IF EXISTS (
        SELECT FROM added a WHERE NOT EXISTS (
            SELECT FROM streamflow.drops d
            WHERE d.drop_id = a.drop_id AND d.as_of = a.as_of AND d.loaded_at = a.loaded_at
              AND NOT EXISTS (SELECT FROM streamflow.drop_chain c WHERE c.drop_id = d.drop_id)
        )
    ) THEN
        RAISE EXCEPTION '% takes rows of the drop that is being loaded, with its dates, and no others', TG_TABLE_NAME
            USING ERRCODE = '42501';
    END IF;
    RETURN NULL;
END $$;

-- Which login may record runs of which job; schema/functions.py writes it.
CREATE TABLE streamflow.job_logins (
    login text NOT NULL,
    job   text NOT NULL,
    PRIMARY KEY (login, job)
);

CREATE FUNCTION streamflow.may_record(of_job text) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT streamflow.is_owner() OR EXISTS (
        SELECT FROM streamflow.job_logins j JOIN pg_roles r ON r.rolname = j.login
        WHERE j.job = of_job AND pg_has_role(session_user, r.oid, 'USAGE')
    )
$$;

-- A run is recorded by a login of its job, numbered and dated by the database, and never changed.
ALTER TABLE streamflow.job_runs ADD COLUMN login text;
CREATE FUNCTION streamflow.sign_run() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT streamflow.may_record(NEW.job) THEN
        RAISE EXCEPTION '% may not record runs of the job %', session_user, NEW.job USING ERRCODE = '42501';
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
CREATE TRIGGER job_runs_signed BEFORE INSERT ON streamflow.job_runs
    FOR EACH ROW EXECUTE FUNCTION streamflow.sign_run();

-- The least that the functions below keep, whatever their callers ask for; the settings `retention` say it.
CREATE TABLE streamflow.least_kept (
    what  text PRIMARY KEY,
    least integer NOT NULL CHECK (least >= 1)
);
INSERT INTO streamflow.least_kept VALUES ('predictions', 7), ('job_runs', 7);

CREATE FUNCTION streamflow.check_least(of_what text, days integer) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    required integer := (SELECT least FROM streamflow.least_kept WHERE what = of_what);
BEGIN
    IF days < 1 THEN
        RAISE EXCEPTION 'a retention of % days is not possible', days;
    END IF;
    IF days < required THEN
        RAISE EXCEPTION '% are kept for at least % days, and % asks for %', of_what, required, session_user, days
            USING ERRCODE = '42501';
    END IF;
END $$;

-- Removes the scores and refusals of all but the newest scorings of a model.
CREATE OR REPLACE FUNCTION streamflow.keep_scores(of_model text, keep integer) RETURNS void
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
    PERFORM FROM streamflow.row_locks WHERE name = 'scores' FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT array_agg(s.scoring_id) INTO old FROM (
        SELECT scoring_id, removed_at FROM streamflow.scorings
        WHERE model = of_model ORDER BY scoring_id DESC OFFSET keep
    ) AS s WHERE s.removed_at IS NULL;
    IF old IS NULL THEN
        RETURN;
    END IF;
    PERFORM set_config('streamflow.erasing', 'on', true);
    DELETE FROM streamflow.scores WHERE scoring_id = ANY(old);
    DELETE FROM streamflow.scoring_refusals WHERE scoring_id = ANY(old);
    UPDATE streamflow.scorings SET removed_at = clock_timestamp() WHERE scoring_id = ANY(old);
    PERFORM set_config('streamflow.erasing', 'off', true);
END
$$;

-- Removes the runs of a job that ended long ago, but for its newest one and its newest one that was done.
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
    PERFORM set_config('streamflow.erasing', 'off', true);
END
$$;

-- Makes the partitions of today and the next days, and drops those older than the retention. Who may write the log may
-- call it, without being able to create or drop a table.
CREATE OR REPLACE FUNCTION streamflow.keep_prediction_log(retention_days integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    day date;
    part record;
BEGIN
    IF NOT has_table_privilege(session_user, 'streamflow.predictions', 'INSERT') THEN
        RAISE EXCEPTION '% may not write the log of predictions', session_user USING ERRCODE = '42501';
    END IF;
    PERFORM streamflow.check_least('predictions', retention_days);
    PERFORM FROM streamflow.row_locks WHERE name = 'predictions' FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    FOR day IN SELECT today + n FROM generate_series(0, 3) AS n LOOP
        IF to_regclass(format('streamflow.%I', 'predictions_' || to_char(day, 'YYYYMMDD'))) IS NULL
           AND NOT EXISTS (
               SELECT FROM streamflow.predictions_other
               WHERE answered_at >= day::timestamp AT TIME ZONE 'UTC'
                 AND answered_at < (day + 1)::timestamp AT TIME ZONE 'UTC'
           )
        THEN
            EXECUTE format(
                'CREATE TABLE streamflow.%I PARTITION OF streamflow.predictions FOR VALUES FROM (%L) TO (%L)',
                'predictions_' || to_char(day, 'YYYYMMDD'),
                day::timestamp AT TIME ZONE 'UTC',
                (day + 1)::timestamp AT TIME ZONE 'UTC'
            );
        END IF;
    END LOOP;
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'streamflow.predictions'::regclass
          AND c.relname ~ '^predictions_[0-9]{8}$'
          AND to_date(right(c.relname, 8), 'YYYYMMDD') < today - retention_days
    LOOP
        EXECUTE format('DROP TABLE streamflow.%I', part.relname);
    END LOOP;
    DELETE FROM streamflow.predictions_other
    WHERE answered_at < (today - retention_days)::timestamp AT TIME ZONE 'UTC';
END
$$;
