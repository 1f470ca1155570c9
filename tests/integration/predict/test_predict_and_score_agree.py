"""The same user, the same features, the same version: online and in batch the probability has the same bits."""

import sqlalchemy as sa

from streamflow.jobs.score import score_as_of
from streamflow.postgres.engine import transaction


def test_batch_scores_are_the_answers_of_predict_to_the_last_bit(simulated, predict, users):
    scored = score_as_of(simulated)
    assert scored.version == predict.version()
    with transaction(simulated.database) as connection:
        rows = connection.execute(
            sa.text("SELECT entity, probability, prediction FROM streamflow.scores WHERE scoring_id = :n"),
            {"n": scored.scoring_id},
        )
        written = {row.entity: (row.probability, row.prediction) for row in rows}
    answer = predict.client.post("/predict/batch", json={"user_ids": users}).json()
    answered = {item["user_id"]: (item["probability"], item["prediction"]) for item in answer["predictions"]}
    assert answered == {user: written[user] for user in users}
    one = predict.predict(users[0]).json()
    assert (one["probability"], one["prediction"]) == written[users[0]]
    assert set(written) == set(users), "who is refused online is refused in batch"
