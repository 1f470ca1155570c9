-- Statements about promotions that were asked for over the API.

-- name: ask
-- A new request. Returns no row if the same key was used before.
INSERT INTO streamflow.promotion_requests (model, alias, version, why, asked_by, idempotency_key)
VALUES (:model, :alias, :version, :why, :asked_by, :idempotency_key)
ON CONFLICT (model, asked_by, idempotency_key) DO NOTHING
RETURNING id;

-- name: by_key
-- The request that was made with a key before.
SELECT id FROM streamflow.promotion_requests
WHERE model = :model AND asked_by = :asked_by AND idempotency_key = :idempotency_key;

-- name: find
-- A request with its answer.
SELECT r.id::text, r.model, r.alias, r.version, r.why, r.asked_by, r.asked_at, r.answered_at, r.promotion_id, r.refused,
  coalesce(p.gate, '{}') AS gate
FROM streamflow.promotion_requests r LEFT JOIN streamflow.promotions p USING (promotion_id)
WHERE r.model = :model AND r.id = CAST(:id AS uuid);

-- name: open
-- The requests that wait for an answer, oldest first.
SELECT id::text, model, alias, version, why, asked_by, asked_at, answered_at, promotion_id, refused, CAST('{}' AS jsonb) AS gate
FROM streamflow.promotion_requests
WHERE model = :model AND answered_at IS NULL
ORDER BY asked_at, id;

-- name: count_open
-- How many requests wait for an answer.
SELECT count(*) FROM streamflow.promotion_requests WHERE model = :model AND answered_at IS NULL;
