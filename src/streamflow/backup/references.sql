-- What the ledger refers to, read from the snapshot of a backup.

-- name: needed
-- Versions that have to be in MLflow: those that an alias stands for, and those whose release is stored. For each: the newest row
-- about it, run and digest of the newest release of that number, and the aliases. An older release of a number is one of a registry
-- that was emptied and counts from 1 again.
WITH named AS (
  SELECT DISTINCT ON (to_version) to_version AS version, promotion_id,
    coalesce(release ->> 'run_id', '') AS run_id, release ->> 'manifest_sha256' AS manifest_sha256
  FROM streamflow.promotions
  WHERE model = :model AND to_version IS NOT NULL AND release ->> 'manifest_sha256' <> ''
  ORDER BY to_version, promotion_id DESC
), aliased AS (
  SELECT version, max(promotion_id) AS promotion_id, string_agg(alias, ', ' ORDER BY alias) AS aliases
  FROM streamflow.current_releases
  WHERE model = :model AND version IS NOT NULL
  GROUP BY version
)
SELECT version, coalesce(a.promotion_id, n.promotion_id), coalesce(n.run_id, ''), coalesce(n.manifest_sha256, ''),
  coalesce(a.aliases, '')
FROM named n FULL JOIN aliased a USING (version)
WHERE a.version IS NOT NULL
  OR EXISTS (SELECT FROM streamflow.releases r WHERE r.manifest_sha256 = n.manifest_sha256)
ORDER BY version;

-- name: trained
-- Digests of the models that were trained here.
SELECT manifest_sha256 FROM streamflow.trained_models WHERE model = :model;

-- name: releases
-- Releases whose files are stored, and their size.
SELECT manifest_sha256, bytes FROM streamflow.releases ORDER BY manifest_sha256;

-- name: pieces
-- The files of all releases, piece by piece.
SELECT manifest_sha256, file, piece, content FROM streamflow.release_pieces ORDER BY manifest_sha256, file, piece;
