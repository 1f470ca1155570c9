"""Read what harm is judged by: the contract in production, the scores that were given, and their labels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from streamflow.model_version import files as version_files
from streamflow.model_version.contract import Contract
from streamflow.monitoring.harm import losses
from streamflow.monitoring.harm.bounds import Losses
from streamflow.monitoring.harm.months import Drop, Month, Scored
from streamflow.postgres import copied, statements
from streamflow.postgres.names import PLATFORM, SOURCE, literal, quote
from streamflow.postgres.newest import per_entity

_SQL = statements.load(Path(__file__).with_name("queries.sql"))
_SCORE, _LABEL = "probability", "label"


@dataclass(frozen=True)
class Served:
    """The version in production.

    Attributes:
        version: Number of the version.
        contract: Its contract.
    """

    version: int
    contract: Contract


def served(connection: sa.Connection, model: str) -> Served | None:
    """Read the version in production and its contract; None if there is none, or its files are not stored."""
    values = {"model": model, "file": version_files.CONTRACT}
    row = connection.execute(sa.text(_SQL["contract"]), values).first()
    if row is None or row.contract is None:
        return None
    return Served(row.version, Contract.from_json(bytes(row.contract).decode()))


def drops(connection: sa.Connection) -> list[Drop]:
    """The newest drop of each as-of."""
    return [Drop(**row._mapping) for row in connection.execute(sa.text(_SQL["drops"]))]


def scored(connection: sa.Connection, model: str, version: Served) -> list[Scored]:
    """The months after its training set that a version scored, each by its newest scoring."""
    values = {
        "model": model,
        "version": version.version,
        "fingerprint": version.contract.fingerprint,
        "after": datetime.fromisoformat(version.contract.as_of),
    }
    return [Scored(**row._mapping) for row in connection.execute(sa.text(_SQL["scorings"]), values)]


def losses_of(connection: sa.Connection, contract: Contract, month: Month) -> tuple[Losses, str]:
    """Losses of the scores of a month, and why there are none."""
    scores = f"SELECT entity, {_SCORE} FROM {PLATFORM}.scores WHERE scoring_id = {int(month.scored.scoring_id)}"
    if month.labels is None:
        found = copied.table(connection, f"SELECT {_SCORE} FROM ({scores}) s", {_SCORE: pa.float64()})
        why = "the scores of the month are deleted" if month.scored.removed else "no entity of the month has a score"
        return losses.estimated(found.column(_SCORE).to_numpy()), why
    types = {_SCORE: pa.float64(), _LABEL: pa.bool_()}
    labels = _labels(contract, month.labels)
    select = f"SELECT s.{_SCORE}, l.{_LABEL} FROM ({scores}) s JOIN ({labels}) l USING (entity) WHERE l.{_LABEL} IS NOT NULL"
    both = copied.table(connection, select, types)
    values = both.column(_LABEL).to_numpy(zero_copy_only=False).astype(np.bool_)
    why = "the scores of the month are deleted" if month.scored.removed else "no score of the month has a label"
    return losses.realized(both.column(_SCORE).to_numpy(), values), why


def _labels(contract: Contract, drop: Drop) -> str:
    key, label = quote(contract.join_key), contract.label
    where = " AND ".join(
        (
            f"as_of = TIMESTAMPTZ {literal(drop.as_of.isoformat())}",
            f"loaded_at <= TIMESTAMPTZ {literal(drop.loaded_at.isoformat())}",
        )
    )
    columns = [f"CAST({key} AS text) AS entity", f"{quote(label['column'])} AS {_LABEL}"]
    return per_entity(columns, quote(SOURCE, label["table"]), [key], ["loaded_at"], where)
