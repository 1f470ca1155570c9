"""No row of the audit trail is dated before the newest one or in the future."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from streamflow.postgres.engine import transaction
from streamflow.registry import trail
from streamflow.registry.promote import promote, rollback

WHO = {"why": "a test", "by": "ada"}


def into_production(settings, version):
    promote(settings.backends, version, "staging", **WHO)
    return promote(settings.backends, version, "production", **WHO)


@pytest.mark.parametrize(
    ("moved_at", "problem"),
    [(timedelta(hours=-1), "before the newest"), (timedelta(hours=1), "in the future")],
)
def test_no_row_is_dated_back_or_ahead(settings, make, moved_at, problem):
    (first,) = make(1)
    move = into_production(settings, first)
    with pytest.raises(sa.exc.DBAPIError, match=problem), transaction(settings.database) as connection:
        connection.execute(
            sa.text(
                "INSERT INTO streamflow.promotions (moved_at, moved_by, model, alias, to_version, action, why)"
                " VALUES (:moved_at, 'eve', :model, 'production', 7, 'promote', 'made up')"
            ),
            {"moved_at": move.moved_at + moved_at, "model": move.model},
        )
    assert len(trail.history(settings.database, settings.mlflow.registered_model)) == 2


def test_a_rollback_works_after_the_clock_was_set_back(settings, make):
    first, second = make(2)
    into_production(settings, first)
    into_production(settings, second)
    # The newest row as a clock that was an hour ahead would have dated it.
    with transaction(settings.database) as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(
            "UPDATE streamflow.promotions SET moved_at = moved_at + interval '1 hour' WHERE promotion_id = 4"
        )
    assert rollback(settings.backends, **WHO).to_version == first
