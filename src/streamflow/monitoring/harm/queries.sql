-- Statements about harm: verdicts, and what follows from them.

-- name: in_production
-- The version in production, and when it was trained.
SELECT c.version, t.trained_at, now() AS now
FROM streamflow.current_releases c
LEFT JOIN streamflow.trained_models t ON t.model = c.model AND t.manifest_sha256 = c.manifest_sha256
WHERE c.model = :model AND c.alias = 'production' AND c.version IS NOT NULL;

-- name: unanswered
-- Newest verdict that a version does harm, unless a training has answered it or a later one.
SELECT h.harm_id, h.basis, h.as_of, h.loss, h.loss_low, h.reference_high, h.tolerance
FROM monitoring.harm h
WHERE h.model = :model AND h.version = :version AND h.verdict = 'harmful' AND h.harm_id > (
  SELECT coalesce(max(CAST(p.facts #>> '{answers_harm, harm_id}' AS bigint)), 0)
  FROM streamflow.promotions p WHERE p.model = :model
)
ORDER BY h.harm_id DESC LIMIT 1;

-- name: verdicts
-- All verdicts on a version, oldest first.
SELECT harm_id, basis, as_of, known_at, drop_id, label_drop_id, position, alpha, rows, loss, loss_low,
  reference_loss, reference_high, tolerance, verdict, why, judged_at
FROM monitoring.harm
WHERE model = :model AND version = :version
ORDER BY harm_id;

-- name: may_judge
-- Whether this login may add verdicts.
SELECT has_table_privilege('monitoring.harm', 'INSERT');

-- name: record
-- Add a verdict, unless somebody else just did.
INSERT INTO monitoring.harm (
  model, version, basis, as_of, known_at, drop_id, label_drop_id, position, alpha, rows,
  loss, loss_low, reference_loss, reference_high, tolerance, verdict, why
) VALUES (
  :model, :version, :basis, :as_of, :known_at, :drop_id, :label_drop_id, :position, :alpha, :rows,
  :loss, :loss_low, :reference_loss, :reference_high, :tolerance, :verdict, :why
)
ON CONFLICT DO NOTHING;
