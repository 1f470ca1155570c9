-- One clock stamps loaded-at, known-at, materializations and runs of jobs: each stamp is later than all before it, even
-- after the server's clock was set back. A stamp that no second clock vouches for is refused.

-- The newest stamp, in microseconds since 1970. A sequence, because a stamp that was given stays given when its
-- transaction is rolled back, and because nobody has to wait until another transaction ends.
CREATE SEQUENCE streamflow.newest_stamp AS bigint MINVALUE 0 START 0;

-- Stamps that somebody vouched for because the clocks did not.
CREATE TABLE streamflow.accepted_stamps (
    accepted    timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    login       text NOT NULL DEFAULT session_user,
    why         text NOT NULL CHECK (why <> '')
);
CREATE TRIGGER accepted_stamps_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON streamflow.accepted_stamps
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_change();

-- The server's own clock. A function, so that tests can replace it. Not now(), which is the start of the transaction.
CREATE FUNCTION streamflow.server_clock() RETURNS timestamptz LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp AS 'SELECT clock_timestamp()';

CREATE FUNCTION streamflow.microseconds(moment timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS 'SELECT (extract(epoch FROM moment) * 1000000)::bigint';

-- What the clocks say, without giving a stamp: the server's clock, the newest stamp, the next stamp, the latest time
-- that anything else vouches for, and whether the next stamp is refused.
--
-- The next stamp is either the server's clock or follows the newest stamp. The other of the two vouches for it, and so do
-- the clock of the caller's machine and whatever somebody accepted. If it lies more than a day ahead of all of them, one
-- clock is wrong: stamps in the future would hide later drops. A platform that was idle for weeks is not refused, because
-- there the caller's clock agrees with the server's.
CREATE FUNCTION streamflow.read_clock(
    caller timestamptz,
    OUT server timestamptz, OUT newest timestamptz, OUT next timestamptz, OUT vouched timestamptz, OUT refused boolean
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    server := streamflow.server_clock();
    -- The ledger is asked too, because an older release may still load drops while an upgrade rolls.
    SELECT greatest(timestamptz 'epoch' + last_value * interval '1 microsecond',
                    (SELECT max(loaded_at) FROM streamflow.drops))
        INTO newest FROM streamflow.newest_stamp;
    next := greatest(server, newest + interval '1 microsecond');
    vouched := greatest(least(server, newest), caller, (SELECT max(accepted) FROM streamflow.accepted_stamps));
    -- Not '1 day', which has 23 or 25 hours when daylight saving time begins or ends.
    refused := next > vouched + interval '24 hours';
END
$$;

-- Gives the next stamp, or none (NULL) if it is refused. With `always`, which is for runs of jobs, a refused stamp is
-- replaced by one that follows the newest: the run is recorded in its order, and the newest stamp does not jump.
CREATE FUNCTION streamflow.next_stamp(
    caller timestamptz, always boolean DEFAULT false,
    OUT server timestamptz, OUT newest timestamptz, OUT stamp timestamptz
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_refused boolean;
BEGIN
    IF NOT has_table_privilege(session_user, 'streamflow.job_runs', 'INSERT') THEN
        RAISE EXCEPTION '% may not set the time', session_user USING ERRCODE = '42501';
    END IF;
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtext('streamflow.newest_stamp'));
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
END
$$;

-- The clock goes on from the newest stamp of all that were given before there was one clock.
SELECT setval('streamflow.newest_stamp', streamflow.microseconds(newest)) FROM (
    SELECT greatest(
        (SELECT max(loaded_at) FROM streamflow.drops),
        (SELECT max(materialized_at) FROM online.materializations),
        (SELECT max(known_at) FROM streamflow.scorings),
        (SELECT max(ended_at) FROM streamflow.job_runs)
    ) AS newest
) AS stamps WHERE newest IS NOT NULL;
