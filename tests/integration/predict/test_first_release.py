"""The release in production is checked before the service has started, and takes less memory afterwards."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import numpy as np
import pytest

from streamflow import compact_model, release_check
from streamflow.errors import ReleaseRefused
from streamflow.predict.features.connections import Connections
from streamflow.predict.models.first_release import FirstRelease
from streamflow.predict.models.ledger import Ledger
from streamflow.predict.models.live_model import LiveModel
from streamflow.predict.models.watch import Watch
from streamflow.registry.served import served_release
from streamflow.settings import DatabaseSettings


@pytest.fixture
def child():
    """A child that was started for the check; afterwards neither it nor its folder may be there."""
    made = release_check.prepare()
    pid = made._process.pid
    yield made
    assert not made.folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def first(settings, child):
    return FirstRelease(settings.database, settings.mlflow.registered_model, child)


def rows_of(release):
    """Some encoded rows, which need not be those of any customer."""
    width = release.session.get_inputs()[0].shape[1]
    return np.random.default_rng(1).normal(0, 30, (200, width)).astype(np.float32)


def test_it_is_the_release_that_the_first_poll_finds(simulated, production, child):
    production(simulated, 1)
    served = served_release(simulated.database, simulated.mlflow.registered_model)
    found = first(simulated, child)
    release = found.take(served.pointer)
    assert found.take(served.pointer) is None, "it keeps nothing"
    assert first(simulated, None).take(replace(served.pointer, version=2)) is None
    assert release.contract == served.contract
    assert release.infer(rows_of(served)).tolist() == served.infer(rows_of(served)).tolist()


def test_one_that_fails_its_check_is_refused_in_the_words_of_the_check(
    simulated, production, child, monkeypatch
):
    production(simulated, 1)
    pointer = served_release(simulated.database, simulated.mlflow.registered_model).pointer
    monkeypatch.setattr(release_check, "SECONDS", 0.001)
    found = first(simulated, child)
    with pytest.raises(ReleaseRefused, match=r"Version 1 .* had not ended after 0.001 s"):
        found.take(pointer)


def test_without_postgresql_there_is_none_and_no_child_is_left(child):
    away = FirstRelease(DatabaseSettings(port=9), "churn", child)
    assert away.fetched.wait(30)
    assert away.take(release_check.VersionPointer("churn", 1, "")) is None


def test_what_is_served_is_settled_once_and_answers_with_the_same_bits(simulated, production, monkeypatch):
    production(simulated, 1)
    monkeypatch.setattr(compact_model, "WORTH_BYTES", 0)

    async def scenario():
        live, connections = LiveModel(), Connections(simulated.database, 1)
        ledger = Ledger(simulated.database, simulated.mlflow.registered_model)
        watch = Watch(simulated.predict, ledger, live, connections)
        await watch.start()
        loaded = live.served
        await watch._settle()
        settled = live.served
        await watch._settle()
        connections.close()
        watch.close()
        return loaded, settled, live.served

    loaded, settled, later = asyncio.run(scenario())
    assert later is settled
    assert settled.release.session is not loaded.release.session
    assert (settled.loaded_at, settled.plan) == (loaded.loaded_at, loaded.plan)
    rows = rows_of(loaded.release)
    assert settled.release.infer(rows).tolist() == loaded.release.infer(rows).tolist()
