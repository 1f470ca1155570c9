-- Promotions that were asked for over the registrar's API. A row of the ledger that names a request in its fact `request` is the
-- answer to it, so a request is answered exactly when the ledger says so, and once.
CREATE TABLE streamflow.promotion_requests (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    model           text NOT NULL,
    alias           text NOT NULL CHECK (alias IN ('staging', 'production')),
    version         integer NOT NULL CHECK (version > 0),
    why             text NOT NULL CHECK (btrim(why) <> '' AND length(why) <= 1000),
    asked_by        text NOT NULL CHECK (asked_by <> ''),
    idempotency_key text CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    asked_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    login           text NOT NULL DEFAULT session_user,
    answered_at     timestamptz,
    promotion_id    bigint,
    refused         jsonb,
    UNIQUE (model, asked_by, idempotency_key),
    CHECK ((answered_at IS NULL) = (promotion_id IS NULL)),
    CHECK (refused IS NULL OR promotion_id IS NOT NULL)
);
CREATE INDEX promotion_requests_open ON streamflow.promotion_requests (model, asked_at) WHERE answered_at IS NULL;

-- A request begins open, and is dated by the database.
CREATE FUNCTION streamflow.open_request() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.asked_at := clock_timestamp();
    NEW.login := session_user;
    NEW.answered_at := NULL;
    NEW.promotion_id := NULL;
    NEW.refused := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER promotion_requests_opened BEFORE INSERT ON streamflow.promotion_requests
    FOR EACH ROW EXECUTE FUNCTION streamflow.open_request();

-- Nothing but the answer is ever written to a request, and that once.
CREATE FUNCTION streamflow.keep_request() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.answered_at IS NOT NULL OR
        (OLD.id, OLD.model, OLD.alias, OLD.version, OLD.why, OLD.asked_by, OLD.idempotency_key, OLD.asked_at, OLD.login)
        IS DISTINCT FROM
        (NEW.id, NEW.model, NEW.alias, NEW.version, NEW.why, NEW.asked_by, NEW.idempotency_key, NEW.asked_at, NEW.login)
    THEN
        RAISE EXCEPTION 'promotion_requests is append-only';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER promotion_requests_kept BEFORE UPDATE ON streamflow.promotion_requests
    FOR EACH ROW EXECUTE FUNCTION streamflow.keep_request();
CREATE TRIGGER promotion_requests_append_only BEFORE DELETE OR TRUNCATE ON streamflow.promotion_requests
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_change();

-- Marks the request that a row of the ledger answers, in the same transaction. The row is refused if the request is answered
-- already, or asks for something else: so nothing is promoted twice, whatever process died or was slow.
CREATE FUNCTION streamflow.answer_request() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE streamflow.promotion_requests r
    SET answered_at = clock_timestamp(), promotion_id = NEW.promotion_id, refused = NEW.facts -> 'refused'
    WHERE r.id = (NEW.facts ->> 'request')::uuid AND r.answered_at IS NULL
        AND r.model = NEW.model AND r.alias = NEW.alias AND r.asked_by = NEW.moved_by
        AND r.version = CASE WHEN NEW.facts ? 'refused' THEN (NEW.facts ->> 'requested')::integer ELSE NEW.to_version END;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'request % is answered already, or asks for something else', NEW.facts ->> 'request'
            USING ERRCODE = '23505';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER promotions_answer AFTER INSERT ON streamflow.promotions
    FOR EACH ROW WHEN (NEW.facts ? 'request') EXECUTE FUNCTION streamflow.answer_request();

-- Notifies the registrar, so that an answer does not wait for its next look.
CREATE FUNCTION streamflow.tell_of_request() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('streamflow_promotion_requests', NEW.model);
    RETURN NULL;
END $$;
CREATE TRIGGER promotion_requests_told AFTER INSERT ON streamflow.promotion_requests
    FOR EACH ROW EXECUTE FUNCTION streamflow.tell_of_request();
