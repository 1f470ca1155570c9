"""What all contenders share: a separate stack with the sample drops and a 300-tree forest in production."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from streamflow import settings as settings_module
from streamflow.local import stack
from streamflow.model_version.aliases import PromotionAlias
from streamflow.postgres.engine import transaction
from streamflow.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
ESTIMATOR = "random_forest"
LINEAR, LINEAR_MODEL = "logistic_regression", "streamflow_bench_linear"
"""A cheap estimator, and the registered model that it is served as."""
ALIASES: tuple[PromotionAlias, ...] = ("staging", "production")
"""Ways of a version into production."""
_SAMPLE = ROOT.parent / "shared" / "data" / "streamflow"
_SIMULATED_USERS = 7000
Tell = Callable[[str], None]


@dataclass(frozen=True)
class World:
    """A running stack with a model in production.

    Attributes:
        settings: Settings of the stack.
        data: Description of the data, for the results.
        users: Keys of users with complete features, in pseudo-random order.
        rows: Features of the same users by name, as requests to MLflow's scoring server contain them.
        version: Model version in production.
    """

    settings: Settings
    data: str
    users: list[str]
    rows: list[dict[str, Any]]
    version: int


@contextlib.contextmanager
def running(tell: Tell) -> Iterator[World]:
    """Run a stack with data and a model in a temporary folder; always stop it at the end."""
    with stack_alone(tell) as (settings, folder):
        data, version = _fill(settings, folder, tell)
        users, rows = _sample(settings)
        yield World(settings, data, users, rows, version)


@contextlib.contextmanager
def stack_alone(tell: Tell) -> Iterator[tuple[Settings, Path]]:
    """Run an empty stack in a temporary folder; yield its settings and the folder, and always stop it at the end."""
    for name in list(os.environ):
        if name.startswith(("STREAMFLOW_", "MLFLOW_", "FEAST_", "PG")):
            del os.environ[name]
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with tempfile.TemporaryDirectory(prefix="streamflow-bench-") as folder:
        home = Path(folder) / "home"
        base = settings_module.load(home=home, feast={"repo": ROOT / "feature_repo"})
        try:
            settings = stack.up(base, tell)
            os.environ["STREAMFLOW_HOME"] = str(settings.home)
            yield settings, Path(folder)
        finally:
            tell("stopping the stack")
            stack.down(home)


def _fill(settings: Settings, folder: Path, tell: Tell) -> tuple[str, int]:
    from streamflow.challenger import train
    from streamflow.drops.inbox import dated_folders
    from streamflow.jobs.ingest import ingest_folder
    from streamflow.jobs.materialize import materialize
    from streamflow.local.simulate import Simulation, simulate
    from streamflow.registry.promote import promote

    drops = drops_folder()
    if drops is None:
        data = f"{_SIMULATED_USERS} simulated users"
        drops = folder / "drops"
        simulate(settings.feast.repo, drops, Simulation(users=_SIMULATED_USERS, months=2))
    else:
        data = "the sample drops (7,043 users)"
    loaded = list(dated_folders(drops))
    for as_of, drop in loaded:
        tell(f"ingesting {as_of}")
        ingest_folder(settings, drop, as_of)
    tell("materializing")
    materialize(settings)
    tell("training the forest and the logistic regression")
    versions = []
    for each, estimator in ((settings, ESTIMATOR), (linear(settings), LINEAR)):
        version = train(each, loaded[0][0], estimator=estimator).version
        for alias in ALIASES:
            promote(each.backends, version, alias, why="benchmark", by="bench")
        versions.append(version)
    return data, versions[0]


def linear(settings: Settings) -> Settings:
    """The same stack, with the logistic regression as its registered model."""
    return settings.model_copy(
        update={"mlflow": settings.mlflow.model_copy(update={"registered_model": LINEAR_MODEL})}
    )


def drops_folder() -> Path | None:
    """Folder of the sample drops; None if they are not available."""
    given = os.environ.get("TEST_DATA")
    for folder in ([Path(given)] if given else []) + [_SAMPLE]:
        if (folder / "month_001" / "users.csv").is_file():
            return folder
    return None


def _sample(settings: Settings) -> tuple[list[str], list[dict[str, Any]]]:
    """Users whom predict accepts, and their features."""
    from streamflow.registry.served import served_release

    contract = served_release(settings.database, settings.mlflow.registered_model).contract
    key = contract.join_key
    position = {view.name: f"v{i}" for i, view in enumerate(contract.views)}
    names = ", ".join(f'{position[f.view]}."{f.name}"' for f in contract.features)
    first, *others = (f'online."{view.name}" {position[view.name]}' for view in contract.views)
    joins = "".join(f' JOIN {other} USING ("{key}", event_timestamp)' for other in others)
    complete = " AND ".join(
        f'{position[f.view]}."{f.name}" IS NOT NULL' for f in contract.features if not f.nullable
    )
    statement = (
        f'SELECT "{key}", {names} FROM {first}{joins} WHERE {complete}'
        " AND event_timestamp = (SELECT max(newest_as_of) FROM online.materializations)"
        f' ORDER BY md5("{key}")'
    )
    with transaction(settings.database) as connection:
        found = connection.execute(sa.text(statement)).all()
    rows = [dict(zip(contract.feature_names, row[1:], strict=True)) for row in found]
    return [row[0] for row in found], json.loads(json.dumps(rows))
