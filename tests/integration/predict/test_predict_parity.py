"""The parity job against a running predict service: it passes when all is well and detects one wrong value."""

import pytest
import sqlalchemy as sa

from streamflow.errors import DependencyDown
from streamflow.jobs.parity import parity
from streamflow.postgres.engine import transaction


def asking(settings, service, sample=60):
    url = str(service.client.base_url)
    parity_settings = settings.parity.model_copy(update={"url": url, "sample": sample})
    return settings.model_copy(update={"parity": parity_settings})


def test_both_paths_agree_to_the_last_bit(simulated, predict):
    found = parity(asking(simulated, predict))
    assert found.version == predict.version()
    assert (found.sampled, found.compared, found.differences) == (60, 60, 0)


def test_one_wrong_value_in_the_online_store_is_detected(simulated, predict):
    change = sa.text(
        "UPDATE online.usage_agg_30d_fv SET watch_hours_30d = watch_hours_30d + :by WHERE user_id = :user"
    )
    with transaction(simulated.database) as connection:
        user = connection.execute(sa.text("SELECT min(user_id) FROM online.usage_agg_30d_fv")).scalar_one()
        connection.execute(change, {"by": 100.0, "user": user})
    try:
        found = parity(asking(simulated, predict, sample=1000))
    finally:
        with transaction(simulated.database) as connection:
            connection.execute(change, {"by": -100.0, "user": user})
    assert found.differences == 1
    ((request, batch, online),) = found.requests
    assert request and user not in request
    assert batch != online


def test_a_service_that_is_down_is_reported(simulated, predict):
    away = simulated.model_copy(
        update={"parity": simulated.parity.model_copy(update={"url": "http://127.0.0.1:9", "sample": 1})}
    )
    with pytest.raises(DependencyDown, match=r"127\.0\.0\.1:9 does not answer"):
        parity(away)
