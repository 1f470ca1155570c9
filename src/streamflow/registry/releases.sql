-- Statements about the models that were trained here, and about the files of releases.

-- name: record_trained
-- A model that was trained here.
INSERT INTO streamflow.trained_models (model, manifest_sha256, run_id, split_digest)
VALUES (:model, :manifest_sha256, :run_id, :split_digest)
ON CONFLICT DO NOTHING;

-- name: was_trained
-- Whether a model was trained here.
SELECT EXISTS (
  SELECT FROM streamflow.trained_models WHERE model = :model AND manifest_sha256 = :manifest_sha256
);

-- name: split_of
-- Digest of a trained model's split into training rows and holdout; "" if it was not recorded.
SELECT split_digest FROM streamflow.trained_models WHERE model = :model AND manifest_sha256 = :manifest_sha256;

-- name: store
-- A release; its pieces follow in the same transaction. Returns no row if it is there already.
INSERT INTO streamflow.releases (manifest_sha256, bytes) VALUES (:manifest_sha256, :bytes)
ON CONFLICT DO NOTHING
RETURNING 1;

-- name: store_piece
-- A piece of a file of a release.
INSERT INTO streamflow.release_pieces (manifest_sha256, file, piece, content)
VALUES (:manifest_sha256, :file, :piece, :content);

-- name: pieces
-- The files of a release, piece by piece.
SELECT file, content FROM streamflow.release_pieces WHERE manifest_sha256 = :manifest_sha256 ORDER BY file, piece;

-- name: current
-- The release that an alias stands for.
SELECT version, coalesce(manifest_sha256, '')
FROM streamflow.current_releases
WHERE model = :model AND alias = :alias AND version IS NOT NULL;

-- name: missing
-- Releases whose files should be stored and are not: those that an alias stands for, and the former one in production.
SELECT DISTINCT p.to_version, p.release ->> 'manifest_sha256'
FROM streamflow.promotions p
WHERE p.model = :model AND p.release ->> 'manifest_sha256' ~ '^[0-9a-f]{64}$'
  AND p.promotion_id IN (
    SELECT max(q.promotion_id) FROM streamflow.promotions q
    WHERE q.model = :model AND q.release ->> 'manifest_sha256' <> ''
      AND q.to_version = ANY(CAST(:versions AS integer[]))
    GROUP BY q.to_version
  )
  AND NOT EXISTS (
    SELECT FROM streamflow.releases r WHERE r.manifest_sha256 = p.release ->> 'manifest_sha256'
  );

-- name: forget
-- Delete the files of releases that nobody will ask for.
SELECT streamflow.keep_releases(:keep);
