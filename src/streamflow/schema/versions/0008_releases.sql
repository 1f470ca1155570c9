-- The ledger decides what is served, and PostgreSQL holds the files that serving needs, so that nothing that is served
-- depends on MLflow.

-- The models that were trained here, by the digest of their manifest, which pins every file. Nothing else is promoted.
CREATE TABLE streamflow.trained_models (
    model           text NOT NULL,
    manifest_sha256 text NOT NULL CHECK (manifest_sha256 ~ '^[0-9a-f]{64}$'),
    run_id          text NOT NULL,
    split_digest    text NOT NULL DEFAULT '',
    trained_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    login           text NOT NULL DEFAULT session_user,
    PRIMARY KEY (model, manifest_sha256)
);
CREATE TRIGGER trained_models_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON streamflow.trained_models
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_change();

-- What was promoted before this table existed was trained here too, as far as anybody knows.
INSERT INTO streamflow.trained_models (model, manifest_sha256, run_id, trained_at)
SELECT DISTINCT ON (model, release ->> 'manifest_sha256')
    model, release ->> 'manifest_sha256', coalesce(release ->> 'run_id', ''), moved_at
FROM streamflow.promotions
WHERE release ->> 'manifest_sha256' ~ '^[0-9a-f]{64}$'
ORDER BY model, release ->> 'manifest_sha256', promotion_id;

-- Refuses a row that names a release which was not trained here, even from a role that may add rows. A row that moves nothing,
-- or that leaves an alias without a version, names no release.
CREATE FUNCTION streamflow.refuse_untrained() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.release ->> 'manifest_sha256' <> '' AND NOT EXISTS (
        SELECT FROM streamflow.trained_models t
        WHERE t.model = NEW.model AND t.manifest_sha256 = NEW.release ->> 'manifest_sha256'
    ) THEN
        RAISE EXCEPTION 'version % of % was not trained here', NEW.to_version, NEW.model USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER promotions_trained BEFORE INSERT ON streamflow.promotions
    FOR EACH ROW EXECUTE FUNCTION streamflow.refuse_untrained();

-- The files of releases: manifest, contract, golden rows and model, in pieces. A release has a row here once all of its
-- pieces are there.
CREATE TABLE streamflow.releases (
    manifest_sha256 text PRIMARY KEY CHECK (manifest_sha256 ~ '^[0-9a-f]{64}$'),
    bytes           bigint NOT NULL,
    stored_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE streamflow.release_pieces (
    manifest_sha256 text NOT NULL REFERENCES streamflow.releases ON DELETE CASCADE,
    file            text NOT NULL,
    piece           integer NOT NULL,
    content         bytea NOT NULL,
    PRIMARY KEY (manifest_sha256, file, piece)
);
-- Model files do not compress.
ALTER TABLE streamflow.release_pieces ALTER COLUMN content SET STORAGE EXTERNAL;

-- Which release each alias stands for: all that a service has to know of the ledger. Who promoted it, and why, is not here.
CREATE VIEW streamflow.current_releases AS
SELECT newest.model, newest.alias, newest.to_version AS version, newest.promotion_id, newest.moved_at AS since,
    (SELECT p.release ->> 'manifest_sha256'
     FROM streamflow.promotions p
     WHERE p.model = newest.model AND p.alias = newest.alias AND p.to_version = newest.to_version
       AND p.release ->> 'manifest_sha256' <> ''
     ORDER BY p.promotion_id DESC LIMIT 1) AS manifest_sha256
FROM (
    SELECT DISTINCT ON (model, alias) model, alias, to_version, promotion_id, moved_at
    FROM streamflow.promotions
    ORDER BY model, alias, promotion_id DESC
) AS newest;

-- The rows of the ledger that MLflow was brought in line with. What MLflow shows beyond the newest, somebody moved there.
CREATE TABLE streamflow.mlflow_in_line (
    model        text NOT NULL,
    promotion_id bigint NOT NULL,
    since        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (model, promotion_id)
);
CREATE TRIGGER mlflow_in_line_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON streamflow.mlflow_in_line
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_change();
INSERT INTO streamflow.mlflow_in_line (model, promotion_id)
SELECT model, max(promotion_id) FROM streamflow.promotions GROUP BY model;

ALTER TABLE streamflow.promotions DROP CONSTRAINT promotions_action_check;
ALTER TABLE streamflow.promotions ADD CONSTRAINT promotions_action_check CHECK (
    action IN (
        'promote', 'rollback', 'outside', 'revert', 'abandon', 'trial', 'end trial', 'acknowledge', 'demote', 'resume'
    )
);

-- Deletes the files of releases that nobody will ask for: neither those that an alias stands for, nor the newest ones that
-- were in production, nor those of today, whose promotion may be in progress. Who may store releases may call it, without
-- being able to delete a row.
CREATE FUNCTION streamflow.keep_releases(keep integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    deleted bigint;
BEGIN
    IF NOT has_table_privilege(session_user, 'streamflow.releases', 'INSERT') THEN
        RAISE EXCEPTION '% may not store releases', session_user USING ERRCODE = '42501';
    END IF;
    IF keep < 2 THEN
        RAISE EXCEPTION 'keeping % releases is not possible', keep;
    END IF;
    DELETE FROM streamflow.releases r
    WHERE r.stored_at < clock_timestamp() - interval '1 day'
      AND NOT EXISTS (
          SELECT FROM streamflow.current_releases c
          WHERE c.version IS NOT NULL AND c.manifest_sha256 = r.manifest_sha256
      )
      AND r.manifest_sha256 NOT IN (
          SELECT newest.manifest_sha256 FROM (
              SELECT p.release ->> 'manifest_sha256' AS manifest_sha256, max(p.promotion_id) AS last
              FROM streamflow.promotions p
              WHERE p.release ->> 'manifest_sha256' <> '' AND p.alias = 'production'
              GROUP BY 1 ORDER BY last DESC LIMIT keep
          ) AS newest
      );
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;

-- Notifies the processes that listen for new rows.
CREATE FUNCTION streamflow.tell_of_promotion() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('streamflow_promotions', NEW.model);
    RETURN NULL;
END $$;
CREATE TRIGGER promotions_told AFTER INSERT ON streamflow.promotions
    FOR EACH ROW EXECUTE FUNCTION streamflow.tell_of_promotion();
