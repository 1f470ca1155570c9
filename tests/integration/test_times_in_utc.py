"""Times come from PostgreSQL in UTC, even if the environment sets another time zone for its sessions."""

import sqlalchemy as sa

from streamflow.postgres.engine import engine, transaction


def test_a_time_comes_in_utc_whatever_zone_the_environment_names(settings, monkeypatch):
    monkeypatch.setenv("PGTZ", "America/New_York")
    engine(settings.database).dispose()
    for _ in range(2):
        # The second iteration reuses a pooled connection.
        with transaction(settings.database) as connection:
            moment = connection.execute(sa.text("SELECT TIMESTAMPTZ '2024-03-01T12:00:00Z'")).scalar_one()
            assert moment.isoformat() == "2024-03-01T12:00:00+00:00"
    engine(settings.database).dispose()
