"""Versions are swapped without a restart; refused versions, and MLflow or PostgreSQL down."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time

import httpx2
import pytest
import sqlalchemy as sa
from spoilt import changed, edited

from streamflow.local import processes
from streamflow.mlflow_api import sdk
from streamflow.model_version import tags as version_tags
from streamflow.postgres.engine import transaction
from streamflow.registrar.look import look
from streamflow.registry import versions
from streamflow.registry.promote import rollback
from streamflow.settings import PredictSettings


async def _ask(base_url: str, users: list[str], stop: asyncio.Event) -> list[tuple[int, int | None]]:
    """Send one request after another until stopped; (status, version) of each answer."""
    seen = []
    async with httpx2.AsyncClient(base_url=base_url, timeout=30) as client:
        while not stop.is_set():
            for user in users:
                answer = await client.post("/predict", json={"user_id": user})
                version = answer.json()["model"]["version"] if answer.status_code == 200 else None
                seen.append((answer.status_code, version))
    return seen


def test_promotion_and_rollback_are_served_without_a_restart_or_a_failed_request(
    simulated, predict, users, production
):
    async def scenario() -> tuple[list[list[tuple[int, int | None]]], list[float]]:
        stop = asyncio.Event()
        asking = [
            asyncio.create_task(_ask(str(predict.client.base_url), users[i::4][:20], stop)) for i in range(4)
        ]
        took = []
        for version in (2, 1):
            await asyncio.to_thread(production, simulated, version)
            started = time.monotonic()
            await asyncio.to_thread(predict.until, lambda version=version: predict.version() == version)
            took.append(time.monotonic() - started)
        stop.set()
        return await asyncio.gather(*asking), took

    seen, took = asyncio.run(scenario())
    assert {status for answers in seen for status, _ in answers} == {200}
    for answers in seen:
        assert [v for i, (_, v) in enumerate(answers) if i == 0 or answers[i - 1][1] != v] == [1, 2, 1]
    # The promise is 10 s for every replica; here it polls every 0.2 s.
    assert max(took) < 10
    assert processes.alive(predict.process)


def test_a_rollback_reaches_every_replica_within_ten_seconds_while_training_is_broken(
    simulated, start, production, tmp_path
):
    """Two replicas with the default poll interval, and a feature repo that training cannot read."""
    broken = tmp_path / "feature_repo"
    broken.mkdir()
    poll = str(PredictSettings().poll_seconds)
    production(simulated, 1)
    production(simulated, 2)
    with (
        start(simulated, path="/readyz", STREAMFLOW_PREDICT__POLL_SECONDS=poll) as one,
        start(simulated, path="/readyz", STREAMFLOW_PREDICT__POLL_SECONDS=poll) as other,
    ):
        assert (one.version(), other.version()) == (2, 2)
        began = time.monotonic()
        done = subprocess.run(
            ["streamflow", "rollback", "--why", "a test", "--json"],
            env={
                **os.environ,
                "STREAMFLOW_HOME": str(simulated.home),
                "STREAMFLOW_FEAST__REPO": str(broken),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        for replica in (one, other):
            replica.until(lambda replica=replica: replica.version() == 1)
        assert time.monotonic() - began < 10
        assert processes.alive(one.process)
        assert processes.alive(other.process)


def ask_in_mlflow(settings, version):
    """Move the alias in MLflow, and let the registrar look once; return its answer."""
    with sdk.client(settings.mlflow) as client:
        model = settings.mlflow.registered_model
        if version is None:
            client.delete_registered_model_alias(model, "production")
        else:
            client.set_registered_model_alias(model, "production", str(version))
    accepting = settings.promotion.model_copy(update={"outside_moves": "accept"})
    (answer,) = look(settings.backends, accepting)
    return answer


def test_an_alias_moved_in_mlflow_is_served_once_the_registrar_has_seen_it(simulated, predict):
    ask_in_mlflow(simulated, 2)
    predict.until(lambda: predict.version() == 2)
    ask_in_mlflow(simulated, 1)
    predict.until(lambda: predict.version() == 1)


def test_a_demotion_leaves_nothing_to_serve_until_the_next_promotion(simulated, predict, users):
    assert ask_in_mlflow(simulated, None).action == "demote"
    predict.until(lambda: predict.version() is None)
    answer = predict.predict(users[0])
    assert (answer.status_code, answer.json()["code"]) == (503, "model_unavailable")
    assert "No version is in production" in answer.json()["detail"]
    assert predict.client.get("/readyz").status_code == 503
    rollback(simulated.backends, why="a test", by="tests")
    predict.until(lambda: predict.version() == 1)
    assert predict.predict(users[0]).status_code == 200


def _flip_a_byte(folder, tags):
    path = folder / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return tags


def _no_tag(folder, tags):
    return {key: value for key, value in tags.items() if key != version_tags.MANIFEST_SHA256}


def _move_the_first(golden):
    golden["probabilities"][0] = 1 - golden["probabilities"][0] + 0.01


def _forget(golden):
    golden["rows"], golden["probabilities"] = [], []


SPOILT = [
    (_flip_a_byte, "model.onnx"),
    (_no_tag, "no training of StreamFlow"),
    (changed("golden.json", edited(_move_the_first)), "golden rows"),
    (changed("golden.json", edited(_forget)), "no golden rows"),
    (
        changed("golden.json", edited(lambda golden: golden["probabilities"].pop())),
        "not one probability for each",
    ),
    (changed("golden.json", lambda _: "no JSON"), "golden rows"),
    (changed("manifest.json", lambda _: "{}"), "lists no files"),
    (changed("contract.json", edited(lambda contract: contract.update(threshold="high"))), "threshold"),
    (changed("contract.json", edited(lambda contract: contract.update(views=[]))), "does not list"),
]


@pytest.mark.fault("F11")
@pytest.mark.parametrize(("spoil", "says"), SPOILT)
def test_a_version_that_fails_a_check_never_reaches_the_ledger(
    simulated, predict, users, copy_of, spoil, says
):
    bad = copy_of(1, spoil)
    answer = ask_in_mlflow(simulated, bad)
    assert (answer.action, answer.to_version, answer.facts["requested"]) == ("outside", 1, bad)
    assert says in answer.facts["refused"][0]
    assert versions.by_alias(simulated.mlflow, "production") == 1
    assert predict.version() == 1
    assert predict.predict(users[0]).json()["model"]["version"] == 1


def stored(settings, statement, version):
    """Change the stored files of a version."""
    digest = versions.get(settings.mlflow, version).tags[version_tags.MANIFEST_SHA256]
    with transaction(settings.database) as connection:
        connection.execute(sa.text(statement), {"digest": digest})


FLIP = """
    UPDATE streamflow.release_pieces SET content = set_byte(content, 100, 255 - get_byte(content, 100))
    WHERE manifest_sha256 = :digest AND file = 'model.onnx' AND piece = 0
"""


@pytest.mark.fault("F11")
def test_a_stored_release_that_was_damaged_is_refused_and_the_former_one_stays_in_service(
    simulated, start, predict, users, production
):
    production(simulated, 2)
    production(simulated, 1)
    predict.until(lambda: predict.version() == 1)
    stored(simulated, FLIP, 2)
    try:
        production(simulated, 2)
        refused = predict.until(lambda: predict.client.get("/model").json()["refused"])
        assert refused["version"] == 2
        assert "model.onnx is not the one" in refused["why"]
        assert predict.predict(users[0]).json()["model"]["version"] == 1
        assert predict.metric("streamflow_model_reload_total", result="refused") >= 1
        assert "release refused" in predict.log.read_text()
        with start(simulated) as service:
            answer = service.predict(users[0])
            assert (answer.status_code, answer.json()["code"]) == (503, "model_unavailable")
            assert "Version 2" in answer.json()["detail"]
    finally:
        stored(simulated, FLIP, 2)
    production(simulated, 1)
    predict.until(lambda: predict.client.get("/model").json()["refused"] is None)


def test_a_release_that_is_not_stored_yet_is_served_as_soon_as_the_registrar_has_stored_it(
    simulated, start, users, production
):
    """As after an upgrade from a release that kept the files in MLflow alone."""
    production(simulated, 1)
    stored(simulated, "DELETE FROM streamflow.releases WHERE manifest_sha256 = :digest", 1)
    with start(simulated) as service:
        answer = service.predict(users[0])
        assert (answer.status_code, answer.json()["code"]) == (503, "model_unavailable")
        assert "its files are not in PostgreSQL" in answer.json()["detail"]
        assert look(simulated.backends, simulated.promotion) == []
        began = time.monotonic()
        service.until(lambda: service.predict(users[0]).status_code == 200)
        assert time.monotonic() - began < 20


def test_it_starts_and_serves_without_mlflow(simulated, start, users, production):
    production(simulated, 1)
    nowhere = {"STREAMFLOW_MLFLOW__TRACKING_URI": "http://127.0.0.1:9"}
    with start(simulated, path="/readyz", **nowhere) as service:
        assert service.predict(users[0]).status_code == 200
        assert service.client.get("/health").json()["status"] == "ok"
        production(simulated, 2)
        service.until(lambda: service.version() == 2)
    production(simulated, 1)


def test_a_promotion_is_followed_at_once_although_the_next_poll_is_far_away(simulated, start, production):
    production(simulated, 1)
    with start(simulated, path="/readyz", STREAMFLOW_PREDICT__POLL_SECONDS="3600") as service:
        production(simulated, 2)
        service.until(lambda: service.version() == 2)
        production(simulated, 1)
        service.until(lambda: service.version() == 1)


def test_it_says_that_the_ledger_cannot_be_read(simulated, start, switch, users, production):
    production(simulated, 1)
    database = switch(simulated.database.port)
    address = {"STREAMFLOW_DATABASE__PORT": str(database.port)}
    with start(simulated, path="/readyz", **address) as service:
        read = service.metric("streamflow_ledger_read_timestamp_seconds")
        assert abs(read - time.time()) < 10
        database.cut()
        service.until(lambda: service.client.get("/health").json()["ledger_up"] is False)
        assert service.client.get("/health").json()["status"] == "degraded"
        assert service.version() == 1
        assert "the ledger cannot be read; still serving" in service.log.read_text()
        database.mend()
        service.until(lambda: service.client.get("/health").json()["status"] == "ok")
    database.cut()
    with start(simulated, **address) as service:
        answer = service.predict(users[0])
        assert (answer.status_code, answer.json()["code"]) == (503, "model_unavailable")
        assert "PostgreSQL does not answer" in answer.json()["detail"]
        assert service.client.get("/readyz").status_code == 503
        database.mend()
        service.until(lambda: service.predict(users[0]).status_code == 200)


def test_no_request_fails_when_postgresql_closes_connections(simulated, predict, users):
    end_them = sa.text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name = 'streamflow-predict' AND datname = current_database()"
    )
    for user in users[:20]:
        with transaction(simulated.database) as connection:
            assert connection.execute(end_them).scalar_one() >= 1
        assert predict.predict(user).status_code == 200


def test_postgresql_down_is_a_503_until_it_is_back(simulated, start, switch, users, production):
    production(simulated, 1)
    database = switch(simulated.database.port)
    with start(simulated, path="/readyz", STREAMFLOW_DATABASE__PORT=str(database.port)) as service:
        assert service.predict(users[0]).status_code == 200
        database.cut()
        for _ in range(10):
            answer = service.predict(users[0])
            assert (answer.status_code, answer.json()["code"]) == (503, "feature_store_unavailable")
            assert answer.headers["retry-after"]
        # Readiness must not depend on a shared dependency, or all replicas would go at once.
        assert service.client.get("/readyz").status_code == 200
        assert service.client.get("/livez").status_code == 200
        database.mend()
        service.until(lambda: service.predict(users[0]).status_code == 200)
        assert [service.predict(user).status_code for user in users[:20]] == [200] * 20


def test_stale_features_are_refused_although_the_start_could_not_read_the_newest_as_of(
    simulated, start, users, production
):
    """There is no poll after the one at the start, so the first request has to read the newest as-of."""
    production(simulated, 1)
    with transaction(simulated.database) as connection:
        old = connection.execute(
            sa.text(
                "SELECT user_id FROM online.subs_profile_fv WHERE event_timestamp < '2024-02-29' ORDER BY 1 LIMIT 1"
            )
        ).scalar_one()

    def rename(before, after):
        with transaction(simulated.database) as connection:
            connection.execute(sa.text(f"ALTER TABLE online.{before} RENAME TO {after}"))

    rename("materializations", "materializations_away")
    away = True
    try:
        with start(simulated, path="/readyz", STREAMFLOW_PREDICT__POLL_SECONDS="3600") as service:
            assert service.predict(old).status_code == 503
            rename("materializations_away", "materializations")
            away = False
            answer = service.until(lambda: (it := service.predict(old)).status_code != 503 and it)
            assert (answer.status_code, answer.json()["code"]) == (422, "stale_features")
            assert service.predict("nobody").json()["reason"] == "unknown_entity"
            assert service.predict(users[0]).status_code == 200
    finally:
        if away:
            rename("materializations_away", "materializations")


def test_without_a_promoted_version_the_answer_says_how_to_promote(simulated, start):
    with start(simulated, STREAMFLOW_MLFLOW__REGISTERED_MODEL="nobody_trained_this") as service:
        answer = service.predict("anyone")
        assert (answer.status_code, answer.json()["code"]) == (503, "model_unavailable")
        assert "streamflow models promote" in answer.json()["detail"]


def test_sigterm_drains_closes_connections_and_exits_cleanly(simulated, start, users, production):
    production(simulated, 1)
    drain = {"STREAMFLOW_PREDICT__DRAIN_SECONDS": "1.5"}
    with start(simulated, path="/readyz", **drain) as service:
        os.kill(service.process.pid, signal.SIGTERM)
        service.until(lambda: service.client.get("/readyz").status_code == 503)
        answer = service.predict(users[0])
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        deadline = time.monotonic() + 30
        while processes.alive(service.process) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not processes.alive(service.process)
        with pytest.raises(httpx2.HTTPError):
            service.predict(users[0])
        assert "Traceback" not in service.log.read_text()
