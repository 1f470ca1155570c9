-- Whole old months are dropped the same way as a person: by one function of the owner, which records that it did.

CREATE TABLE streamflow.forgotten_months (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Rows of an earlier as-of are gone.
    before      timestamptz NOT NULL,
    months      integer NOT NULL CHECK (months >= 1),
    counts      jsonb NOT NULL,
    login       text NOT NULL DEFAULT session_user,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TRIGGER forgotten_months_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON streamflow.forgotten_months
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_change();
CREATE TRIGGER forgotten_months_by_functions BEFORE INSERT ON streamflow.forgotten_months
    FOR EACH ROW EXECUTE FUNCTION streamflow.require_erasing();

-- Drops all months but the newest ones, in the caller's transaction: `keep` of them, counted from the newest drop and not from
-- today, so that an install that gets no drops any more keeps what it has. Returns nulls before the first drop.
CREATE FUNCTION streamflow.forget_months(keep integer, OUT before timestamptz, OUT counts jsonb)
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
        SELECT e.relation, CASE n.nspname WHEN 'source' THEN 'as_of' ELSE 'event_timestamp' END::name AS dated_by
        FROM streamflow.entity_tables() e
        JOIN pg_class c ON c.oid = e.relation
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('source', 'online')
        ORDER BY e.relation
    LOOP
        PERFORM streamflow.require_plain(item.relation, item.dated_by);
        EXECUTE format('DELETE FROM %s WHERE %I < $1', item.relation, item.dated_by) USING before;
        GET DIAGNOSTICS number = ROW_COUNT;
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
