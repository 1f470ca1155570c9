"""The release in production, verified as predict verifies it."""

from __future__ import annotations

import asyncio

import sqlalchemy as sa

from streamflow import release
from streamflow.errors import NotFound, NotYet
from streamflow.mlflow_api.serving_client import ServingClient
from streamflow.model_version.aliases import PRODUCTION
from streamflow.postgres.engine import transaction
from streamflow.release import Release
from streamflow.settings import DatabaseSettings, MlflowSettings


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
    statement = "SELECT EXISTS (SELECT FROM streamflow.promotions WHERE model = :model AND alias = :alias)"
    with transaction(database) as connection:
        return bool(
            connection.execute(sa.text(statement), {"model": model, "alias": PRODUCTION}).scalar_one()
        )
