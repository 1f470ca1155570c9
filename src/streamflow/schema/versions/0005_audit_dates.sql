-- A row of the audit trail is dated between the newest row of its model and now, so that nobody who may add rows can
-- change what was in production in the past. A move that was cut short fits: it was announced after the newest row.
ALTER TABLE streamflow.promotions DROP CONSTRAINT promotions_action_check;
ALTER TABLE streamflow.promotions ADD CONSTRAINT promotions_action_check CHECK (
    action IN ('promote', 'rollback', 'outside', 'revert', 'abandon', 'trial', 'end trial', 'acknowledge')
);

CREATE OR REPLACE FUNCTION streamflow.chain_promotion() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    newest timestamptz;
BEGIN
    -- One writer at a time, until its transaction ends: a chain has one end.
    PERFORM pg_advisory_xact_lock(hashtext('streamflow:promotions'));
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
