"""The predict service in this process, with a loaded model but without an online store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from streamflow.model_version.contract import Contract, Feature, View
from streamflow.predict.app import create_apps
from streamflow.predict.features.online_facts import OnlineFacts
from streamflow.predict.features.read_plan import ReadPlan
from streamflow.predict.models.live_model import LiveModel, Served
from streamflow.predict.observe import metrics
from streamflow.release import VersionPointer
from streamflow.settings import PredictSettings, Settings

CONTRACT = Contract(
    model="m",
    feature_service="s",
    join_key="user_id",
    features=(Feature("fee", "bills", "float"),),
    views=(View("bills", None),),
    threshold=0.5,
    label={},
    estimator="e",
    as_of="",
    known_at="",
    fingerprint="",
)


@pytest.fixture
def live() -> LiveModel:
    """Version 1 of the model `m`, without its files."""
    release: Any = SimpleNamespace(pointer=VersionPointer("m", 1, "0" * 64), contract=CONTRACT)
    columns = {"bills": {"fee": "double precision"}}
    served = Served(release, ReadPlan(CONTRACT), 0.0)
    return LiveModel(served=served, online=OnlineFacts(newest={}, columns=columns))


Ask = Callable[..., httpx2.Response]


@pytest.fixture
def ask(live: LiveModel) -> Ask:
    """Send one request to the service; `settings` are fields of `PredictSettings`."""

    def asked(
        method: str, path: str, settings: dict[str, Any] | None = None, **request: Any
    ) -> httpx2.Response:
        middleware = create_apps(Settings(predict=PredictSettings(**(settings or {}))), live).predictions

        async def once() -> httpx2.Response:
            transport = httpx2.ASGITransport(app=middleware)
            async with httpx2.AsyncClient(transport=transport, base_url="http://predict") as client:
                return await client.request(method, path, **request)

        return asyncio.run(once())

    return asked


@pytest.fixture
def counted() -> Callable[..., float]:
    """Count of requests with these labels."""

    def count(handler: str, method: str, status: int) -> float:
        return metrics.REQUESTS.labels(handler, method, str(status))._value.get()

    return count
