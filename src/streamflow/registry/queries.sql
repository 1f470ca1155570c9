-- Statements about the audit trail of promotions: its rows, how far MLflow follows them, and its hash chain.

-- name: rows_of_model
-- Every row about a model, oldest first.
SELECT promotion_id, moved_at, moved_by, model, alias, from_version, to_version, action, why, facts,
  login, recorded_at, intent_id, release, gate, hash
FROM streamflow.promotions
WHERE model = :model
ORDER BY promotion_id;

-- name: append_row
-- Write a row. The database numbers, dates and links it. A row is never dated before the newest one of its model: the
-- database's clock may have been set back.
SELECT promotion_id, moved_at, moved_by, model, alias, from_version, to_version, action, why, facts,
  login, recorded_at, intent_id, release, gate, hash
FROM streamflow.append_promotion(
  :by, :model, :alias, :from_version, :to_version, :action, :why,
  CAST(:facts AS jsonb), CAST(:release AS jsonb), CAST(:gate AS jsonb)
);

-- name: in_line
-- The newest row that MLflow was brought in line with.
SELECT max(promotion_id) FROM streamflow.mlflow_in_line WHERE model = :model;

-- name: set_in_line
-- MLflow shows now what the ledger says up to a row.
INSERT INTO streamflow.mlflow_in_line (model, promotion_id) VALUES (:model, :promotion_id)
ON CONFLICT DO NOTHING;

-- name: knows_row
-- Whether there is a row with this hash, or a restore that names it as lost.
SELECT EXISTS (SELECT FROM streamflow.promotions WHERE promotion_id = :promotion_id AND hash = :hash)
  OR EXISTS (
    SELECT FROM streamflow.promotions
    WHERE action = 'restore' AND (
      :anchor IN (facts ->> 'former_head', facts ->> 'anchor')
      OR facts -> 'lost' @> jsonb_build_array(
        jsonb_build_object('row', CAST(:promotion_id AS bigint), 'hash', CAST(:hash AS text))
      )
    )
  );

-- name: chain
-- The hash chain of all models, oldest row first: its hashes, then the hashed fields as text in the order of
-- streamflow.promotion_hash.
SELECT promotion_id, previous_hash, hash,
  promotion_id::text,
  to_char(moved_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
  to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
  moved_by, login, model, alias, from_version::text, to_version::text, action, why, intent_id::text,
  facts::text, release::text, gate::text
FROM streamflow.promotions p
ORDER BY p.promotion_id;

-- name: ever_promoted
-- Whether an alias of a model ever stood for a version; a row that moves nothing may name it without one.
SELECT EXISTS (
  SELECT FROM streamflow.promotions WHERE model = :model AND alias = :alias AND to_version IS NOT NULL
);
