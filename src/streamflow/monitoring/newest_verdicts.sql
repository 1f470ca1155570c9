-- Statements that read the newest verdicts on drift, quality and harm. Of a month that was judged more than once, the newest
-- verdict counts.

-- name: newest_drift
-- Verdict on the drift of the newest month.
SELECT drift_id, version, verdict, as_of, judged_at
FROM monitoring.drift
WHERE model = :model
ORDER BY as_of DESC, drift_id DESC
LIMIT 1;

-- name: feature_outcomes
-- Number of features of a verdict by outcome.
SELECT outcome, count(*) AS features
FROM monitoring.drift_features
WHERE drift_id = :drift_id
GROUP BY outcome;

-- name: largest_effects
-- Features of a verdict: those that drifted first, then those with the largest effects.
SELECT name, psi, psi_without_drift, effect
FROM monitoring.drift_features
WHERE drift_id = :drift_id
ORDER BY outcome = 'drifted' DESC, abs(effect) DESC NULLS LAST, name
LIMIT :most;

-- name: newest_quality
-- Estimated and realized quality, each of the newest month that has a row, for every version that was judged on it.
SELECT DISTINCT ON (basis, version)
  basis, version, as_of, auc, auc_low, auc_high, log_loss, log_loss_low, log_loss_high, brier, brier_low, brier_high,
  "precision", recall, f1
FROM monitoring.quality AS q
WHERE model = :model
  AND as_of = (SELECT max(as_of) FROM monitoring.quality AS n WHERE n.model = q.model AND n.basis = q.basis)
ORDER BY basis, version, quality_id DESC;

-- name: estimate_errors
-- Estimated minus realized AUC of the newest month that has both, with the ends that the interval of the realized AUC gives it.
WITH newest AS (
  SELECT DISTINCT ON (version, as_of, basis) version, as_of, basis, auc, auc_low, auc_high
  FROM monitoring.quality
  WHERE model = :model
  ORDER BY version, as_of, basis, quality_id DESC
), compared AS (
  SELECT version, as_of, e.auc - r.auc AS error, e.auc - r.auc_high AS low, e.auc - r.auc_low AS high
  FROM newest AS e JOIN newest AS r USING (version, as_of)
  WHERE e.basis = 'estimated' AND r.basis = 'realized' AND e.auc IS NOT NULL AND r.auc IS NOT NULL
)
SELECT version, error, low, high
FROM compared
WHERE as_of = (SELECT max(as_of) FROM compared);

-- name: harm
-- Whether harm has been shown for each version that was judged, since which month, and the newest month with a verdict. Harm that
-- was estimated no longer counts once the labels of its month do not show it.
WITH newest AS (
  SELECT DISTINCT ON (version, basis, as_of) version, basis, as_of, verdict
  FROM monitoring.harm
  WHERE model = :model
  ORDER BY version, basis, as_of, harm_id DESC
), judged AS (
  SELECT version, basis, as_of, verdict = 'harmful' AND NOT (
    basis = 'estimated' AND EXISTS (
      SELECT FROM newest AS r
      WHERE r.version = n.version AND r.as_of = n.as_of AND r.basis = 'realized' AND r.verdict = 'not_shown'
    )
  ) AS harmful
  FROM newest AS n
  WHERE verdict IN ('harmful', 'not_shown')
)
SELECT version, basis, bool_or(harmful) AS harmful, min(as_of) FILTER (WHERE harmful) AS since, max(as_of) AS as_of
FROM judged
GROUP BY version, basis;

-- name: judged_last
-- Version that was judged on the newest month.
SELECT version FROM monitoring.latest WHERE model = :model;

-- name: quality_now
-- AUC of a version in its newest month that has one: realized, or else estimated.
SELECT basis, as_of, auc, auc_low AS low, auc_high AS high
FROM monitoring.quality
WHERE model = :model AND version = :version AND auc IS NOT NULL
ORDER BY as_of DESC, basis = 'realized' DESC, quality_id DESC
LIMIT 1;

-- name: drifted_since
-- First month since which a version's features have drifted in every month that could be judged; null if they have not in the newest.
WITH newest AS (
  SELECT DISTINCT ON (as_of) as_of, verdict
  FROM monitoring.drift
  WHERE model = :model AND version = :version
  ORDER BY as_of, drift_id DESC
)
SELECT min(as_of) FROM newest
WHERE verdict = 'drifted'
  AND as_of > coalesce((SELECT max(as_of) FROM newest WHERE verdict = 'stable'), '-infinity');
