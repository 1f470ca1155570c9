"""The release in production, verified as predict verifies it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import sqlalchemy as sa

from streamflow import release
from streamflow.errors import NotFound, NotYet
from streamflow.mlflow_api.serving_client import ServingClient
from streamflow.model_version.aliases import PRODUCTION
from streamflow.postgres import statements
from streamflow.postgres.engine import transaction
from streamflow.release import Release
from streamflow.settings import DatabaseSettings, MlflowSettings

_SQL = statements.load(Path(__file__).with_name("queries.sql"))


def served_release(mlflow: MlflowSettings, database: DatabaseSettings) -> Release:
    """Load the version in production.

    Raises:
        NotFound: Nothing is in production (`NotYet`: nothing ever was).
        ReleaseRefused: It fails a check.
        DependencyDown: MLflow does not answer.
    """
    found = asyncio.run(_loaded(mlflow))
    if found is not None:
        return found
    name = mlflow.registered_model
    # Before the first promotion there is nothing to do; later, a missing version is an error.
    kind = NotFound if _ever_promoted(database, name) else NotYet
    raise kind(
        f"No version of {name} is promoted to '{PRODUCTION}'.",
        hint=f'Promote one: streamflow models promote VERSION --to {PRODUCTION} --why "…".',
    )


async def _loaded(mlflow: MlflowSettings) -> Release | None:
    registry = ServingClient(mlflow.tracking_uri, mlflow.timeout_seconds)
    try:
        pointer = await registry.resolve(mlflow.registered_model, PRODUCTION)
        return None if pointer is None else release.check(pointer, await registry.fetch(pointer))
    finally:
        await registry.close()


def _ever_promoted(database: DatabaseSettings, model: str) -> bool:
    statement = _SQL["ever_promoted"]
    with transaction(database) as connection:
        return bool(
            connection.execute(sa.text(statement), {"model": model, "alias": PRODUCTION}).scalar_one()
        )
