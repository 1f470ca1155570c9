"""Snapshots -> online store, up to an as-of, through Feast."""

from __future__ import annotations

import contextlib
import io
from datetime import datetime, timedelta

import sqlalchemy as sa
from feast import FeatureStore

from streamflow.features.store import open_store
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import MaterializedView
from streamflow.postgres.names import ONLINE, quote
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import Settings

_ALL_HISTORY = timedelta(days=3650)


def materialize(settings: Settings, repo: FeatureRepo, as_of: datetime) -> list[MaterializedView]:
    """Write each entity's newest values up to `as_of` into the online tables, all views at once.

    The window is explicit and ends at the as-of, never in the future: Feast's incremental mark is lost on
    re-apply, and a future end would block later runs (feast#2905, feast#4222).
    """
    store = open_store(settings)
    _leave_registry(store)
    start = min(as_of - (view.ttl or _ALL_HISTORY) for view in repo.feature_views)
    with contextlib.redirect_stdout(io.StringIO()):  # Feast narrates on stdout, which belongs to --json
        store.materialize(start, as_of)
    with transaction(settings) as connection:
        return [_outcome(connection, view.name) for view in repo.feature_views]


def _leave_registry(store: FeatureStore) -> None:
    """Keep Feast's notes of states and windows out of its registry: ours are in `online.materializations`.

    A registry can hold code, so in the cluster the role of this job may not write it, only the apply job's may.
    """

    def ignore(*_arguments: object, **_options: object) -> None:
        pass

    store.registry.apply_feature_view = ignore
    store.registry.apply_materialization = ignore


def _outcome(connection: sa.Connection, view: str) -> MaterializedView:
    row = connection.execute(
        sa.text(
            f"SELECT rows, newest_as_of, (SELECT count(*) FROM {quote(ONLINE, view)}) AS entities"
            " FROM online.materializations WHERE feature_view = :view ORDER BY materialization_id DESC LIMIT 1"
        ),
        {"view": view},
    ).one()
    return MaterializedView(view, int(row.rows), int(row.entities), row.newest_as_of)
