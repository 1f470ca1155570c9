"""What counts as a prediction."""

import pytest

from streamflow.errors import NotFound, Refused
from streamflow.monitoring.smoke import any_entity, check
from streamflow.postgres.engine import transaction


@pytest.mark.parametrize("answer", [{}, {"probability": None}, {"probability": 1.5}, {"probability": "0.5"}])
def test_an_answer_without_a_probability_is_refused(answer):
    with pytest.raises(Refused, match="no probability"):
        check(answer)


def test_an_answer_with_a_probability_passes():
    assert check({"probability": 0.25}) == 0.25


def materialized(settings, *rows):
    """An online table with rows of (user, value, month)."""
    with transaction(settings.database) as connection:
        connection.exec_driver_sql(
            "CREATE TABLE online.view_a (user_id text PRIMARY KEY, value float, event_timestamp timestamptz)"
        )
        for user, value, month in rows:
            connection.exec_driver_sql(
                "INSERT INTO online.view_a VALUES (%s, %s, %s)", (user, value, f"2024-{month:02}-01T00:00Z")
            )


def test_an_entity_with_every_newest_value_is_preferred(settings):
    materialized(settings, ("a-left", 1.0, 1), ("b-lacks", None, 2), ("c-whole", 1.0, 2))
    assert any_entity(settings.database, settings.predict.join_key) == "c-whole"


def test_any_entity_is_used_when_every_one_lacks_a_value(settings):
    materialized(settings, ("a-left", 1.0, 1), ("b-lacks", None, 2))
    assert any_entity(settings.database, settings.predict.join_key) == "a-left"


def test_an_empty_online_store_is_not_found(settings):
    with pytest.raises(NotFound, match="is empty"):
        any_entity(settings.database, settings.predict.join_key)
