-- A restore adds a row to the audit trail: which backup replaced the databases, and which rows of the former trail are not in it.
ALTER TABLE streamflow.promotions DROP CONSTRAINT promotions_action_check;
ALTER TABLE streamflow.promotions ADD CONSTRAINT promotions_action_check CHECK (
    action IN (
        'promote', 'rollback', 'outside', 'revert', 'abandon', 'trial', 'end trial', 'acknowledge', 'demote', 'resume',
        'restore'
    )
);

-- Rows that such a row names as lost are no longer missed. So only the owner of the trail writes one, which a restore's login is
-- or may act as, and no role of a component.
CREATE FUNCTION streamflow.check_restore() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'MEMBER') THEN
        RAISE EXCEPTION '% may not record a restore', session_user USING ERRCODE = '42501';
    END IF;
    IF NEW.from_version IS DISTINCT FROM NEW.to_version THEN
        RAISE EXCEPTION 'a restore moves nothing, but the row goes from % to %', NEW.from_version, NEW.to_version
            USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER promotions_restored BEFORE INSERT ON streamflow.promotions
    FOR EACH ROW WHEN (NEW.action = 'restore') EXECUTE FUNCTION streamflow.check_restore();
