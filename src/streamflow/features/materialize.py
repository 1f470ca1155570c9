"""Materialization through Feast: fill the online store from the snapshots, up to an as-of date."""

from __future__ import annotations

import contextlib
import io
from datetime import datetime, timedelta

import sqlalchemy as sa
from feast import FeatureStore

from streamflow.features.store import open_store
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import MaterializedView
from streamflow.postgres.names import MATERIALIZATIONS, ONLINE, quote
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import DatabaseSettings

_ALL_HISTORY = timedelta(days=3650)
"""Window of a view without a ttl: Feast requires a start."""


def materialize(
    database: DatabaseSettings, repo: FeatureRepo, as_of: datetime, store: FeatureStore | None = None
) -> list[MaterializedView]:
    """Write each entity's newest values up to `as_of` into the online tables, for all views at once.

    The window is explicit because `feast materialize-incremental` loses its position when the repo is applied
    again. It ends at `as_of` because an end in the future would block later runs (feast#2905, feast#4222).

    Args:
        database: How to connect to PostgreSQL.
        repo: Definitions of the feature views.
        as_of: End of the window; the newest drop date to materialize.
        store: Feast's feature store; by default the one that the feature repo configures.
    """
    store = store or open_store(database, repo.path)
    _leave_registry(store)
    start = min(as_of - (view.ttl or _ALL_HISTORY) for view in repo.feature_views)
    # Feast prints its progress to stdout, where `--json` writes its document.
    with contextlib.redirect_stdout(io.StringIO()):
        store.materialize(start, as_of)
    with transaction(database) as connection:
        return [_outcome(connection, view.name) for view in repo.feature_views]


def _leave_registry(store: FeatureStore) -> None:
    """Stop Feast from recording states and windows in its registry; `online.materializations` records them.

    Feast can execute code from its registry, so in the cluster only the apply job's role may write to it.
    """

    def ignore(*_arguments: object, **_options: object) -> None:
        pass

    store.registry.apply_feature_view = ignore
    store.registry.apply_materialization = ignore


def _outcome(connection: sa.Connection, view: str) -> MaterializedView:
    row = connection.execute(
        sa.text(
            f"SELECT rows, newest_as_of, (SELECT count(*) FROM {quote(ONLINE, view)}) AS entities"
            f" FROM {ONLINE}.{MATERIALIZATIONS} WHERE feature_view = :view ORDER BY materialization_id DESC LIMIT 1"
        ),
        {"view": view},
    ).one()
    return MaterializedView(view, int(row.rows), int(row.entities), row.newest_as_of)
