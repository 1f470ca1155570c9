-- Statements about batch scores.

-- name: begin_scoring
-- Record a scoring.
INSERT INTO streamflow.scorings (model, version, fingerprint, as_of, known_at)
VALUES (:model, :version, :fingerprint, :as_of, :known_at)
RETURNING scoring_id;

-- name: newest_scoring
-- Newest scoring of a model.
SELECT scoring_id, version, fingerprint, as_of, known_at
FROM streamflow.scorings
WHERE model = :model
ORDER BY scoring_id DESC LIMIT 1;

-- name: forget_scores
-- Delete the scores of all but the newest scorings of a model.
SELECT streamflow.keep_scores(:model, :keep);

-- name: add_refusals
-- Record how many entities a scoring refused for a reason.
INSERT INTO streamflow.scoring_refusals (scoring_id, reason, entities) VALUES (:number, :reason, :entities);

-- name: open_run
-- Open a scoring for shards, unless it is open already.
SELECT streamflow.open_scoring(:run, :shards, CAST(:plan AS jsonb), :start_id);

-- name: restart_run
-- Name the start of the job's run that an open scoring belongs to from now on.
SELECT streamflow.restart_scoring(:run, :start_id);

-- name: find_run
-- A scoring for shards.
SELECT run, shards, scoring_id, nothing, model, version, manifest_sha256, fingerprint, as_of, known_at, require_newest,
  newest, start_id, completed_at IS NOT NULL AS complete, abandoned_at IS NOT NULL AS abandoned,
  CAST(extract(epoch FROM clock_timestamp() - opened_at) AS double precision) AS seconds
FROM streamflow.scoring_runs WHERE run = :run;

-- name: shard_done
-- Whether a shard is done.
SELECT EXISTS (SELECT FROM streamflow.scoring_shards WHERE run = :run AND shard = :shard);

-- name: finish_shard
-- Mark a shard as done; with the last one the scoring is complete.
SELECT streamflow.finish_shard(:run, :shard, :scored, :positive, CAST(:refused AS jsonb), CAST(:features AS jsonb));

-- name: tallies
-- What the shards of a scoring counted.
SELECT scored, positive, refused, features FROM streamflow.scoring_shards WHERE run = :run;

-- name: abandon
-- Remove the scores of scorings for shards that have not ended for long.
SELECT streamflow.abandon_scorings();
