"""Apply the feature repo to the database and Feast's registry."""

from __future__ import annotations

from streamflow.drops import tables
from streamflow.features import store
from streamflow.postgres.engine import transaction
from streamflow.repo import definitions
from streamflow.settings import Settings
from streamflow.snapshots import views


def apply(settings: Settings) -> store.Applied:
    """Create or extend source tables, snapshot views, online tables and Feast's registry; delete no data."""
    repo = definitions.load(settings.feast.repo)
    with transaction(settings.database) as connection:
        tables.ensure(connection, repo)
        views.ensure(connection, repo)
    return store.apply(settings.database, repo)
