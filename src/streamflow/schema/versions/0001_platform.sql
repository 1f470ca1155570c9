-- The platform's own tables. Source tables and online tables follow from feature_repo/ and are made by
-- `streamflow features apply`.
CREATE SCHEMA IF NOT EXISTS source;
CREATE SCHEMA IF NOT EXISTS features;
CREATE SCHEMA IF NOT EXISTS online;
CREATE SCHEMA IF NOT EXISTS feast;

-- The ledger: one row per drop, never changed. `sequence` numbers the drops of one as-of date.
CREATE TABLE streamflow.drops (
    drop_id     text PRIMARY KEY,
    as_of       timestamptz NOT NULL,
    sequence    integer NOT NULL,
    digest      text NOT NULL,
    loaded_at   timestamptz NOT NULL,
    loaded_by   text NOT NULL,
    origin      text NOT NULL,
    accepted    bigint NOT NULL,
    quarantined bigint NOT NULL,
    UNIQUE (as_of, sequence)
);

CREATE TABLE streamflow.drop_files (
    drop_id     text NOT NULL REFERENCES streamflow.drops,
    table_name  text NOT NULL,
    file        text NOT NULL,
    sha256      text NOT NULL,
    bytes       bigint NOT NULL,
    lines       bigint NOT NULL,
    accepted    bigint NOT NULL,
    quarantined bigint NOT NULL,
    PRIMARY KEY (drop_id, table_name)
);

CREATE TABLE streamflow.quarantine (
    quarantine_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    drop_id       text NOT NULL REFERENCES streamflow.drops,
    table_name    text NOT NULL,
    file          text NOT NULL,
    line          bigint NOT NULL,
    column_name   text,
    reason        text NOT NULL,
    value         text,
    raw           text NOT NULL
);
CREATE INDEX quarantine_by_drop ON streamflow.quarantine (drop_id, table_name, line);

-- One row per feature view and materialization; predict reads the newest as-of per view here.
CREATE TABLE online.materializations (
    materialization_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    feature_view       text NOT NULL,
    window_start       timestamptz NOT NULL,
    window_end         timestamptz NOT NULL,
    newest_as_of       timestamptz,
    rows               bigint NOT NULL,
    materialized_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX materializations_by_view ON online.materializations (feature_view, materialization_id DESC);

-- Every move of an alias, append-only.
CREATE TABLE streamflow.promotions (
    promotion_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    moved_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    moved_by     text NOT NULL,
    model        text NOT NULL,
    alias        text NOT NULL,
    from_version integer,
    to_version   integer,
    action       text NOT NULL CHECK (action IN ('promote', 'rollback')),
    why          text NOT NULL,
    facts        jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX promotions_by_alias ON streamflow.promotions (model, alias, promotion_id DESC);

CREATE FUNCTION streamflow.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER promotions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON streamflow.promotions
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_change();
CREATE TRIGGER drops_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON streamflow.drops
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_change();

-- Batch predictions: all entities of one as-of by one model version.
CREATE TABLE streamflow.scorings (
    scoring_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model       text NOT NULL,
    version     integer NOT NULL,
    fingerprint text NOT NULL,
    as_of       timestamptz NOT NULL,
    known_at    timestamptz NOT NULL,
    scored_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Entities that got no score, by reason.
CREATE TABLE streamflow.scoring_refusals (
    scoring_id  bigint NOT NULL REFERENCES streamflow.scorings,
    reason      text NOT NULL,
    entities    bigint NOT NULL,
    PRIMARY KEY (scoring_id, reason)
);

CREATE TABLE streamflow.scores (
    -- No foreign key: a lookup a row for rows that are only ever written together with their scoring.
    scoring_id  bigint NOT NULL,
    entity      text NOT NULL,
    probability double precision NOT NULL,
    prediction  boolean NOT NULL
);
CREATE INDEX scores_by_entity ON streamflow.scores (entity, scoring_id DESC);

-- Outcomes of jobs: what monitoring and `streamflow status` read.
CREATE TABLE streamflow.job_runs (
    run_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job         text NOT NULL,
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    outcome     text NOT NULL CHECK (outcome IN ('done', 'refused', 'failed')),
    message     text NOT NULL DEFAULT '',
    facts       jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX job_runs_by_job ON streamflow.job_runs (job, run_id DESC);
