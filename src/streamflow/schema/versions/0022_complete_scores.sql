-- The scores of complete scorings, for readers who write SQL: streamflow.scores also has those of shards whose scoring has not
-- ended, or never will.

CREATE VIEW streamflow.complete_scores AS
SELECT g.scoring_id, g.model, g.version, g.as_of, g.known_at, g.scored_at, s.entity, s.probability, s.prediction
FROM streamflow.scorings g
JOIN streamflow.scores s ON s.scoring_id = g.scoring_id;

COMMENT ON VIEW streamflow.complete_scores IS 'Scores of complete scorings, with what was scored.';
COMMENT ON COLUMN streamflow.complete_scores.scoring_id IS 'Scoring.';
COMMENT ON COLUMN streamflow.complete_scores.model IS 'Registered model in MLflow.';
COMMENT ON COLUMN streamflow.complete_scores.version IS 'Version that scored.';
COMMENT ON COLUMN streamflow.complete_scores.as_of IS 'As-of of the features.';
COMMENT ON COLUMN streamflow.complete_scores.known_at IS 'Load time up to which rows were read.';
COMMENT ON COLUMN streamflow.complete_scores.scored_at IS 'Time of the scoring.';
COMMENT ON COLUMN streamflow.complete_scores.entity IS 'Key of the entity.';
COMMENT ON COLUMN streamflow.complete_scores.probability IS 'Predicted probability of the label.';
COMMENT ON COLUMN streamflow.complete_scores.prediction IS 'Whether the probability reaches the threshold of the version.';
COMMENT ON TABLE streamflow.scores IS
    'Scores of all entities of a scoring; until it is in streamflow.scorings, of some. Read streamflow.complete_scores.';
