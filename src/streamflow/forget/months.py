"""Drop whole old months: rows in PostgreSQL with the record, those in the lake, then training sets of runs in MLflow."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from streamflow import log
from streamflow.erasure import acts, months
from streamflow.errors import DependencyDown, StreamFlowError
from streamflow.forget.runs import content
from streamflow.lake import forget as lake_forget
from streamflow.lake import place
from streamflow.mlflow_api.transport import RegistryClient, registry
from streamflow.model_version import files
from streamflow.model_version.contract import Contract
from streamflow.settings import DatabaseSettings, MlflowSettings
from streamflow.training import erased

_ROWS, _SPLIT = (f"{files.TRAINING_SET}/{name}" for name in (files.ROWS, files.SPLIT))
_CONTRACT = f"{files.MODEL}/{files.CONTRACT}"


@dataclass(frozen=True)
class Dropped:
    """What was dropped.

    Attributes:
        before: Rows of an earlier as-of are gone.
        rows: Removed rows, by table.
        runs: Runs whose stored training set was replaced by one without rows.
    """

    before: datetime
    rows: dict[str, int]
    runs: tuple[str, ...]


def forget(database: DatabaseSettings, mlflow: MlflowSettings, keep: int, lake: str = "") -> Dropped | None:
    """Drop all months but the newest ones. A call that was killed is completed by the next.

    Args:
        database: How to connect to PostgreSQL.
        mlflow: MLflow's server.
        keep: Number of months to keep, counted back from the month of the newest drop.
        lake: URL of the lake that has the rows of drops; "" if PostgreSQL has them.

    Returns:
        What was dropped; None before the first drop.

    Raises:
        Busy: A job that could bring rows back is running.
        DependencyDown: PostgreSQL does not answer; or the lake or MLflow does not: the message names what is left.
    """
    with acts.undisturbed(database):
        done = months.forget(database, keep)
        if done is None:
            return None
        before, rows = done
        if lake:
            rows |= _drop_files(lake, before)
        try:
            with registry(mlflow) as client:
                runs = _empty_runs(client, mlflow, before)
        except StreamFlowError as error:
            raise DependencyDown(
                f"Rows of before {before:%Y-%m} are gone from PostgreSQL, and the training sets of runs of before"
                f" {before:%Y-%m} are left: {error.what}",
                details=error.details,
                hint="Run the job 'retention' again when MLflow answers; it completes what is left.",
            ) from error
        _vacuum(database)
    return Dropped(before, rows, runs)


def _drop_files(lake: str, before: datetime) -> dict[str, int]:
    try:
        return lake_forget.months(place.opened(lake), before)
    except StreamFlowError as error:
        raise DependencyDown(
            f"Rows of before {before:%Y-%m} are gone from PostgreSQL, and left in the lake: {error.what}",
            hint="Run the job 'retention' again when the lake answers; it completes what is left.",
        ) from error


def _empty_runs(client: RegistryClient, mlflow: MlflowSettings, before: datetime) -> tuple[str, ...]:
    folders = client.run_folders(mlflow.experiment, mlflow.registered_model)
    return tuple(run_id for run_id, folder in folders.items() if _empty(client, folder, before))


def _empty(client: RegistryClient, folder: str, before: datetime) -> bool:
    """Replace the training set of an old run by one without rows; False if the run is newer or has none."""
    paths = {path.removeprefix(f"{folder}/"): path for path in client.listed(folder)}
    if not {_ROWS, _SPLIT, _CONTRACT} <= paths.keys():
        return False
    contract = Contract.from_json(content(client, paths[_CONTRACT]).decode())
    if datetime.fromisoformat(contract.as_of) >= before:
        return False
    rows, split = content(client, paths[_ROWS]), content(client, paths[_SPLIT])
    left = erased.without(contract, rows, split, lambda _: True)
    if left is None:
        return False
    # The rows last, as an erasure does: as long as they are there, whoever reads them sees that something is left to do.
    for path, data in ((paths[_SPLIT], left.split), (paths[_ROWS], left.rows)):
        client.upload(path, io.BytesIO(data), len(data))
    return True


def _vacuum(database: DatabaseSettings) -> None:
    try:
        left = acts.vacuum(database)
    except sa.exc.DBAPIError:
        left = ["the tables"]
    if left:
        log.get(__name__).warning("removed rows stay on disk until autovacuum has cleaned", tables=left)
