-- Statements that look up what was answered, and from what, at a past moment.

-- name: newest_answer
-- The newest logged answer about an entity up to a moment.
SELECT answered_at, request_id, version, alias, probability
FROM streamflow.predictions
WHERE entity = :entity AND model = :model AND answered_at <= :moment
ORDER BY answered_at DESC
LIMIT 1;

-- name: newest_as_of
-- The newest event timestamp that was materialized and visible for a feature view at a moment.
SELECT newest_as_of
FROM online.materializations
WHERE feature_view = :view AND visible_at <= :moment AND newest_as_of IS NOT NULL
ORDER BY materialization_id DESC
LIMIT 1;
