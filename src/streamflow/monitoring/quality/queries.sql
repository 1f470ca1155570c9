-- Statements about the quality of the scores that were given.

-- name: loaded
-- All drops that were loaded by a time; without one, all drops.
SELECT as_of, drop_id, loaded_at
FROM streamflow.drops
WHERE loaded_at <= coalesce(CAST(:known_at AS timestamptz), 'infinity')
ORDER BY as_of, loaded_at, sequence;

-- name: scorings
-- The newest scoring of each version, month and drop whose scores are kept.
SELECT DISTINCT ON (version, as_of, drop_id) scoring_id, version, fingerprint, as_of, known_at, drop_id
FROM (
  SELECT s.scoring_id, s.version, s.fingerprint, s.as_of, s.known_at, (
    SELECT d.drop_id FROM streamflow.drops d
    WHERE d.as_of = s.as_of AND d.loaded_at <= s.known_at
    ORDER BY d.loaded_at DESC, d.sequence DESC LIMIT 1
  ) AS drop_id
  FROM streamflow.scorings s
  WHERE s.model = :model AND s.removed_at IS NULL
) AS each_scoring
WHERE drop_id IS NOT NULL
ORDER BY version, as_of, drop_id, scoring_id DESC;

-- name: scored_months
-- As-of of all scorings of a model, also of those whose scores are no longer kept.
SELECT DISTINCT as_of FROM streamflow.scorings WHERE model = :model;

-- name: logged_versions
-- Versions that answered with values of a drop, within a time.
SELECT DISTINCT version
FROM streamflow.predictions
WHERE model = :model AND loaded_at = ANY(:loaded) AND answered_at >= :first AND answered_at < :last
ORDER BY version;

-- name: contracts
-- Contract of the newest release of each version whose files are stored.
SELECT DISTINCT ON (p.to_version) p.to_version AS version, r.manifest_sha256, (
  SELECT string_agg(piece.content, CAST('' AS bytea) ORDER BY piece.piece)
  FROM streamflow.release_pieces piece
  WHERE piece.manifest_sha256 = r.manifest_sha256 AND piece.file = :file
) AS contract
FROM streamflow.promotions p JOIN streamflow.releases r ON r.manifest_sha256 = p.release ->> 'manifest_sha256'
WHERE p.model = :model AND p.to_version = ANY(:versions)
ORDER BY p.to_version, p.promotion_id DESC;

-- name: judged
-- What was judged already.
SELECT version, basis, as_of, drop_id, label_drop_id FROM monitoring.quality WHERE model = :model;

-- name: may_judge
-- Whether this login may add rows.
SELECT has_table_privilege('monitoring.quality', 'INSERT');

-- name: record
-- Add the figures of a month, unless somebody else just did.
INSERT INTO monitoring.quality (
  model, version, basis, as_of, label_as_of, known_at, drop_id, label_drop_id, rows, positives, threshold,
  auc, auc_low, auc_high, log_loss, log_loss_low, log_loss_high, brier, brier_low, brier_high,
  "precision", recall, f1, profit, detail
) VALUES (
  :model, :version, :basis, :as_of, :label_as_of, :known_at, :drop_id, :label_drop_id, :rows, :positives, :threshold,
  :auc, :auc_low, :auc_high, :log_loss, :log_loss_low, :log_loss_high, :brier, :brier_low, :brier_high,
  :precision, :recall, :f1, :profit, CAST(:detail AS jsonb)
)
ON CONFLICT DO NOTHING;

-- name: newest_figures
-- Of each month, version and basis the figures that were recorded last.
SELECT DISTINCT ON (as_of, version, basis) *
FROM monitoring.quality
WHERE model = :model
ORDER BY as_of, version, basis, quality_id DESC;
