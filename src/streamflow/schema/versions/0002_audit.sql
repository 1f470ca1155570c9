-- The history of promotions becomes an audit trail: what was promoted, what the gate said, who was logged in,
-- and a hash chain over all of it. The trigger numbers and links the rows, so a writer can do neither.
ALTER TABLE streamflow.promotions DISABLE TRIGGER promotions_append_only;
ALTER TABLE streamflow.promotions ALTER COLUMN promotion_id DROP IDENTITY;
ALTER TABLE streamflow.promotions DROP CONSTRAINT promotions_action_check;
ALTER TABLE streamflow.promotions
    ADD CONSTRAINT promotions_action_check
        CHECK (action IN ('promote', 'rollback', 'outside', 'revert', 'abandon', 'trial', 'end trial')),
    ADD COLUMN login         text,
    ADD COLUMN recorded_at   timestamptz,
    ADD COLUMN intent_id     bigint,
    ADD COLUMN release       jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN gate          jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN previous_hash text,
    ADD COLUMN hash          text;

-- What is about to be done. An intent that no row of `promotions` names was cut short; the next command ends it.
CREATE TABLE streamflow.promotion_intents (
    intent_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    begun_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    begun_by     text NOT NULL,
    model        text NOT NULL,
    alias        text NOT NULL,
    from_version integer,
    to_version   integer,
    action       text NOT NULL CHECK (action IN ('promote', 'rollback', 'revert', 'trial', 'end trial')),
    why          text NOT NULL,
    facts        jsonb NOT NULL DEFAULT '{}',
    release      jsonb NOT NULL DEFAULT '{}',
    gate         jsonb NOT NULL DEFAULT '{}'
);
CREATE TRIGGER promotion_intents_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON streamflow.promotion_intents
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_change();
ALTER TABLE streamflow.promotions
    ADD CONSTRAINT promotions_intent_fkey FOREIGN KEY (intent_id) REFERENCES streamflow.promotion_intents,
    ADD CONSTRAINT promotions_intent_once UNIQUE (intent_id);

-- One field of what is hashed: its length and its text, so that no two rows have the same.
CREATE FUNCTION streamflow.hashed_field(value text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(octet_length(value) || ':' || value, '-')
$$;

CREATE FUNCTION streamflow.promotion_hash(p streamflow.promotions) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT encode(sha256(convert_to(concat_ws(',',
        streamflow.hashed_field(p.previous_hash),
        streamflow.hashed_field(p.promotion_id::text),
        streamflow.hashed_field(to_char(p.moved_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')),
        streamflow.hashed_field(to_char(p.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')),
        streamflow.hashed_field(p.moved_by),
        streamflow.hashed_field(p.login),
        streamflow.hashed_field(p.model),
        streamflow.hashed_field(p.alias),
        streamflow.hashed_field(p.from_version::text),
        streamflow.hashed_field(p.to_version::text),
        streamflow.hashed_field(p.action),
        streamflow.hashed_field(p.why),
        streamflow.hashed_field(p.intent_id::text),
        streamflow.hashed_field(p.facts::text),
        streamflow.hashed_field(p.release::text),
        streamflow.hashed_field(p.gate::text)
    ), 'UTF8')), 'hex')
$$;

CREATE FUNCTION streamflow.chain_promotion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- One writer at a time, until its transaction ends: a chain has one end.
    PERFORM pg_advisory_xact_lock(hashtext('streamflow:promotions'));
    SELECT promotion_id + 1, hash INTO NEW.promotion_id, NEW.previous_hash
        FROM streamflow.promotions ORDER BY promotion_id DESC LIMIT 1;
    IF NOT FOUND THEN
        NEW.promotion_id := 1;
        NEW.previous_hash := repeat('0', 64);
    END IF;
    NEW.recorded_at := clock_timestamp();
    NEW.login := session_user;
    NEW.hash := streamflow.promotion_hash(NEW);
    RETURN NEW;
END $$;

-- Rows from before the chain get their links now.
DO $$
DECLARE
    before text := repeat('0', 64);
    number bigint := 0;
    old streamflow.promotions;
BEGIN
    FOR old IN SELECT * FROM streamflow.promotions ORDER BY promotion_id LOOP
        number := number + 1;
        UPDATE streamflow.promotions SET promotion_id = number, previous_hash = before,
            recorded_at = clock_timestamp(), login = session_user
            WHERE promotion_id = old.promotion_id;
        UPDATE streamflow.promotions p SET hash = streamflow.promotion_hash(p)
            WHERE promotion_id = number RETURNING hash INTO before;
    END LOOP;
END $$;

ALTER TABLE streamflow.promotions
    ALTER COLUMN login SET NOT NULL,
    ALTER COLUMN recorded_at SET NOT NULL,
    ALTER COLUMN previous_hash SET NOT NULL,
    ALTER COLUMN hash SET NOT NULL;
ALTER TABLE streamflow.promotions ENABLE TRIGGER promotions_append_only;
CREATE TRIGGER promotions_chained BEFORE INSERT ON streamflow.promotions
    FOR EACH ROW EXECUTE FUNCTION streamflow.chain_promotion();
