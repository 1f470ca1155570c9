"""Answers given during materializations, replayed from the values that each was based on."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from source_rows import add_drop
from streamflow.apply import apply
from streamflow.audit.replay import Question, answer
from streamflow.challenger import train
from streamflow.jobs.ingest import ingest_folder
from streamflow.jobs.materialize import materialize
from streamflow.local.simulate import Simulation, simulate
from streamflow.mlflow_api.transport import registry
from streamflow.postgres import clock
from streamflow.postgres.engine import transaction
from streamflow.registry import artifacts, versions
from streamflow.repo import definitions

_SWAPS = 3
_NEAREST = 30


@pytest.fixture
def small(settings, mlflow_server, tmp_path, production):
    """One month of a few users, materialized, with a version in production."""
    apply(settings)
    (drop,) = simulate(settings.feast.repo, tmp_path / "drops", Simulation(users=300, months=1))
    ingest_folder(settings, drop.folder, drop.as_of)
    materialize(settings)
    production(settings, train(settings, estimator="logistic_regression").version)
    return settings


def correct(settings, users, number):
    """Correct the newest usage as a drop would: new values for the users in the test."""
    with transaction(settings.database) as connection:
        newest = connection.exec_driver_sql("SELECT max(as_of) FROM streamflow.drops").scalar_one()
        drop = add_drop(connection, f"corrected-{number}", newest)
        names = list(
            connection.execute(
                sa.text(
                    "SELECT attname FROM pg_attribute WHERE attrelid = 'source.usage_agg_30d'::regclass"
                    " AND attnum > 0 AND attgenerated = '' AND attidentity = '' AND NOT attisdropped"
                )
            ).scalars()
        )
        new = {"drop_number": ":drop", "watch_hours_30d": ":n * 10 + 0.5"}
        values = ", ".join(new.get(name, f"u.{name}") for name in names)
        connection.execute(
            sa.text(
                f"INSERT INTO source.usage_agg_30d ({', '.join(names)}) SELECT {values}"
                " FROM source.usage_agg_30d u JOIN streamflow.drops d USING (drop_number)"
                " WHERE user_id = ANY(:users) AND drop_id NOT LIKE 'corrected-%'"
            ),
            {"drop": drop, "n": number, "users": users},
        )


def query(settings, statement, **parameters):
    with transaction(settings.database) as connection:
        return connection.execute(sa.text(statement), parameters).all()


def test_every_answer_is_replayed_from_the_materialization_that_it_read(small, start):
    version = versions.by_alias(small.mlflow, "production")
    over = threading.Event()
    with start(small, path="/readyz", STREAMFLOW_PREDICT__LOG_SHARE="1") as service:
        keys = [row[0] for row in query(small, "SELECT user_id FROM online.usage_agg_30d_fv ORDER BY 1")]
        users = [key for key in keys if service.predict(key).status_code == 200][:3]
        (begun,) = query(small, "SELECT clock_timestamp()")[0]

        def asking(user):
            last = False
            while not last:
                # One more after the last materialization.
                last = over.is_set()
                assert service.predict(user).status_code == 200

        with ThreadPoolExecutor(len(users)) as pool:
            askers = [pool.submit(asking, user) for user in users]
            try:
                for number in range(1, _SWAPS + 1):
                    correct(small, users, number)
                    materialize(small)
            finally:
                over.set()
            for asker in askers:
                asker.result()
        given = service.metric("streamflow_prediction_score_count", version=str(version), alias="production")
        service.until(lambda: service.metric("streamflow_prediction_log_rows_total") >= given)
        assert service.metric("streamflow_prediction_log_dropped_total") == 0
    rows = query(
        small,
        "SELECT entity, answered_at, probability FROM streamflow.predictions WHERE answered_at > :begun",
        begun=begun,
    )
    swaps = query(
        small,
        "SELECT visible_at FROM online.materializations WHERE visible_at > :begun"
        " AND feature_view = 'usage_agg_30d_fv'",
        begun=begun,
    )
    assert len(swaps) == _SWAPS
    # The values did change: after each materialization a user got another answer.
    assert all(len({row.probability for row in rows if row.entity == user}) == _SWAPS + 1 for user in users)
    near = {
        row
        for (swap,) in swaps
        for row in sorted(rows, key=lambda row: abs(row.answered_at - swap))[:_NEAREST]
    }
    with registry(small.mlflow) as client:
        release = artifacts.verified(
            client, small.mlflow.registered_model, versions.get(small.mlflow, version)
        ).release
    repo = definitions.load(small.feast.repo)

    def again(row):
        return answer(Question(small.backends, small.predict, repo, row.entity, row.answered_at), release)

    other = [(row.entity, row.answered_at) for row in near if again(row).probability != row.probability]
    assert other == []


def test_a_drop_loaded_during_a_materialization_comes_with_the_next_one(small, monkeypatch):
    """A materialization is identified by load times alone, so it must not include rows loaded after it began."""
    (key,) = query(small, "SELECT min(user_id) FROM online.usage_agg_30d_fv")[0]
    with transaction(small.database) as connection:
        began = clock.known_now(connection)
    correct(small, [key], 1)
    monkeypatch.setattr(clock, "known_now", lambda _: began)
    materialize(small)
    (hours,) = query(
        small, "SELECT watch_hours_30d FROM online.usage_agg_30d_fv WHERE user_id = :key", key=key
    )[0]
    assert hours != 10.5
