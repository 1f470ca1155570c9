"""Read what was scored, what is recorded, and the scores and labels of one month."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa

from streamflow import types
from streamflow.lake import ledger
from streamflow.model_version import files
from streamflow.model_version.contract import Contract
from streamflow.monitoring import lake_rows
from streamflow.monitoring.quality import months
from streamflow.monitoring.quality.by_slice import Owners
from streamflow.monitoring.quality.figures import Scores
from streamflow.monitoring.quality.months import Drop, Judged, Logged, Released, Scored, Task
from streamflow.postgres import copied, newest, statements
from streamflow.postgres.names import FEATURES, PLATFORM, literal, quote
from streamflow.repo.declarations import Slice
from streamflow.repo.definitions import FeatureRepo
from streamflow.repo.parts import UNKNOWN, part

_SQL = statements.load(Path(__file__).with_name("queries.sql"))

_SCORE = {"probability": pa.float64(), "prediction": pa.bool_()}
_STILL_ANSWERED = timedelta(days=7)
"""How long after the next drop answers may still use values of the drop before: until it is materialized."""
_CLOCKS_APART = timedelta(days=1)
"""How far a drop's load time may be ahead of the clock that dates answers."""


@dataclass(frozen=True)
class Recorded:
    """What there is of a model.

    Attributes:
        drops: All drops.
        scored: What was scored.
        released: The versions whose files are stored, by number.
        judged: What is recorded.
    """

    drops: tuple[Drop, ...]
    scored: tuple[Scored, ...]
    released: dict[int, Released]
    judged: frozenset[Judged]


@dataclass(frozen=True)
class Beside:
    """A column whose values as of a month stand beside scores.

    Attributes:
        name: Name among the columns that are read.
        table: Name of the source table.
        column: Column of the source table.
        as_of: The month.
        known_at: Newest load time of a row.
    """

    name: str
    table: str
    column: str
    as_of: datetime
    known_at: datetime


def recorded(connection: sa.Connection, model: str, known_at: datetime) -> Recorded:
    """Read what a model scored, and what of it is judged.

    Args:
        connection: Connection to read on.
        model: Registered model.
        known_at: Load time up to which drops are seen.
    """
    of_model = {"model": model}
    drops = tuple(
        Drop(_utc(row.as_of), row.drop_id, _utc(row.loaded_at))
        for row in connection.execute(sa.text(_SQL["loaded"]), {"known_at": known_at})
    )
    scored = [
        Scored(row.version, _utc(row.as_of), _utc(row.known_at), row.drop_id, row.scoring_id, row.fingerprint)
        for row in connection.execute(sa.text(_SQL["scorings"]), of_model)
    ]
    judged = frozenset(
        (row.version, row.basis, _utc(row.as_of), row.drop_id, row.label_drop_id)
        for row in connection.execute(sa.text(_SQL["judged"]), of_model)
    )
    batches = {_utc(row.as_of) for row in connection.execute(sa.text(_SQL["scored_months"]), of_model)}
    for month in months.only_logged(drops, batches):
        scored += _logged(connection, model, month, judged)
    versions = sorted({month.version for month in scored})
    return Recorded(drops, tuple(scored), _released(connection, model, versions), judged)


def dates(connection: sa.Connection) -> set[date]:
    """As-of dates of all drops."""
    return {_utc(row.as_of).date() for row in connection.execute(sa.text(_SQL["loaded"]), {"known_at": None})}


def _logged(connection: sa.Connection, model: str, month: Logged, judged: frozenset[Judged]) -> list[Scored]:
    """Who answered with values of a month. The log is searched once; later, what was recorded says it."""
    drop = month.drop
    versions = [key[0] for key in judged if key[1:] == (months.ESTIMATED, drop.as_of, drop.drop_id, "")]
    if not versions:
        values = {
            "model": model,
            "loaded": list(month.loaded),
            "first": month.loaded[0] - _CLOCKS_APART,
            "last": month.last + _STILL_ANSWERED,
        }
        versions = [row.version for row in connection.execute(sa.text(_SQL["logged_versions"]), values)]
    return [Scored(version, drop.as_of, drop.loaded_at, drop.drop_id, None) for version in sorted(versions)]


def _released(connection: sa.Connection, model: str, versions: Sequence[int]) -> dict[int, Released]:
    values = {"model": model, "versions": list(versions), "file": files.CONTRACT}
    return {
        row.version: Released(row.manifest_sha256, Contract.from_json(bytes(row.contract).decode()))
        for row in connection.execute(sa.text(_SQL["contracts"]), values)
        if row.contract is not None
    }


def scores(
    connection: sa.Connection,
    repo: FeatureRepo,
    task: Task,
    drops: Sequence[Drop],
    known_at: datetime,
    lake: str,
) -> Scores:
    """Read a month's scores as they were given then, with their labels and the parts of slices.

    Args:
        connection: Connection in a transaction.
        repo: Definitions of the slices.
        task: The month.
        drops: All drops.
        known_at: Load time up to which labels are read.
        lake: URL of the lake; "" reads PostgreSQL.

    Raises:
        Refused: The rows are in the other one of them.
        DependencyDown: The lake does not answer.
    """
    month, contract = task.scored, task.released.contract
    given = _batch(month) if month.scoring_id is not None else _log(contract.model, month, drops)
    beside = [
        Beside(f"slice{number}", item.table, item.column, month.as_of, month.known_at)
        for number, item in enumerate(repo.slices)
    ]
    if task.labels is not None:
        of_label = contract.label
        beside.append(Beside("label", of_label["table"], of_label["column"], task.labels.as_of, known_at))
    if lake:
        table = _with_lake(connection, repo, given, beside, lake)
    else:
        table = _with_postgresql(connection, repo, contract.join_key, given, beside)
    label = (
        pa.nulls(table.num_rows, pa.bool_())
        if task.labels is None
        else table.column("label").combine_chunks()
    )
    return Scores(
        table.column("probability").to_numpy().astype(np.float64),
        _flags(table.column("prediction").combine_chunks()),
        _flags(label.fill_null(False)),
        _flags(label.is_valid()),
        {item.name: owners(item, table.column(f"slice{i}")) for i, item in enumerate(repo.slices)},
    )


def _with_postgresql(
    connection: sa.Connection, repo: FeatureRepo, key: str, given: str, beside: Sequence[Beside]
) -> pa.Table:
    """Read scores, and what stands beside them, in one COPY."""
    ledger.refuse_rows_in_lake(connection)
    columns, selected, joins = dict(_SCORE), [f"s.{name}" for name in _SCORE], ""
    for item in beside:
        joins += f" LEFT JOIN ({_select(repo, key, item)}) {item.name} ON {item.name}.entity = s.entity"
        selected.append(f"{item.name}.value")
        kind = repo.table(item.table).column(item.column).type
        columns[item.name] = pa.type_for_alias(types.of(kind).arrow)
    # PostgreSQL may expect few rows of a scoring that was just stored, and then join a million rows one by one.
    connection.exec_driver_sql("SET LOCAL enable_nestloop TO off")
    return copied.table(connection, f"SELECT {', '.join(selected)} FROM ({given}) s{joins}", columns)


def _with_lake(
    connection: sa.Connection, repo: FeatureRepo, given: str, beside: Sequence[Beside], lake: str
) -> pa.Table:
    """Read scores in one COPY, and what stands beside them from the files of the lake."""
    columns = {"entity": pa.string(), **_SCORE}
    table = copied.table(connection, f"SELECT {', '.join(columns)} FROM ({given}) s", columns)
    for item in beside:
        rows = lake_rows.of_month(
            connection, lake, repo.table(item.table), [item.column], item.as_of, item.known_at
        )
        table = table.append_column(item.name, lake_rows.values_of(table.column("entity"), rows))
    return table


def owners(item: Slice, column: pa.ChunkedArray) -> Owners:
    """The part of a slice that each value belongs to; each distinct value is looked at once. Pure."""
    encoded = column.combine_chunks().dictionary_encode()
    of_value = [part(item, value) for value in encoded.dictionary.to_pylist()]
    names = tuple(sorted({*of_value, UNKNOWN}))
    places = {name: at for at, name in enumerate(names)}
    table = np.array([places[name] for name in of_value] + [places[UNKNOWN]], dtype=np.int64)
    codes = encoded.indices.fill_null(len(of_value)).to_numpy(zero_copy_only=False)
    return Owners(names, table[codes])


def _batch(month: Scored) -> str:
    return (
        f"SELECT entity, probability, prediction FROM {PLATFORM}.scores WHERE scoring_id = {month.scoring_id}"
    )


def _log(model: str, month: Scored, drops: Sequence[Drop]) -> str:
    """The newest answer of each entity that was given with values of the month."""
    loaded = [drop.loaded_at for drop in drops if drop.as_of == month.as_of]
    listed = ", ".join(f"TIMESTAMPTZ '{moment.isoformat()}'" for moment in loaded)
    where = (
        f"model = {literal(model)} AND version = {month.version} AND loaded_at IN ({listed})"
        f" AND answered_at >= TIMESTAMPTZ '{(loaded[0] - _CLOCKS_APART).isoformat()}'"
    )
    columns = ["entity", "probability", "prediction"]
    return newest.per_entity(columns, f"{PLATFORM}.predictions", ["entity"], ["answered_at"], where)


def _select(repo: FeatureRepo, key: str, item: Beside) -> str:
    """SELECT of a column of a month's rows by entity, as known at a time. It reads no other month's rows."""
    view = quote(FEATURES, repo.table(item.table).snapshots)
    columns = [f"CAST({quote(key)} AS text) AS entity", f"{quote(item.column)} AS value"]
    where = (
        f"as_of = TIMESTAMPTZ '{item.as_of.isoformat()}'"
        f" AND loaded_at <= TIMESTAMPTZ '{item.known_at.isoformat()}'"
    )
    return newest.per_entity(columns, view, [quote(key)], ["loaded_at"], where)


def _flags(column: pa.Array) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = column.to_numpy(zero_copy_only=False).astype(bool)
    return found


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
