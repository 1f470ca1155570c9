-- Statements of the report of a month: verdicts of the schema monitoring that were given up to a time.

-- name: judged_month
-- The newest month between two dates in which a version of the model was judged, and the version that was judged last.
SELECT version, as_of
FROM (
  SELECT version, as_of, judged_at FROM monitoring.drift WHERE model = :model
  UNION ALL SELECT version, as_of, judged_at FROM monitoring.quality WHERE model = :model
  UNION ALL SELECT version, as_of, judged_at FROM monitoring.harm WHERE model = :model
) AS judged
WHERE as_of BETWEEN :first AND :last AND judged_at <= :known_at
ORDER BY as_of DESC, judged_at DESC
LIMIT 1;

-- name: judged_months
-- The newest months in which the model was judged.
SELECT DISTINCT as_of
FROM (
  SELECT as_of FROM monitoring.drift WHERE model = :model AND judged_at <= :known_at
  UNION ALL SELECT as_of FROM monitoring.quality WHERE model = :model AND judged_at <= :known_at
  UNION ALL SELECT as_of FROM monitoring.harm WHERE model = :model AND judged_at <= :known_at
) AS judged
ORDER BY as_of DESC
LIMIT 6;

-- name: drifts
-- Verdicts on drift of a version up to a month.
SELECT drift_id, as_of, known_at, drop_id, position, alpha, verdict, why, rows, reference_as_of, reference_known_at,
  reference_rows, judged_at
FROM monitoring.drift
WHERE model = :model AND version = :version AND as_of <= :as_of AND judged_at <= :known_at
ORDER BY drift_id;

-- name: features
-- Features of a verdict on drift.
SELECT name, kind, outcome, p_value, alpha, effect, smallest_detectable, psi, psi_without_drift, rows, reference_rows, detail
FROM monitoring.drift_features
WHERE drift_id = :drift_id
ORDER BY name;

-- name: drifted_features
-- Features that drifted by each of some verdicts.
SELECT drift_id, name
FROM monitoring.drift_features
WHERE drift_id = ANY(CAST(:drift_ids AS bigint[])) AND outcome = 'drifted';

-- name: qualities
-- The newest row of each version, month and basis up to a month.
SELECT DISTINCT ON (as_of, version, basis)
  version, basis, as_of, label_as_of, known_at, drop_id, label_drop_id, rows, positives, threshold, auc, auc_low, auc_high,
  log_loss, log_loss_low, log_loss_high, brier, brier_low, brier_high, "precision", recall, f1, profit, detail, judged_at
FROM monitoring.quality
WHERE model = :model AND as_of <= :as_of AND judged_at <= :known_at
ORDER BY as_of, version, basis, quality_id DESC;

-- name: harms
-- The newest verdict on harm of each month and basis of a version up to a month.
SELECT DISTINCT ON (as_of, basis)
  basis, as_of, known_at, drop_id, label_drop_id, position, alpha, rows, loss, loss_low, reference_loss, reference_high,
  tolerance, verdict, why, judged_at
FROM monitoring.harm
WHERE model = :model AND version = :version AND as_of <= :as_of AND judged_at <= :known_at
ORDER BY as_of, basis, harm_id DESC;
