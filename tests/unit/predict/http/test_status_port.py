"""With a status port, metrics, model and documentation are served there, and nowhere else; probes on both."""

import asyncio

import httpx2
import pytest

from streamflow.predict.app import create_apps
from streamflow.settings import PredictSettings, Settings

STATUS = ["/metrics", "/model", "/docs", "/openapi.json"]
OTHERS = ["/health", "/v2", "/v2/health/live"]
PROBES = ["/livez", "/readyz"]


@pytest.fixture
def apps(live):
    return create_apps(Settings(predict=PredictSettings(status_port=8001)), live)


def statuses(app, paths):
    async def ask():
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://predict") as client:
            return [(await client.get(path)).status_code for path in paths]

    return asyncio.run(ask())


def test_the_predictions_port_tells_nothing_of_the_status_port(apps):
    assert statuses(apps.predictions, STATUS) == [404] * len(STATUS)
    assert 404 not in statuses(apps.predictions, OTHERS)


def test_the_status_port_answers_nothing_else(apps):
    assert statuses(apps.status, STATUS) == [200] * len(STATUS)
    assert statuses(apps.status, [*OTHERS, "/features/a"]) == [404] * (len(OTHERS) + 1)
    assert statuses(apps.status, ["/predict"]) == [404]


def test_probes_are_on_both_ports(apps, live):
    assert statuses(apps.predictions, PROBES) == statuses(apps.status, PROBES) == [200, 200]
    live.draining = True
    assert statuses(apps.predictions, PROBES) == statuses(apps.status, PROBES) == [200, 503]


def test_the_documentation_on_the_status_port_describes_the_predictions(apps):
    assert "/predict/batch" in apps.status.openapi()["paths"]


def test_without_a_status_port_everything_is_on_one(live):
    apps = create_apps(Settings(), live)
    assert apps.status is None
    assert 404 not in statuses(apps.predictions, [*STATUS, *OTHERS])
