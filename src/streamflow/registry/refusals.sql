-- Statements about checks of releases, and how they ended.

-- name: record
-- How far a check is.
INSERT INTO streamflow.release_checks (model, manifest_sha256, outcome, why)
VALUES (:model, :manifest_sha256, :outcome, :why);

-- name: last_outcome
-- How the last check of a model that came to a result ended.
SELECT check_id, outcome, why, recorded_at
FROM streamflow.release_checks
WHERE model = :model AND manifest_sha256 = :manifest_sha256 AND outcome IN ('passed', 'refused')
ORDER BY check_id DESC LIMIT 1;

-- name: not_ended
-- How many checks of a model have begun since a row and never ended, without those that may be in progress.
SELECT count(*) FILTER (
    WHERE outcome = 'begun' AND recorded_at <= clock_timestamp() - make_interval(secs => :seconds)
  ) - count(*) FILTER (WHERE outcome = 'cut short')
FROM streamflow.release_checks
WHERE model = :model AND manifest_sha256 = :manifest_sha256 AND check_id > :since;
