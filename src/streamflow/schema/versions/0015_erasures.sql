-- Erasure of a person. The history is append-only for everybody; one function of the owner removes the rows of one entity,
-- and records that it did. The record names the entity by a keyed hash, whose key is not in any database.

CREATE TABLE streamflow.erasures (
    -- Not numbered: a restore adds what the restored database does not know yet.
    erasure_id  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    action      text NOT NULL CHECK (action IN ('erase', 'withdraw')),
    entity_hash text NOT NULL CHECK (entity_hash ~ '^[0-9a-f]{64}$'),
    -- Names the key, so that a list is never compared with hashes of another key.
    key_id      text NOT NULL CHECK (key_id ~ '^[0-9a-f]{16}$'),
    why         text NOT NULL CHECK (btrim(why) <> '' AND length(why) <= 1000),
    request     text NOT NULL DEFAULT '' CHECK (length(request) <= 255),
    asked_by    text NOT NULL CHECK (asked_by <> ''),
    login       text NOT NULL DEFAULT session_user,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX erasures_by_hash ON streamflow.erasures (entity_hash, recorded_at DESC);

-- What an erasure did. One without the step 'done' was cut short, or has something left to do.
CREATE TABLE streamflow.erasure_steps (
    step_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    erasure_id  uuid NOT NULL REFERENCES streamflow.erasures,
    step        text NOT NULL CHECK (step IN ('rows', 'artifacts', 'restored', 'done')),
    counts      jsonb NOT NULL DEFAULT '{}',
    login       text NOT NULL DEFAULT session_user,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX erasure_steps_by_erasure ON streamflow.erasure_steps (erasure_id, step_id);

-- What a run's stored training set is without the erased rows. The fingerprint that the run recorded stays in its contract.
CREATE TABLE streamflow.erased_runs (
    number       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    erasure_id   uuid NOT NULL REFERENCES streamflow.erasures,
    run_id       text NOT NULL,
    rows         integer NOT NULL CHECK (rows > 0),
    fingerprint  text NOT NULL,
    split_digest text NOT NULL,
    pinned       boolean NOT NULL,
    login        text NOT NULL DEFAULT session_user,
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (run_id, erasure_id)
);

-- Nobody changes these tables, and only the functions below add to them, even if a role may insert.
CREATE FUNCTION streamflow.require_erasing() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('streamflow.erasing', true) IS DISTINCT FROM 'on'
        OR current_user <> (SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'streamflow')
           AND quote_ident(current_user) <> (SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'streamflow')
    THEN
        RAISE EXCEPTION '% is written by the functions of erasures alone', TG_TABLE_NAME USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END $$;
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['erasures', 'erasure_steps', 'erased_runs'] LOOP
        EXECUTE format(
            'CREATE TRIGGER %I BEFORE UPDATE OR DELETE OR TRUNCATE ON streamflow.%I'
            ' FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_change()', name || '_append_only', name);
        EXECUTE format(
            'CREATE TRIGGER %I BEFORE INSERT ON streamflow.%I'
            ' FOR EACH ROW EXECUTE FUNCTION streamflow.require_erasing()', name || '_by_functions', name);
    END LOOP;
END $$;

-- Entities that are erased now: their newest act is no withdrawal. Who keeps a list needs nothing else.
CREATE VIEW streamflow.erased AS
SELECT newest.entity_hash, newest.key_id, newest.erasure_id, newest.recorded_at AS erased_at
FROM (
    SELECT DISTINCT ON (entity_hash) entity_hash, key_id, erasure_id, action, recorded_at
    FROM streamflow.erasures ORDER BY entity_hash, recorded_at DESC, erasure_id
) AS newest
WHERE newest.action = 'erase';

-- HMAC-SHA256 of a text. The key comes as its inner and outer pad (RFC 2104), each 64 bytes.
CREATE FUNCTION streamflow.erased_hash(entity text, inner_pad bytea, outer_pad bytea) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT encode(sha256(outer_pad || sha256(inner_pad || convert_to(entity, 'UTF8'))), 'hex')
$$;

-- The name of a key: a hash that says nothing about an entity.
CREATE FUNCTION streamflow.erasure_key_id(inner_pad bytea, outer_pad bytea) RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT left(streamflow.erased_hash('streamflow erasures', inner_pad, outer_pad), 16)
$$;

-- The fields of a line of CSV, whether its quoting is right or not, without surrounding white space.
CREATE FUNCTION streamflow.fields_of(record text) RETURNS SETOF text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT DISTINCT btrim(replace(coalesce(found[1], found[2]), '""', '"'), E' \t\r\n')
    FROM (
        SELECT regexp_matches(record, '"((?:[^"]|"")*)"|([^,;\t\r\n"]+)', 'g')
        UNION ALL
        SELECT ARRAY[regexp_split_to_table(record, '[,;"[:space:]]+'), NULL]
    ) AS fields(found)
    WHERE coalesce(found[1], found[2]) <> ''
$$;

-- The quoted texts of a message or a JSON document.
CREATE FUNCTION streamflow.quoted_in(message text) RETURNS SETOF text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT DISTINCT coalesce(found[1], found[2])
    FROM regexp_matches(message, '''([^'']+)''|"([^"]+)"', 'g') AS found
$$;

CREATE FUNCTION streamflow.require_eraser() RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT has_table_privilege(session_user, 'streamflow.erasures', 'INSERT') THEN
        RAISE EXCEPTION '% may not erase', session_user USING ERRCODE = '42501';
    END IF;
END $$;

-- The tables with a row or rows for each entity, and the column with its key: the first of the table's unique key, as
-- `features apply` declares it. So a caller cannot name another column.
CREATE FUNCTION streamflow.entity_tables() RETURNS TABLE (relation regclass, key_column name)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.oid::regclass, a.attname
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN LATERAL (
        SELECT k.conkey[1] AS attnum FROM pg_constraint k
        WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u') ORDER BY k.contype, k.oid LIMIT 1
    ) AS key ON true
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = key.attnum
    WHERE n.nspname IN ('source', 'online') AND c.relkind IN ('r', 'p')
      AND (n.nspname, c.relname) <> ('online', 'materializations')
    UNION ALL
    SELECT 'streamflow.scores'::regclass, 'entity'
    UNION ALL
    SELECT 'streamflow.predictions'::regclass, 'entity'
    ORDER BY 1
$$;

-- Refuses a table whose owner could have code of their own run while rows are removed, which happens with the rights of the
-- platform's owner. The lock keeps such code from being added in the meantime.
CREATE FUNCTION streamflow.require_plain(relation regclass, key_column name) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    owner oid := (SELECT nspowner FROM pg_namespace WHERE nspname = 'streamflow');
BEGIN
    EXECUTE format('LOCK TABLE %s IN ROW EXCLUSIVE MODE', relation);
    IF EXISTS (
        SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
        WHERE t.tgrelid = relation AND NOT t.tgisinternal AND p.proowner <> owner
    ) OR EXISTS (
        SELECT FROM pg_rewrite r WHERE r.ev_class = relation
    ) OR EXISTS (
        SELECT FROM pg_class c WHERE c.oid = relation AND c.relrowsecurity
    ) OR NOT EXISTS (
        SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = relation AND a.attname = key_column AND t.typnamespace = 'pg_catalog'::regnamespace
    ) THEN
        RAISE EXCEPTION '% has a trigger, a rule, a policy or a type of its own: nothing was erased', relation
            USING ERRCODE = '42501';
    END IF;
END $$;

-- Removes the rows of an entity, or counts them. Returns the numbers by table; tables without such a row are left out.
-- Runs as the function that calls it: it is of use to the owner alone.
CREATE FUNCTION streamflow.remove_entity(entity text, only_count boolean) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    counts jsonb := '{}';
    item   record;
    number bigint;
    quoted text := to_json(entity)::text;
BEGIN
    FOR item IN SELECT * FROM streamflow.entity_tables() LOOP
        PERFORM streamflow.require_plain(item.relation, item.key_column);
        IF only_count THEN
            EXECUTE format('SELECT count(*) FROM %s WHERE %I::text = $1', item.relation, item.key_column)
                INTO number USING entity;
        ELSE
            EXECUTE format('DELETE FROM %s WHERE %I::text = $1', item.relation, item.key_column) USING entity;
            GET DIAGNOSTICS number = ROW_COUNT;
        END IF;
        IF number > 0 THEN
            counts := counts || jsonb_build_object(item.relation::text, number);
        END IF;
    END LOOP;

    IF only_count THEN
        SELECT count(*) INTO number FROM streamflow.quarantine q
        WHERE (position(btrim(entity, E' \t\r\n') IN concat_ws(' ', q.value, q.raw)) > 0 OR position('"' IN entity) > 0)
          AND (q.value = entity OR btrim(entity, E' \t\r\n') IN (SELECT streamflow.fields_of(q.raw)));
    ELSE
        DELETE FROM streamflow.quarantine q
        WHERE (position(btrim(entity, E' \t\r\n') IN concat_ws(' ', q.value, q.raw)) > 0 OR position('"' IN entity) > 0)
          AND (q.value = entity OR btrim(entity, E' \t\r\n') IN (SELECT streamflow.fields_of(q.raw)));
        GET DIAGNOSTICS number = ROW_COUNT;
    END IF;
    IF number > 0 THEN
        counts := counts || jsonb_build_object('streamflow.quarantine', number);
    END IF;

    -- The outcome of a job may quote a value that was refused, or an entity whose answers differ. Only quoted texts are
    -- replaced, so that a short key does not change numbers.
    IF only_count THEN
        SELECT count(*) INTO number FROM streamflow.job_runs r
        WHERE entity IN (SELECT streamflow.quoted_in(r.message)) OR position(quoted IN r.facts::text) > 0;
    ELSE
        UPDATE streamflow.job_runs r
        SET message = replace(replace(r.message, '''' || entity || '''', '''[erased]'''), '"' || entity || '"', '"[erased]"'),
            facts = replace(r.facts::text, quoted, '"[erased]"')::jsonb
        WHERE entity IN (SELECT streamflow.quoted_in(r.message)) OR position(quoted IN r.facts::text) > 0;
        GET DIAGNOSTICS number = ROW_COUNT;
    END IF;
    IF number > 0 THEN
        counts := counts || jsonb_build_object('streamflow.job_runs', number);
    END IF;
    RETURN counts;
END $$;

-- Where people wrote an entity's key into a text that cannot be changed without breaking what vouches for it.
CREATE FUNCTION streamflow.mentions(entity text) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    counts jsonb := '{}';
    name   text;
    number bigint;
BEGIN
    PERFORM streamflow.require_eraser();
    FOREACH name IN ARRAY ARRAY[
        'promotions', 'promotion_intents', 'promotion_requests', 'release_checks', 'accepted_stamps', 'drops', 'erasures'
    ] LOOP
        EXECUTE format(
            'SELECT count(*) FROM streamflow.%I t WHERE $1 IN ('
            '  SELECT regexp_split_to_table(t::text, ''[^[:alnum:]_-]+'') UNION SELECT streamflow.quoted_in(t::text))', name)
            INTO number USING entity;
        IF number > 0 THEN
            counts := counts || jsonb_build_object('streamflow.' || name, number);
        END IF;
    END LOOP;
    RETURN counts;
END $$;

CREATE FUNCTION streamflow.count_entity(entity text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM streamflow.require_eraser();
    RETURN streamflow.remove_entity(entity, true);
END $$;

-- Refuses a text that names the entity, without repeating it.
CREATE FUNCTION streamflow.require_unnamed(entity text, told text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF position(lower(entity) IN lower(told)) > 0 THEN
        RAISE EXCEPTION 'the reason, the person who asks and the request must not contain the key that is erased'
            USING ERRCODE = '22023';
    END IF;
END $$;

-- Records an act.
CREATE FUNCTION streamflow.record_erasure(
    act text, entity text, inner_pad bytea, outer_pad bytea, why text, asked_by text, request text
) RETURNS uuid LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made uuid;
BEGIN
    PERFORM streamflow.require_unnamed(entity, concat_ws(' ', why, asked_by, request));
    IF EXISTS (SELECT FROM streamflow.erasures e WHERE e.key_id <> streamflow.erasure_key_id(inner_pad, outer_pad)) THEN
        RAISE EXCEPTION 'earlier erasures were made with another key' USING ERRCODE = '22023';
    END IF;
    INSERT INTO streamflow.erasures (action, entity_hash, key_id, why, request, asked_by)
    VALUES (
        act, streamflow.erased_hash(entity, inner_pad, outer_pad), streamflow.erasure_key_id(inner_pad, outer_pad),
        why, request, asked_by
    ) RETURNING erasure_id INTO made;
    RETURN made;
END $$;

-- Erases an entity from every table, in the caller's transaction. An erasure that was cut short is continued.
CREATE FUNCTION streamflow.erase(
    entity text, inner_pad bytea, outer_pad bytea, why text, asked_by text, request text,
    OUT erasure_id uuid, OUT counts jsonb, OUT continued boolean
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM streamflow.require_eraser();
    PERFORM streamflow.require_unnamed(entity, concat_ws(' ', why, asked_by, request));
    PERFORM set_config('streamflow.erasing', 'on', true);
    SELECT e.erasure_id INTO erasure_id
    FROM streamflow.erased e
    WHERE e.entity_hash = streamflow.erased_hash(entity, inner_pad, outer_pad)
      AND NOT EXISTS (SELECT FROM streamflow.erasure_steps s WHERE s.erasure_id = e.erasure_id AND s.step = 'done');
    continued := erasure_id IS NOT NULL;
    IF NOT continued THEN
        erasure_id := streamflow.record_erasure('erase', entity, inner_pad, outer_pad, why, asked_by, request);
    END IF;
    counts := streamflow.remove_entity(entity, false);
    INSERT INTO streamflow.erasure_steps (erasure_id, step, counts) VALUES (erase.erasure_id, 'rows', erase.counts);
    PERFORM set_config('streamflow.erasing', 'off', true);
END $$;

-- Takes an entity off the list: drops may bring it again. What was erased stays erased.
CREATE FUNCTION streamflow.withdraw_erasure(
    entity text, inner_pad bytea, outer_pad bytea, why text, asked_by text, request text
) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made uuid;
BEGIN
    PERFORM streamflow.require_eraser();
    IF NOT EXISTS (
        SELECT FROM streamflow.erased e WHERE e.entity_hash = streamflow.erased_hash(entity, inner_pad, outer_pad)
    ) THEN
        RETURN NULL;
    END IF;
    PERFORM set_config('streamflow.erasing', 'on', true);
    made := streamflow.record_erasure('withdraw', entity, inner_pad, outer_pad, why, asked_by, request);
    PERFORM set_config('streamflow.erasing', 'off', true);
    RETURN made;
END $$;

CREATE FUNCTION streamflow.record_erasure_step(erasure uuid, made text, facts jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM streamflow.require_eraser();
    PERFORM set_config('streamflow.erasing', 'on', true);
    INSERT INTO streamflow.erasure_steps (erasure_id, step, counts) VALUES (erasure, made, facts);
    PERFORM set_config('streamflow.erasing', 'off', true);
END $$;

-- Records what is left of a run's training set, before its file is replaced. Once for each erasure.
CREATE FUNCTION streamflow.record_erased_run(
    erasure uuid, run text, gone integer, fingerprint_left text, split_left text, is_pinned boolean
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM streamflow.require_eraser();
    PERFORM set_config('streamflow.erasing', 'on', true);
    INSERT INTO streamflow.erased_runs (erasure_id, run_id, rows, fingerprint, split_digest, pinned)
    VALUES (erasure, run, gone, fingerprint_left, split_left, is_pinned)
    ON CONFLICT (run_id, erasure_id) DO NOTHING;
    PERFORM set_config('streamflow.erasing', 'off', true);
END $$;

CREATE FUNCTION streamflow.require_owner() RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT pg_has_role(session_user, (SELECT nspowner FROM pg_namespace WHERE nspname = 'streamflow'), 'USAGE') THEN
        RAISE EXCEPTION '% may not restore erasures', session_user USING ERRCODE = '42501';
    END IF;
END $$;

-- Adds acts that another database recorded, with their dates; for a restore. Returns how many were new.
CREATE FUNCTION streamflow.import_erasures(acts jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    added bigint;
BEGIN
    PERFORM streamflow.require_owner();
    PERFORM set_config('streamflow.erasing', 'on', true);
    INSERT INTO streamflow.erasures
    SELECT a.* FROM jsonb_populate_recordset(NULL::streamflow.erasures, acts) AS a
    ON CONFLICT (erasure_id) DO NOTHING;
    GET DIAGNOSTICS added = ROW_COUNT;
    PERFORM set_config('streamflow.erasing', 'off', true);
    RETURN added;
END $$;

-- Removes entities, found by their hash, from a database that was restored. They are those on the list, and those whose erasure
-- the database does not know: what it has of them is from before, even if the erasure was withdrawn since. Returns the rows by
-- table.
CREATE FUNCTION streamflow.erase_listed(inner_pad bytea, outer_pad bytea, listed text[]) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    counts jsonb := '{}';
    known  text[];
    ids    text[] := '{}';
    item   record;
    entity text;
    part   record;
BEGIN
    PERFORM streamflow.require_owner();
    PERFORM set_config('streamflow.erasing', 'on', true);
    FOR item IN SELECT * FROM streamflow.entity_tables() LOOP
        PERFORM streamflow.require_plain(item.relation, item.key_column);
        EXECUTE format(
            'SELECT coalesce(array_agg(k.entity), ''{}'') FROM (SELECT DISTINCT %I::text AS entity FROM %s) AS k'
            ' WHERE streamflow.erased_hash(k.entity, $1, $2) = ANY($3)', item.key_column, item.relation)
            INTO known USING inner_pad, outer_pad, listed;
        ids := ids || known;
    END LOOP;
    SELECT coalesce(array_agg(k.entity), '{}') INTO known FROM (
        SELECT q.value AS entity FROM streamflow.quarantine q
        UNION SELECT streamflow.fields_of(q.raw) FROM streamflow.quarantine q
        UNION SELECT streamflow.quoted_in(r.message) FROM streamflow.job_runs r
        UNION SELECT streamflow.quoted_in(r.facts::text) FROM streamflow.job_runs r
    ) AS k WHERE streamflow.erased_hash(k.entity, inner_pad, outer_pad) = ANY(listed);
    FOR entity IN SELECT DISTINCT unnest(ids || known) LOOP
        FOR part IN SELECT * FROM jsonb_each_text(streamflow.remove_entity(entity, false)) LOOP
            counts := counts || jsonb_build_object(
                part.key, coalesce((counts ->> part.key)::bigint, 0) + part.value::bigint);
        END LOOP;
        INSERT INTO streamflow.erasure_steps (erasure_id, step, counts)
        SELECT e.erasure_id, 'restored', counts FROM streamflow.erasures e
        WHERE e.entity_hash = streamflow.erased_hash(entity, inner_pad, outer_pad) AND e.action = 'erase'
        ORDER BY e.recorded_at DESC LIMIT 1;
    END LOOP;
    PERFORM set_config('streamflow.erasing', 'off', true);
    RETURN counts;
END $$;
