"""Apply the feature repo to the database and Feast's registry."""

from __future__ import annotations

import sqlalchemy as sa

from streamflow.drops import tables
from streamflow.errors import UsageError
from streamflow.features import comments as features_comments
from streamflow.features import store
from streamflow.postgres import comments
from streamflow.postgres.engine import transaction
from streamflow.postgres.names import FEATURES, SOURCE
from streamflow.repo import definitions
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import Settings
from streamflow.snapshots import views


def apply(settings: Settings) -> store.Applied:
    """Create or extend source tables, snapshot views, online tables and Feast's registry; delete no data.

    Raises:
        UsageError: The parts of the repo do not fit together, or a table has another type than the repo declares.
    """
    repo = definitions.load(settings.feast.repo)
    with transaction(settings.database) as connection:
        _refuse_other_types(connection, repo)
        tables.ensure(connection, repo)
        views.ensure(connection, repo)
    applied = store.apply(settings.database, repo)
    with transaction(settings.database) as connection:
        _comment(connection, repo)
    return applied


def _comment(connection: sa.Connection, repo: FeatureRepo) -> None:
    """Describe in PostgreSQL what the repo declares, for whoever looks with psql."""
    described = {table.name: tables.described(table) for table in repo.tables}
    views_of = {table.snapshots: described[table.name] for table in repo.tables}
    comments.ensure(connection, SOURCE, described)
    comments.ensure(connection, FEATURES, views_of)
    features_comments.ensure(connection, repo)


def _refuse_other_types(connection: sa.Connection, repo: FeatureRepo) -> None:
    """Refuse a repo whose types differ from those of the tables: a column that has rows keeps its type."""
    found = [*tables.contradictions(connection, repo), *store.contradictions(connection, repo)]
    if found:
        raise UsageError(
            "The feature repo contradicts the tables that it was applied to before.",
            details=tuple(found),
            hint="Restore the type, or give the column or the feature a new name.",
        )
