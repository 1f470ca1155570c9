-- Evidence that those who write it cannot bend: rows are numbered, dated and signed with a login by the database, and what one
-- role writes, no other role changes.

-- Whether the login has the rights of the owner of these tables, as the migrations and the one login of a laptop do.
CREATE FUNCTION streamflow.is_owner() RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_has_role(session_user, nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'streamflow'
$$;

-- One row a chain. Whoever appends to a chain locks its row, which no role but the owner of the tables can do: a role that
-- held an advisory lock instead would keep everybody from promoting.
CREATE TABLE streamflow.chains (name text PRIMARY KEY);
INSERT INTO streamflow.chains VALUES ('promotions'), ('drops');

CREATE OR REPLACE FUNCTION streamflow.chain_promotion() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    newest timestamptz;
BEGIN
    -- One writer at a time, until its transaction ends: a chain has one end.
    PERFORM FROM streamflow.chains WHERE name = 'promotions' FOR UPDATE;
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
    PERFORM FROM streamflow.chains WHERE name = 'promotions' FOR UPDATE;
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
REVOKE ALL ON FUNCTION streamflow.append_promotion FROM PUBLIC;

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
REVOKE ALL ON FUNCTION streamflow.open_known FROM PUBLIC;

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
REVOKE ALL ON FUNCTION streamflow.close_known FROM PUBLIC;
