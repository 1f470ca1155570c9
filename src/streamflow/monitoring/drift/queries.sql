-- Statements about drift: what is compared, and the verdicts.

-- name: in_production
-- Version in production, and its contract; null if its files are not stored.
SELECT c.version, (
  SELECT string_agg(p.content, CAST('' AS bytea) ORDER BY p.piece)
  FROM streamflow.release_pieces p
  WHERE p.manifest_sha256 = c.manifest_sha256 AND p.file = :file
) AS contract
FROM streamflow.current_releases c
WHERE c.model = :model AND c.alias = :alias AND c.version IS NOT NULL;

-- name: newest_drop
-- Newest drop of an as-of, by default of the newest one, among those that were loaded up to a known-at.
SELECT d.drop_id, d.as_of, d.loaded_at
FROM streamflow.drops d
WHERE d.loaded_at <= :known_at
  AND (CAST(:as_of AS timestamptz) IS NULL OR d.as_of = CAST(:as_of AS timestamptz))
ORDER BY d.as_of DESC, d.sequence DESC LIMIT 1;

-- name: corrected
-- Whether more than one drop of an as-of was loaded up to a known-at.
SELECT count(*) > 1 FROM streamflow.drops d WHERE d.as_of = :as_of AND d.loaded_at <= :known_at;

-- name: newest_scoring
-- Newest scoring of a month by a version, of the month's newest drop, whose scores are kept.
SELECT s.scoring_id
FROM streamflow.scorings s
WHERE s.model = :model AND s.version = :version AND s.fingerprint = :fingerprint AND s.as_of = :as_of
  AND s.known_at >= :loaded_at AND s.removed_at IS NULL
ORDER BY s.scoring_id DESC LIMIT 1;

-- name: scores
-- Number of scores of a scoring in each of some bins of equal width.
SELECT least(CAST(floor(s.probability * :bins) AS integer), :bins - 1) AS bin, count(*) AS rows
FROM streamflow.scores s
WHERE s.scoring_id = :scoring_id
GROUP BY 1 ORDER BY 1;

-- name: may_record
-- Whether this login may add verdicts.
SELECT has_table_privilege('monitoring.drift', 'INSERT');

-- name: next_position
-- Position of the next verdict on a version.
SELECT coalesce(max(d.position), 0) + 1 FROM monitoring.drift d WHERE d.model = :model AND d.version = :version;

-- name: recorded
-- Verdict on a month and its drop, if there is one.
SELECT d.drift_id, d.position, d.alpha, d.verdict, d.why, d.known_at, d.rows, d.reference_rows
FROM monitoring.drift d
WHERE d.model = :model AND d.version = :version AND d.as_of = :as_of AND d.drop_id = :drop_id;

-- name: recorded_features
-- Features of a verdict, by name.
SELECT f.name, f.outcome, f.p_value, f.effect, f.smallest_detectable, f.psi, f.psi_without_drift, f.kind, f.alpha,
  f.rows, f.reference_rows, f.detail
FROM monitoring.drift_features f
WHERE f.drift_id = :drift_id
ORDER BY f.name;

-- name: record
-- A verdict.
INSERT INTO monitoring.drift (
  model, version, as_of, known_at, drop_id, position, alpha, verdict, why, rows,
  reference_as_of, reference_known_at, reference_rows
) VALUES (
  :model, :version, :as_of, :known_at, :drop_id, :position, :alpha, :verdict, :why, :rows,
  :reference_as_of, :reference_known_at, :reference_rows
) RETURNING drift_id;

-- name: record_feature
-- A feature of a verdict.
INSERT INTO monitoring.drift_features (
  drift_id, name, kind, outcome, p_value, alpha, effect, smallest_detectable, psi, psi_without_drift,
  rows, reference_rows, detail
) VALUES (
  :drift_id, :name, :kind, :outcome, :p_value, :alpha, :effect, :smallest_detectable, :psi, :psi_without_drift,
  :rows, :reference_rows, CAST(:detail AS jsonb)
);
