-- Checks of releases, and how they ended, so that a version that was refused once is not fetched and checked again.

-- By the digest of the manifest, which pins every file: the same files fail the same check. A check that has begun and has
-- no outcome took down the process that made it. Only what the files themselves are the reason for is 'refused'; a check
-- that ended for another reason is 'cut short'.
CREATE TABLE streamflow.release_checks (
    check_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model           text NOT NULL,
    manifest_sha256 text NOT NULL CHECK (manifest_sha256 ~ '^[0-9a-f]{64}$'),
    outcome         text NOT NULL CHECK (outcome IN ('begun', 'passed', 'refused', 'cut short')),
    why             text NOT NULL DEFAULT '' CHECK (outcome <> 'refused' OR why <> ''),
    recorded_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    login           text NOT NULL DEFAULT session_user
);
CREATE INDEX ON streamflow.release_checks (model, manifest_sha256, check_id);
CREATE TRIGGER release_checks_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON streamflow.release_checks
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_change();
