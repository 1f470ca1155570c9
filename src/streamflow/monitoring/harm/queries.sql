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

-- name: contract
-- Version in production, the digest of its manifest, and its contract; null if its files are not stored.
SELECT c.version, (
  SELECT string_agg(p.content, CAST('' AS bytea) ORDER BY p.piece)
  FROM streamflow.release_pieces p
  WHERE p.manifest_sha256 = c.manifest_sha256 AND p.file = :file
) AS contract
FROM streamflow.current_releases c
WHERE c.model = :model AND c.alias = 'production' AND c.version IS NOT NULL;

-- name: drops
-- The newest drop of each as-of.
SELECT DISTINCT ON (as_of) as_of, drop_id, loaded_at FROM streamflow.drops ORDER BY as_of, loaded_at DESC, sequence DESC;

-- name: scorings
-- The newest scoring of each month by a version, of months after its training set, with the drop that it read.
SELECT DISTINCT ON (s.as_of) s.scoring_id, s.as_of, s.known_at, s.removed_at IS NOT NULL AS removed, (
  SELECT d.drop_id FROM streamflow.drops d
  WHERE d.as_of = s.as_of AND d.loaded_at <= s.known_at
  ORDER BY d.loaded_at DESC, d.sequence DESC LIMIT 1
) AS drop_id
FROM streamflow.scorings s
WHERE s.model = :model AND s.version = :version AND s.fingerprint = :fingerprint AND s.as_of > :after
ORDER BY s.as_of, s.known_at DESC, s.scoring_id DESC;

-- name: verdicts
-- All verdicts on a version, oldest first.
SELECT harm_id, basis, as_of, known_at, drop_id, label_drop_id, position, alpha, rows, loss, loss_low,
  reference_loss, reference_high, tolerance, verdict, why, judged_at
FROM monitoring.harm
WHERE model = :model AND version = :version
ORDER BY harm_id;

-- name: may_record
-- Whether this login may add verdicts.
SELECT has_table_privilege('monitoring.harm', 'INSERT');

-- name: record
-- A verdict, unless somebody else has just recorded it; then no row is returned.
INSERT INTO monitoring.harm (
  model, version, basis, as_of, known_at, drop_id, label_drop_id, position, alpha, rows,
  loss, loss_low, reference_loss, reference_high, tolerance, verdict, why
) VALUES (
  :model, :version, :basis, :as_of, :known_at, :drop_id, :label_drop_id, :position, :alpha, :rows,
  :loss, :loss_low, :reference_loss, :reference_high, :tolerance, :verdict, :why
)
ON CONFLICT DO NOTHING
RETURNING harm_id;
