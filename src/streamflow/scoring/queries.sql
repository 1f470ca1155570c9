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
