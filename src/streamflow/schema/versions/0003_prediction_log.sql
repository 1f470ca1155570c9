-- A sample of the answers that predict gave, so that each can be explained and computed again.
CREATE TABLE streamflow.predictions (
    answered_at  timestamptz NOT NULL,
    request_id   text NOT NULL,
    entity       text NOT NULL,
    model        text NOT NULL,
    version      integer NOT NULL,
    -- production or canary; what the challenger says in shadow is compared in metrics and never answered.
    alias        text NOT NULL,
    probability  double precision NOT NULL,
    prediction   boolean NOT NULL,
    -- Age of each view's values when they were used, in seconds behind the newest as-of; order of the model's views.
    feature_ages double precision[] NOT NULL,
    -- Newest load time among the values: names the drop (streamflow.drops.loaded_at).
    loaded_at    timestamptz
) PARTITION BY RANGE (answered_at);
CREATE INDEX predictions_by_entity ON streamflow.predictions (entity, answered_at DESC);

-- Rows that no day's partition takes: nothing is lost when the partitions were not kept.
CREATE TABLE streamflow.predictions_other PARTITION OF streamflow.predictions DEFAULT;

-- Makes the partitions of today and the next days, and drops those older than the retention. Who may write the log may
-- call it, without being able to create or drop a table.
CREATE FUNCTION streamflow.keep_prediction_log(retention_days integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    day date;
    part record;
BEGIN
    IF NOT has_table_privilege(session_user, 'streamflow.predictions', 'INSERT') THEN
        RAISE EXCEPTION '% may not write the log of predictions', session_user USING ERRCODE = '42501';
    END IF;
    IF retention_days < 1 THEN
        RAISE EXCEPTION 'a retention of % days is not possible', retention_days;
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtext('streamflow.keep_prediction_log')) THEN
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
