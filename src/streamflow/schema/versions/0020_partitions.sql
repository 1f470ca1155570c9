-- Source tables are partitioned by as-of, and a row names its drop by a number, from which its dates follow. `streamflow features
-- apply` partitions the tables of an earlier version, because it owns them; until then the functions below serve both forms.

-- As-of and sequence in four bytes: the days since 1970 times 4096, plus the sequence. The chain of drops hashes both already.
ALTER TABLE streamflow.drops ADD COLUMN drop_number integer NOT NULL GENERATED ALWAYS AS (
    floor(extract(epoch FROM as_of - timestamptz '1970-01-01 00:00:00+00') / 86400)::integer * 4096 + sequence
) STORED;
ALTER TABLE streamflow.drops
    ADD CONSTRAINT drops_number_says_as_of CHECK (as_of = to_timestamp((drop_number >> 12) * 86400::double precision)),
    ADD CONSTRAINT drops_number_says_sequence CHECK (sequence = drop_number & 4095),
    ADD CONSTRAINT drops_by_number UNIQUE (drop_number);
COMMENT ON COLUMN streamflow.drops.drop_number IS
    'Number of the drop in the rows of source tables: days from 1970 to the as-of, times 4096, plus the sequence.';

-- The source tables that have the rows of a drop that is being loaded.
CREATE TABLE streamflow.filled_tables (
    drop_number integer NOT NULL,
    table_name  text NOT NULL,
    PRIMARY KEY (drop_number, table_name)
);
COMMENT ON TABLE streamflow.filled_tables IS
    'Source tables that have the rows of a drop whose transaction has not ended: a second statement could repeat a row.';
COMMENT ON COLUMN streamflow.filled_tables.drop_number IS 'Number of the drop.';
COMMENT ON COLUMN streamflow.filled_tables.table_name IS 'Source table.';

-- Notes that a source table got its rows of a drop; refuses a second time.
CREATE FUNCTION streamflow.fill_table(of_drop integer, of_table text) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM streamflow.filled_tables f USING streamflow.drops d JOIN streamflow.drop_chain c ON c.drop_id = d.drop_id
        WHERE d.drop_number = f.drop_number;
    IF NOT EXISTS (SELECT FROM streamflow.drops d WHERE d.drop_number = of_drop) THEN
        RAISE EXCEPTION '% takes rows of the drop that is being loaded, and no others', of_table USING ERRCODE = '42501';
    END IF;
    INSERT INTO streamflow.filled_tables VALUES (of_drop, of_table) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% takes rows of the drop that is being loaded in one statement', of_table USING ERRCODE = '42501';
    END IF;
END $$;

-- The column with the key of the entity: the first of a table's unique key, or, for a partitioned table, that of its index of
-- blocks. Null if there is none.
CREATE FUNCTION streamflow.key_column(relation regclass) RETURNS name LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.attname
    FROM (
        SELECT 1 AS place, k.contype::text AS kind, k.oid, k.conkey[1] AS attnum
        FROM pg_constraint k WHERE k.conrelid = relation AND k.contype IN ('p', 'u')
        UNION ALL
        SELECT 2, '', i.indexrelid, i.indkey[0]
        FROM pg_index i
        JOIN pg_class c ON c.oid = i.indrelid AND c.relkind = 'p'
        JOIN pg_class x ON x.oid = i.indexrelid
        JOIN pg_am m ON m.oid = x.relam AND m.amname = 'brin'
        WHERE i.indrelid = relation
    ) AS found
    JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = found.attnum
    ORDER BY place, kind, found.oid LIMIT 1
$$;

-- The rows of a source table belong to a drop whose transaction has not ended, and come in one statement with each key once: no
-- index of the table says so. Rows in ascending order are compared with the one before. Not SECURITY DEFINER: the columns of a
-- table may have types of its owner's, whose casts and operators a comparison calls.
CREATE OR REPLACE FUNCTION streamflow.check_source_rows() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    root     regclass := pg_partition_root(TG_RELID);
    is_owner boolean := streamflow.is_owner();
    key      name;
    came     record;
    repeated boolean;
BEGIN
    IF root IS NULL THEN
        -- A table of an earlier version.
        IF NOT is_owner AND EXISTS (
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
    END IF;
    SELECT a.attname INTO key FROM pg_index i
        JOIN pg_class x ON x.oid = i.indexrelid
        JOIN pg_am m ON m.oid = x.relam AND m.amname = 'brin'
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = root ORDER BY i.indexrelid LIMIT 1;
    EXECUTE format(
        'SELECT min(drop_number) AS first, max(drop_number) AS last, coalesce(bool_and(ascending), true) AS ascending'
        ' FROM (SELECT drop_number, %1$I > lag(%1$I) OVER () AS ascending FROM added) AS rows', key) INTO came;
    IF came.first IS NULL THEN
        RETURN NULL;
    END IF;
    IF NOT came.ascending THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM added GROUP BY drop_number, %I HAVING count(*) > 1)', key) INTO repeated;
        IF repeated THEN
            RAISE EXCEPTION '% takes one row of a key and drop', TG_TABLE_NAME USING ERRCODE = '23505';
        END IF;
    END IF;
    IF is_owner THEN
        RETURN NULL;
    END IF;
    IF came.first <> came.last OR NOT EXISTS (
        SELECT FROM streamflow.drops d
        WHERE d.drop_number = came.first
          AND NOT EXISTS (SELECT FROM streamflow.drop_chain c WHERE c.drop_id = d.drop_id)
    ) THEN
        RAISE EXCEPTION '% takes rows of the drop that is being loaded, and no others', TG_TABLE_NAME USING ERRCODE = '42501';
    END IF;
    PERFORM streamflow.fill_table(came.first, (SELECT c.relname::text FROM pg_class c WHERE c.oid = root));
    RETURN NULL;
END $$;

-- As in migration 0012, over both forms of source tables.
CREATE OR REPLACE FUNCTION streamflow.open_known(of_time timestamptz, views jsonb) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    opened text := 'known_' || left(replace(gen_random_uuid()::text, '-', ''), 16);
    -- Independent of the session's DateStyle and TimeZone.
    moment text := to_char(of_time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00';
    item jsonb;
    leftover text;
    of_rows text;
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
        of_rows := format('source.%I', item ->> 'table');
        IF EXISTS (SELECT FROM pg_class c WHERE c.oid = to_regclass(of_rows) AND c.relkind = 'p') THEN
            of_rows := format(
                '(SELECT s.*, to_timestamp((s.drop_number >> 12) * 86400::double precision) AS as_of, d.loaded_at, d.drop_id'
                ' FROM %s s JOIN streamflow.drops d ON d.drop_number = s.drop_number) AS snapshots', of_rows);
        END IF;
        EXECUTE format(
            'CREATE VIEW %I.%I AS SELECT %s FROM %s WHERE loaded_at <= %L::timestamptz',
            opened,
            item ->> 'view',
            (SELECT string_agg(quote_ident(name), ', ' ORDER BY place)
             FROM jsonb_array_elements_text(item -> 'columns') WITH ORDINALITY AS columns (name, place)),
            of_rows,
            moment
        );
    END LOOP;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', opened, session_user);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %I', opened, session_user);
    RETURN opened;
END $$;

-- As in migration 0015, with partitioned tables, whose partitions are not listed by themselves. One without a key is listed with
-- none, so that an erasure fails instead of leaving its rows.
CREATE OR REPLACE FUNCTION streamflow.entity_tables() RETURNS TABLE (relation regclass, key_column name)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.oid::regclass, streamflow.key_column(c.oid)
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('source', 'online') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND (n.nspname, c.relname) <> ('online', 'materializations')
      AND (c.relkind = 'p' OR streamflow.key_column(c.oid) IS NOT NULL)
    UNION ALL
    SELECT 'streamflow.scores'::regclass, 'entity'
    UNION ALL
    SELECT 'streamflow.predictions'::regclass, 'entity'
    ORDER BY 1
$$;

-- As in migration 0015, for each partition too.
CREATE OR REPLACE FUNCTION streamflow.require_plain(relation regclass, key_column name) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    owner oid := (SELECT nspowner FROM pg_namespace WHERE nspname = 'streamflow');
    every oid[];
BEGIN
    EXECUTE format('LOCK TABLE %s IN ROW EXCLUSIVE MODE', relation);
    every := ARRAY(SELECT relation::oid UNION SELECT t.relid::oid FROM pg_partition_tree(relation) t);
    IF EXISTS (
        SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
        WHERE t.tgrelid = ANY(every) AND NOT t.tgisinternal AND p.proowner <> owner
    ) OR EXISTS (
        SELECT FROM pg_rewrite r WHERE r.ev_class = ANY(every)
    ) OR EXISTS (
        SELECT FROM pg_class c WHERE c.oid = ANY(every) AND (c.relrowsecurity OR c.relkind NOT IN ('r', 'p'))
    ) OR NOT EXISTS (
        SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = relation AND a.attname = key_column AND t.typnamespace = 'pg_catalog'::regnamespace
    ) THEN
        RAISE EXCEPTION '% has a trigger, a rule, a policy or a type of its own: nothing was erased', relation
            USING ERRCODE = '42501';
    END IF;
END $$;

-- Drops the partitions of a source table whose as-of is before a date; returns the number of their rows. A partition that
-- somebody is reading for long, or that other objects depend on, is emptied instead.
CREATE FUNCTION streamflow.drop_partitions(relation regclass, before timestamptz) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    style  text := current_setting('datestyle');
    wait   text := current_setting('lock_timeout');
    part   record;
    number bigint;
    total  bigint := 0;
BEGIN
    -- The style in which a bound is written without an ambiguous name of a time zone.
    PERFORM set_config('datestyle', 'ISO, YMD', true), set_config('lock_timeout', '3s', true);
    FOR part IN
        SELECT c.oid::regclass AS name, substring(pg_get_expr(c.relpartbound, c.oid) FROM '''([^'']+)''')::timestamptz AS as_of
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = relation
        ORDER BY 2
    LOOP
        CONTINUE WHEN part.as_of IS NULL OR part.as_of >= before;
        EXECUTE format('SELECT count(*) FROM %s', part.name) INTO number;
        BEGIN
            EXECUTE format('DROP TABLE %s', part.name);
        EXCEPTION WHEN lock_not_available OR dependent_objects_still_exist THEN
            EXECUTE format('DELETE FROM %s', part.name);
        END;
        total := total + number;
    END LOOP;
    PERFORM set_config('datestyle', style, true), set_config('lock_timeout', wait, true);
    RETURN total;
END $$;

-- As in migration 0016, by partitions.
CREATE OR REPLACE FUNCTION streamflow.forget_months(keep integer, OUT before timestamptz, OUT counts jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- Not a date to come: one drop with a wrong date would take the months before it along.
    newest timestamptz := (SELECT least(max(d.as_of), now()) FROM streamflow.drops d HAVING count(*) > 0);
    old    bigint[];
    item   record;
    number bigint;
BEGIN
    PERFORM streamflow.require_eraser();
    IF keep IS NULL OR keep < 1 THEN
        RAISE EXCEPTION 'keeping % months is not possible', keep USING ERRCODE = '22023';
    END IF;
    IF newest IS NULL THEN
        RETURN;
    END IF;
    before := (date_trunc('month', newest AT TIME ZONE 'UTC') - make_interval(months => keep - 1)) AT TIME ZONE 'UTC';
    counts := '{}';
    PERFORM set_config('streamflow.erasing', 'on', true);

    FOR item IN
        SELECT e.relation, n.nspname = 'source' AND c.relkind = 'p' AS partitioned, e.key_column,
               CASE n.nspname WHEN 'source' THEN 'as_of' ELSE 'event_timestamp' END::name AS dated_by
        FROM streamflow.entity_tables() e
        JOIN pg_class c ON c.oid = e.relation
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('source', 'online')
        ORDER BY e.relation
    LOOP
        IF item.partitioned THEN
            PERFORM streamflow.require_plain(item.relation, item.key_column);
            number := streamflow.drop_partitions(item.relation, before);
        ELSE
            PERFORM streamflow.require_plain(item.relation, item.dated_by);
            EXECUTE format('DELETE FROM %s WHERE %I < $1', item.relation, item.dated_by) USING before;
            GET DIAGNOSTICS number = ROW_COUNT;
        END IF;
        IF number > 0 THEN
            counts := counts || jsonb_build_object(item.relation::text, number);
        END IF;
    END LOOP;

    DELETE FROM streamflow.quarantine q USING streamflow.drops d
    WHERE d.drop_id = q.drop_id AND d.as_of < forget_months.before;
    GET DIAGNOSTICS number = ROW_COUNT;
    IF number > 0 THEN
        counts := counts || jsonb_build_object('streamflow.quarantine', number);
    END IF;

    SELECT array_agg(s.scoring_id) INTO old FROM streamflow.scorings s
    WHERE s.as_of < forget_months.before AND s.removed_at IS NULL;
    IF old IS NOT NULL THEN
        DELETE FROM streamflow.scores s WHERE s.scoring_id = ANY(old);
        GET DIAGNOSTICS number = ROW_COUNT;
        IF number > 0 THEN
            counts := counts || jsonb_build_object('streamflow.scores', number);
        END IF;
        DELETE FROM streamflow.scoring_refusals r WHERE r.scoring_id = ANY(old);
        GET DIAGNOSTICS number = ROW_COUNT;
        IF number > 0 THEN
            counts := counts || jsonb_build_object('streamflow.scoring_refusals', number);
        END IF;
        UPDATE streamflow.scorings s SET removed_at = clock_timestamp() WHERE s.scoring_id = ANY(old);
    END IF;

    IF counts <> '{}' THEN
        INSERT INTO streamflow.forgotten_months (before, months, counts) VALUES (forget_months.before, keep, forget_months.counts);
    END IF;
    PERFORM set_config('streamflow.erasing', 'off', true);
END $$;

-- Creates the partition of a source table that takes the rows of a drop, unless it is there. It is attached when it is guarded, so
-- that readers and writers of other months never wait. Runs with the rights of its caller, who owns the table.
CREATE FUNCTION streamflow.add_partition(of_table text, of_drop integer) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parent   regclass := to_regclass(format('source.%I', of_table));
    as_of    timestamptz := to_timestamp((of_drop >> 12) * 86400::double precision);
    ending   text := to_char(as_of AT TIME ZONE 'UTC', '_YYYY_MM_DD');
    part     text := of_table || ending;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = parent AND c.relkind = 'p' AND NOT c.relispartition) THEN
        RAISE EXCEPTION 'source.% is not a partitioned table', of_table USING ERRCODE = '42809';
    END IF;
    IF NOT EXISTS (SELECT FROM streamflow.drops d WHERE d.drop_number = of_drop) THEN
        RAISE EXCEPTION 'no drop has the number %', of_drop USING ERRCODE = '42501';
    END IF;
    -- A name has 63 bytes.
    IF octet_length(part) > 63 THEN
        part := left(of_table, 10) || '_' || left(md5(of_table), 16) || ending;
    END IF;
    IF EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = parent AND i.inhrelid = to_regclass(format('source.%I', part))) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE source.%I (LIKE source.%I INCLUDING CONSTRAINTS INCLUDING DEFAULTS)', part, of_table);
    EXECUTE format(
        'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON source.%I'
        ' FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_unless_erasing()', part);
    EXECUTE format(
        'CREATE TRIGGER rows_checked AFTER INSERT ON source.%I REFERENCING NEW TABLE AS added'
        ' FOR EACH STATEMENT EXECUTE FUNCTION streamflow.check_source_rows()', part);
    -- Independent of the session's DateStyle and TimeZone.
    EXECUTE format(
        'ALTER TABLE source.%I ATTACH PARTITION source.%I FOR VALUES IN (%L)',
        of_table, part, to_char(as_of AT TIME ZONE 'UTC', 'YYYY-MM-DD') || ' 00:00:00+00');
END $$;

-- Enters new rows of the partition of a drop into its index of blocks, by which a person's rows are found.
CREATE FUNCTION streamflow.index_partition(of_table text, of_drop integer) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    as_of timestamptz := to_timestamp((of_drop >> 12) * 86400::double precision);
    part  regclass;
BEGIN
    FOR part IN
        SELECT x.oid::regclass
        FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid
        JOIN pg_index p ON p.indrelid = c.oid
        JOIN pg_class x ON x.oid = p.indexrelid
        JOIN pg_am m ON m.oid = x.relam AND m.amname = 'brin'
        WHERE i.inhparent = to_regclass(format('source.%I', of_table))
          AND pg_get_expr(c.relpartbound, c.oid) = format('FOR VALUES IN (%L)', as_of)
    LOOP
        PERFORM brin_summarize_new_values(part);
    END LOOP;
END $$;
