-- Verdicts of monitoring: drift of the inputs, quality before and after labels, and harm. Append-only: a month that is
-- judged again, because its drop was corrected, gets a row of its own beside the first.
CREATE SCHEMA IF NOT EXISTS monitoring;

-- The scores of a scoring lie together, so that a small index finds them; the other one is by entity.
CREATE INDEX scores_by_scoring ON streamflow.scores USING brin (scoring_id) WITH (autosummarize = on);

CREATE TABLE monitoring.drift (
    drift_id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model              text NOT NULL,
    version            integer NOT NULL,
    as_of              timestamptz NOT NULL,
    known_at           timestamptz NOT NULL,
    drop_id            text NOT NULL,
    position           integer NOT NULL CHECK (position > 0),
    alpha              double precision NOT NULL,
    verdict            text NOT NULL CHECK (verdict IN ('stable', 'drifted', 'too_few_rows', 'no_data')),
    why                text NOT NULL DEFAULT '',
    rows               bigint NOT NULL,
    reference_as_of    timestamptz NOT NULL,
    reference_known_at timestamptz NOT NULL,
    reference_rows     bigint NOT NULL,
    judged_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    login              text NOT NULL DEFAULT session_user,
    UNIQUE (model, version, as_of, drop_id),
    -- Two verdicts of one position would spend its error rate twice.
    UNIQUE (model, version, position)
);

CREATE TABLE monitoring.drift_features (
    drift_id            bigint NOT NULL REFERENCES monitoring.drift,
    name                text NOT NULL,
    kind                text NOT NULL,
    outcome             text NOT NULL CHECK (outcome IN ('stable', 'drifted', 'too_few_rows', 'no_data')),
    p_value             double precision,
    alpha               double precision NOT NULL,
    effect              double precision,
    smallest_detectable double precision,
    psi                 double precision,
    psi_without_drift   double precision,
    rows                bigint NOT NULL,
    reference_rows      bigint NOT NULL,
    detail              jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (drift_id, name)
);

CREATE TABLE monitoring.quality (
    quality_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model          text NOT NULL,
    version        integer NOT NULL,
    basis          text NOT NULL CHECK (basis IN ('estimated', 'realized')),
    as_of          timestamptz NOT NULL,
    label_as_of    timestamptz,
    known_at       timestamptz NOT NULL,
    drop_id        text NOT NULL,
    label_drop_id  text NOT NULL DEFAULT '',
    rows           bigint NOT NULL,
    positives      bigint,
    threshold      double precision NOT NULL,
    auc            double precision,
    auc_low        double precision,
    auc_high       double precision,
    log_loss       double precision,
    log_loss_low   double precision,
    log_loss_high  double precision,
    brier          double precision,
    brier_low      double precision,
    brier_high     double precision,
    "precision"    double precision,
    recall         double precision,
    f1             double precision,
    profit         double precision,
    detail         jsonb NOT NULL DEFAULT '{}',
    judged_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    login          text NOT NULL DEFAULT session_user,
    UNIQUE (model, version, basis, as_of, drop_id, label_drop_id)
);

CREATE TABLE monitoring.harm (
    harm_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model          text NOT NULL,
    version        integer NOT NULL,
    basis          text NOT NULL CHECK (basis IN ('estimated', 'realized')),
    as_of          timestamptz NOT NULL,
    known_at       timestamptz NOT NULL,
    drop_id        text NOT NULL,
    label_drop_id  text NOT NULL DEFAULT '',
    position       integer NOT NULL CHECK (position > 0),
    alpha          double precision NOT NULL,
    rows           bigint NOT NULL,
    loss           double precision,
    loss_low       double precision,
    reference_loss double precision,
    reference_high double precision,
    tolerance      double precision NOT NULL,
    verdict        text NOT NULL CHECK (verdict IN ('harmful', 'not_shown', 'too_few_rows', 'no_data')),
    why            text NOT NULL DEFAULT '',
    judged_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    login          text NOT NULL DEFAULT session_user,
    UNIQUE (model, version, basis, as_of, drop_id, label_drop_id),
    UNIQUE (model, version, basis, position)
);

CREATE TRIGGER drift_signed BEFORE INSERT ON monitoring.drift
    FOR EACH ROW EXECUTE FUNCTION streamflow.sign_row('judged_at', 'login', 'drift_id');
CREATE TRIGGER drift_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON monitoring.drift
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_unless_erasing();
CREATE TRIGGER drift_features_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON monitoring.drift_features
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_unless_erasing();
CREATE TRIGGER quality_signed BEFORE INSERT ON monitoring.quality
    FOR EACH ROW EXECUTE FUNCTION streamflow.sign_row('judged_at', 'login', 'quality_id');
CREATE TRIGGER quality_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON monitoring.quality
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_unless_erasing();
CREATE TRIGGER harm_signed BEFORE INSERT ON monitoring.harm
    FOR EACH ROW EXECUTE FUNCTION streamflow.sign_row('judged_at', 'login', 'harm_id');
CREATE TRIGGER harm_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON monitoring.harm
    FOR EACH STATEMENT EXECUTE FUNCTION streamflow.refuse_unless_erasing();

-- One row for each model: the newest month that was judged, by the version that was judged last. Of a month that was
-- judged more than once, the newest verdict.
CREATE VIEW monitoring.latest AS
WITH months AS (
    SELECT model, version, as_of, judged_at FROM monitoring.drift
    UNION ALL SELECT model, version, as_of, judged_at FROM monitoring.quality
    UNION ALL SELECT model, version, as_of, judged_at FROM monitoring.harm
), newest AS (
    SELECT DISTINCT ON (model) model, version, as_of FROM months ORDER BY model, as_of DESC, judged_at DESC
)
SELECT
    newest.model,
    newest.version,
    newest.as_of,
    drift.verdict AS drift,
    drift.drifted,
    estimated.auc AS estimated_auc,
    estimated.auc_low AS estimated_auc_low,
    estimated.auc_high AS estimated_auc_high,
    realized.auc AS realized_auc,
    realized.auc_low AS realized_auc_low,
    realized.auc_high AS realized_auc_high,
    (
        SELECT string_agg(DISTINCT h.basis, ', ') FROM monitoring.harm h
        WHERE h.model = newest.model AND h.version = newest.version AND h.verdict = 'harmful'
    ) AS harm_shown
FROM newest
LEFT JOIN LATERAL (
    SELECT d.verdict, (
        SELECT array_agg(f.name ORDER BY f.name) FROM monitoring.drift_features f
        WHERE f.drift_id = d.drift_id AND f.outcome = 'drifted'
    ) AS drifted
    FROM monitoring.drift d
    WHERE d.model = newest.model AND d.version = newest.version AND d.as_of = newest.as_of
    ORDER BY d.drift_id DESC LIMIT 1
) drift ON true
LEFT JOIN LATERAL (
    SELECT q.auc, q.auc_low, q.auc_high FROM monitoring.quality q
    WHERE q.model = newest.model AND q.version = newest.version AND q.as_of = newest.as_of AND q.basis = 'estimated'
    ORDER BY q.quality_id DESC LIMIT 1
) estimated ON true
LEFT JOIN LATERAL (
    SELECT q.auc, q.auc_low, q.auc_high FROM monitoring.quality q
    WHERE q.model = newest.model AND q.version = newest.version AND q.as_of = newest.as_of AND q.basis = 'realized'
    ORDER BY q.quality_id DESC LIMIT 1
) realized ON true;

COMMENT ON SCHEMA monitoring IS 'Verdicts on the model in production: drift, quality and harm.';

COMMENT ON TABLE monitoring.drift IS
    'Whether the features of a month differ from those of the training set: one row per month and version, append-only.';
COMMENT ON COLUMN monitoring.drift.drift_id IS 'Number of the verdict.';
COMMENT ON COLUMN monitoring.drift.model IS 'Registered model in MLflow.';
COMMENT ON COLUMN monitoring.drift.version IS 'Version in production at the time.';
COMMENT ON COLUMN monitoring.drift.as_of IS 'Month that was judged.';
COMMENT ON COLUMN monitoring.drift.known_at IS 'Load time up to which rows were read.';
COMMENT ON COLUMN monitoring.drift.drop_id IS 'Newest drop of the month that was read.';
COMMENT ON COLUMN monitoring.drift.position IS 'Number of the verdict among those of the version, from 1.';
COMMENT ON COLUMN monitoring.drift.alpha IS 'Error rate that the verdict spends, over all its tests.';
COMMENT ON COLUMN monitoring.drift.verdict IS 'stable, drifted, too_few_rows or no_data.';
COMMENT ON COLUMN monitoring.drift.why IS 'Why there is no data; empty otherwise.';
COMMENT ON COLUMN monitoring.drift.rows IS 'Rows of the month.';
COMMENT ON COLUMN monitoring.drift.reference_as_of IS 'As-of of the version''s training set.';
COMMENT ON COLUMN monitoring.drift.reference_known_at IS 'Known-at of the version''s training set.';
COMMENT ON COLUMN monitoring.drift.reference_rows IS 'Rows of the reference.';
COMMENT ON COLUMN monitoring.drift.judged_at IS 'Time of the row, entered by the database.';
COMMENT ON COLUMN monitoring.drift.login IS 'Login that wrote the row, entered by the database.';

COMMENT ON TABLE monitoring.drift_features IS 'Drift of each feature and of the score, append-only.';
COMMENT ON COLUMN monitoring.drift_features.drift_id IS 'Verdict.';
COMMENT ON COLUMN monitoring.drift_features.name IS 'Feature, or score.';
COMMENT ON COLUMN monitoring.drift_features.kind IS 'How it was compared: number or category.';
COMMENT ON COLUMN monitoring.drift_features.outcome IS 'stable, drifted, too_few_rows or no_data.';
COMMENT ON COLUMN monitoring.drift_features.p_value IS 'Chance of such a difference without drift.';
COMMENT ON COLUMN monitoring.drift_features.alpha IS 'Limit below which the p-value counts.';
COMMENT ON COLUMN monitoring.drift_features.effect IS
    'Size of the difference: standard deviations of the reference, or share.';
COMMENT ON COLUMN monitoring.drift_features.smallest_detectable IS
    'Smallest shift that the month would have shown in 95 of 100 cases.';
COMMENT ON COLUMN monitoring.drift_features.psi IS 'Population stability index.';
COMMENT ON COLUMN monitoring.drift_features.psi_without_drift IS
    'Its expected value at these numbers of rows without drift.';
COMMENT ON COLUMN monitoring.drift_features.rows IS 'Values of the month.';
COMMENT ON COLUMN monitoring.drift_features.reference_rows IS 'Values of the reference.';
COMMENT ON COLUMN monitoring.drift_features.detail IS 'Both distributions in bins, and the test of absence.';

COMMENT ON TABLE monitoring.quality IS
    'Quality of the scores of a month, estimated before its labels or computed from them, append-only.';
COMMENT ON COLUMN monitoring.quality.quality_id IS 'Number of the row.';
COMMENT ON COLUMN monitoring.quality.model IS 'Registered model in MLflow.';
COMMENT ON COLUMN monitoring.quality.version IS 'Version that scored.';
COMMENT ON COLUMN monitoring.quality.basis IS 'estimated (from the scores alone) or realized (from labels).';
COMMENT ON COLUMN monitoring.quality.as_of IS 'As-of of the scores.';
COMMENT ON COLUMN monitoring.quality.label_as_of IS 'As-of of the labels; null without labels.';
COMMENT ON COLUMN monitoring.quality.known_at IS 'Load time up to which rows were read.';
COMMENT ON COLUMN monitoring.quality.drop_id IS 'Newest drop of the scored month.';
COMMENT ON COLUMN monitoring.quality.label_drop_id IS 'Newest drop of the labels; empty without labels.';
COMMENT ON COLUMN monitoring.quality.rows IS 'Scores that were used.';
COMMENT ON COLUMN monitoring.quality.positives IS 'Rows whose label is true; null without labels.';
COMMENT ON COLUMN monitoring.quality.threshold IS 'Threshold of the version.';
COMMENT ON COLUMN monitoring.quality.auc IS 'Area under the ROC curve.';
COMMENT ON COLUMN monitoring.quality.auc_low IS 'Lower end of its 95 % interval.';
COMMENT ON COLUMN monitoring.quality.auc_high IS 'Upper end of its 95 % interval.';
COMMENT ON COLUMN monitoring.quality.log_loss IS 'Logarithmic loss.';
COMMENT ON COLUMN monitoring.quality.log_loss_low IS 'Lower end of its 95 % interval.';
COMMENT ON COLUMN monitoring.quality.log_loss_high IS 'Upper end of its 95 % interval.';
COMMENT ON COLUMN monitoring.quality.brier IS 'Brier score: mean squared error of the probability.';
COMMENT ON COLUMN monitoring.quality.brier_low IS 'Lower end of its 95 % interval.';
COMMENT ON COLUMN monitoring.quality.brier_high IS 'Upper end of its 95 % interval.';
COMMENT ON COLUMN monitoring.quality."precision" IS 'Share of positive predictions that are right.';
COMMENT ON COLUMN monitoring.quality.recall IS 'Share of positive labels that are found.';
COMMENT ON COLUMN monitoring.quality.f1 IS 'Harmonic mean of precision and recall.';
COMMENT ON COLUMN monitoring.quality.profit IS
    'Value of true positives minus cost of false positives; null unless both are set.';
COMMENT ON COLUMN monitoring.quality.detail IS
    'Calibration curve, slices, where the scores come from, and why a figure is null.';
COMMENT ON COLUMN monitoring.quality.judged_at IS 'Time of the row, entered by the database.';
COMMENT ON COLUMN monitoring.quality.login IS 'Login that wrote the row, entered by the database.';

COMMENT ON TABLE monitoring.harm IS
    'Whether a version''s loss exceeds that on its holdout by more than the tolerance, append-only.';
COMMENT ON COLUMN monitoring.harm.harm_id IS 'Number of the verdict.';
COMMENT ON COLUMN monitoring.harm.model IS 'Registered model in MLflow.';
COMMENT ON COLUMN monitoring.harm.version IS 'Version that scored.';
COMMENT ON COLUMN monitoring.harm.basis IS 'estimated (from the scores alone) or realized (from labels).';
COMMENT ON COLUMN monitoring.harm.as_of IS 'As-of of the scores.';
COMMENT ON COLUMN monitoring.harm.known_at IS 'Load time up to which rows were read.';
COMMENT ON COLUMN monitoring.harm.drop_id IS 'Newest drop of the scored month.';
COMMENT ON COLUMN monitoring.harm.label_drop_id IS 'Newest drop of the labels; empty without labels.';
COMMENT ON COLUMN monitoring.harm.position IS 'Number of the verdict among those of the version and basis, from 1.';
COMMENT ON COLUMN monitoring.harm.alpha IS 'Error rate that the verdict spends.';
COMMENT ON COLUMN monitoring.harm.rows IS 'Scores that were used.';
COMMENT ON COLUMN monitoring.harm.loss IS 'Mean Brier loss of the month.';
COMMENT ON COLUMN monitoring.harm.loss_low IS 'Lower confidence bound of that loss.';
COMMENT ON COLUMN monitoring.harm.reference_loss IS 'Mean Brier loss on the holdout.';
COMMENT ON COLUMN monitoring.harm.reference_high IS 'Upper confidence bound of that loss.';
COMMENT ON COLUMN monitoring.harm.tolerance IS 'Increase of the loss that is tolerated.';
COMMENT ON COLUMN monitoring.harm.verdict IS 'harmful, not_shown, too_few_rows or no_data.';
COMMENT ON COLUMN monitoring.harm.why IS 'Why there is no data; empty otherwise.';
COMMENT ON COLUMN monitoring.harm.judged_at IS 'Time of the row, entered by the database.';
COMMENT ON COLUMN monitoring.harm.login IS 'Login that wrote the row, entered by the database.';

COMMENT ON VIEW monitoring.latest IS 'What was judged last: one row per model.';
COMMENT ON COLUMN monitoring.latest.model IS 'Registered model in MLflow.';
COMMENT ON COLUMN monitoring.latest.version IS 'Version that was judged.';
COMMENT ON COLUMN monitoring.latest.as_of IS 'Newest month that was judged.';
COMMENT ON COLUMN monitoring.latest.drift IS 'Verdict on its drift.';
COMMENT ON COLUMN monitoring.latest.drifted IS 'Features that drifted; null for none.';
COMMENT ON COLUMN monitoring.latest.estimated_auc IS 'AUC estimated without labels.';
COMMENT ON COLUMN monitoring.latest.estimated_auc_low IS 'Lower end of its 95 % interval.';
COMMENT ON COLUMN monitoring.latest.estimated_auc_high IS 'Upper end of its 95 % interval.';
COMMENT ON COLUMN monitoring.latest.realized_auc IS 'AUC computed from labels.';
COMMENT ON COLUMN monitoring.latest.realized_auc_low IS 'Lower end of its 95 % interval.';
COMMENT ON COLUMN monitoring.latest.realized_auc_high IS 'Upper end of its 95 % interval.';
COMMENT ON COLUMN monitoring.latest.harm_shown IS 'Bases on which the version was ever shown to harm; null for none.';
