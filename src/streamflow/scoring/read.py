"""Read every entity's newest feature values as of a date, in chunks of columns ordered by descending key."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa

from streamflow import types as value_types
from streamflow.errors import Refused
from streamflow.model_version.contract import Contract, Feature
from streamflow.postgres import copied
from streamflow.postgres.names import quote
from streamflow.postgres.newest import per_entity
from streamflow.repo.definitions import FeatureRepo

KEY = "key"
"""Column of the entities' keys in rows that are scored."""


@dataclass(frozen=True)
class Shard:
    """A part of all entities: those whose key has a certain hash.

    PostgreSQL computes the hash, as it does for hash partitions. So it is the same for all processes that ask one server,
    whatever machine they run on, and every key belongs to exactly one of `count` shards.

    Attributes:
        index: Number of the shard, from 0.
        count: Number of shards.
    """

    index: int
    count: int

    def condition(self, key: str) -> str:
        """SQL that is true for the keys of this shard; "" if there is but one.

        Args:
            key: Quoted name of the key's column.
        """
        if self.count == 1:
            return ""
        # The mask clears the sign, so that the remainder is not negative.
        return f"(hashtextextended({key}::text, 0) & {2**63 - 1}) % {self.count} = {self.index}"


EVERYBODY = Shard(0, 1)


@dataclass(frozen=True)
class Chunk:
    """Feature values of n entities, as arrays of length n.

    Attributes:
        keys: Keys of the entities.
        columns: One array per feature of the contract. A null is NaN if the feature is nullable, otherwise
            zero, False or "".
        absent: One mask per feature, True where the value is null.
        stamps: One array per view of the contract: as-of in seconds since 1970, NaN if the entity has no row.
    """

    keys: pa.Array
    columns: tuple[npt.NDArray[Any], ...]
    absent: tuple[npt.NDArray[np.bool_], ...]
    stamps: tuple[npt.NDArray[np.float64], ...]


def check_fits(repo: FeatureRepo, contract: Contract) -> None:
    """Check that the feature repo still defines every feature that the model was trained on.

    Raises:
        Refused: A feature or the join key is missing; the message names it.
    """
    known = {f"{view.name}:{feature.name}" for view in repo.feature_views for feature in view.features}
    gone = [name for f in contract.features if (name := f"{f.view}:{f.name}") not in known]
    if contract.join_key != repo.join_key:
        gone.append(f"the join key {contract.join_key}")
    if gone:
        raise Refused(
            f"The model needs what the feature repo no longer has: {', '.join(gone)}.",
            hint="Train and promote a version on the present features.",
        )


def newest_as_of(
    connection: sa.Connection, repo: FeatureRepo, contract: Contract, schema: str, as_of: datetime
) -> tuple[float, ...]:
    """Each view's newest as-of up to `as_of`, in seconds since 1970; NaN for an empty view."""
    return tuple(_newest_as_of(connection, repo, view.name, schema, as_of) for view in contract.views)


def _newest_as_of(
    connection: sa.Connection, repo: FeatureRepo, view: str, schema: str, as_of: datetime
) -> float:
    source: Any = repo.view(view).batch_source
    table, stamp = quote(schema, source.name), quote(source.timestamp_field)
    values = {"as_of": as_of}
    # The greatest as-of is searched in all months, so first it is asked whether the last one has rows.
    has_rows = sa.text(f"SELECT EXISTS (SELECT FROM {table} WHERE {stamp} = :as_of)")
    if connection.execute(has_rows, values).scalar_one():
        return as_of.timestamp()
    greatest = sa.text(f"SELECT extract(epoch FROM max({stamp}))::float8 FROM {table} WHERE {stamp} < :as_of")
    found: float | None = connection.execute(greatest, values).scalar_one()
    return math.nan if found is None else found


def statement(
    repo: FeatureRepo,
    contract: Contract,
    schema: str,
    as_of: datetime,
    newest: Sequence[float],
    shard: Shard = EVERYBODY,
) -> str:
    """SELECT of every entity of a shard known by `as_of`: its key, its features and its row's as-of in each view.

    Which entities there are is read in the entity table's rows of all months. Older months of a view are read only if
    there is an entity without a row since the view's newest as-of.

    Args:
        repo: Definitions of the features.
        contract: Contract of the version that takes them.
        schema: Schema of the snapshot views.
        as_of: Newest as-of of a row.
        newest: Each view's newest as-of, as `newest_as_of` returns it. Any other would give the same rows, but slower.
        shard: Which entities.
    """
    position = {view.name: i for i, view in enumerate(contract.views)}
    key = quote(repo.join_key)
    columns = [f"k.{key} AS {KEY}"]
    columns += [f"v{position[f.view]}.f{i} AS f{i}" for i, f in enumerate(contract.features)]
    columns += [f"v{i}.stamp AS s{i}" for i in range(len(contract.views))]
    until = f"as_of <= {_moment(as_of)}"
    conditions = " AND ".join(filter(None, [until, shard.condition(key)]))
    entities = quote(schema, repo.entity_table.snapshots)
    parts, joins = [f"k AS MATERIALIZED (SELECT DISTINCT {key} FROM {entities} WHERE {conditions})"], ""
    for i, (view, latest) in enumerate(zip(contract.views, newest, strict=True)):
        of_view = _ViewRows.of(repo, contract, view.name, schema, shard)
        # A view without a row up to the as-of has none to split.
        split = as_of if math.isnan(latest) else min(as_of, datetime.fromtimestamp(latest, UTC))
        parts.append(f"m{i} AS MATERIALIZED ({of_view.missing(split, as_of)})")
        joins += f" LEFT JOIN ({of_view.newest(split, as_of, f'm{i}')}) v{i} USING ({key})"
    return f"WITH {', '.join(parts)} SELECT {', '.join(columns)} FROM k{joins} ORDER BY k.{key} DESC"


@dataclass(frozen=True)
class _ViewRows:
    """SQL of the rows of a view for the entities in `k`, which are split by an as-of.

    Attributes:
        table: Snapshot view, quoted.
        key: Column of the key, quoted.
        stamp: Column of the as-of, quoted.
        loaded: Column of the load time, quoted.
        columns: What to select, as SQL.
        shard: Condition on the key, as SQL; "" for none.
    """

    table: str
    key: str
    stamp: str
    loaded: str
    columns: list[str]
    shard: str

    @classmethod
    def of(cls, repo: FeatureRepo, contract: Contract, name: str, schema: str, shard: Shard) -> _ViewRows:
        """The rows of a view with the features of a contract."""
        source: Any = repo.view(name).batch_source
        mapping = {feature: column for column, feature in (source.field_mapping or {}).items()}
        key, stamp = quote(repo.join_key), quote(source.timestamp_field)
        columns = [key, f"extract(epoch FROM {stamp})::float8 AS stamp"]
        columns += [
            f"{quote(mapping.get(feature.name, feature.name))} AS f{i}"
            for i, feature in enumerate(contract.features)
            if feature.view == name
        ]
        loaded = quote(source.created_timestamp_column)
        return cls(quote(schema, source.name), key, stamp, loaded, columns, shard.condition(key))

    def missing(self, split: datetime, as_of: datetime) -> str:
        """SELECT of the entities without a row from `split` to `as_of`; of none if there is no older row at all."""
        since = self._where(f"{self.stamp} BETWEEN {_moment(split)} AND {_moment(as_of)}")
        return (
            f"SELECT k.{self.key} FROM k WHERE EXISTS (SELECT FROM {self.table} WHERE {self.stamp} < {_moment(split)})"
            f" AND NOT EXISTS (SELECT FROM {self.table} AS s WHERE s.{self.key} = k.{self.key} AND {since})"
        )

    def newest(self, split: datetime, as_of: datetime, missing: str) -> str:
        """SELECT of each entity's newest row up to `as_of`: from `split` on, and before it of those in `missing`."""
        since = self._where(f"{self.stamp} BETWEEN {_moment(split)} AND {_moment(as_of)}")
        # The second condition is checked once, before anything is read.
        lacking = f"{self.key} IN (SELECT {self.key} FROM {missing}) AND EXISTS (SELECT FROM {missing})"
        before = self._where(f"{self.stamp} < {_moment(split)}", lacking)
        return f"({self._per_entity(since)}) UNION ALL ({self._per_entity(before)})"

    def _where(self, *conditions: str) -> str:
        # In each subquery, so that a shard sorts and joins its own rows alone.
        return " AND ".join(filter(None, (*conditions, self.shard)))

    def _per_entity(self, where: str) -> str:
        stamps = [self.stamp, self.loaded]
        return per_entity(self.columns, self.table, [self.key], stamps, where, keys_descending=True)


def _moment(moment: datetime) -> str:
    return f"TIMESTAMPTZ '{moment.isoformat()}'"


def chunks(
    connection: sa.Connection, contract: Contract, select: str, rows: int
) -> Generator[Chunk, None, None]:
    """Run a SELECT made by `statement` and yield its result in chunks.

    Close the generator before the transaction ends: psycopg holds the connection's lock until the COPY has ended, so
    after an error elsewhere the rollback would wait for ever.

    Args:
        connection: Connection in a transaction that lasts until the last chunk is read.
        contract: Contract that the SELECT was made for.
        select: The SELECT.
        rows: Largest number of rows in a chunk.
    """
    cursor: Any = connection.connection.cursor()
    with cursor.copy(f"COPY ({select}) TO STDOUT (FORMAT csv)") as copy:
        # PostgreSQL sends each row of a COPY as one message, so a block is a row.
        blocks = iter(copy)
        while block := list(islice(blocks, rows)):
            yield _parsed(contract, b"".join(block))


def _parsed(contract: Contract, content: bytes) -> Chunk:
    return chunk(contract, copied.parse(content, types(contract)))


def types(contract: Contract) -> dict[str, pa.DataType]:
    """Name and type of each column of the rows that `chunk` takes: the key, the features, a stamp of each view."""
    names = {f"f{i}": value_types.of(feature.type).arrow for i, feature in enumerate(contract.features)}
    stamps = {f"s{i}": pa.float64() for i in range(len(contract.views))}
    return {KEY: pa.string()} | {name: pa.type_for_alias(of) for name, of in names.items()} | stamps


def chunk(contract: Contract, rows: pa.Table) -> Chunk:
    """Make a chunk of rows. Pure.

    Args:
        contract: Contract of the version that will score them.
        rows: Rows with the columns of `types`.
    """
    columns = [rows.column(f"f{i}").combine_chunks() for i in range(len(contract.features))]
    return Chunk(
        keys=rows.column(KEY).combine_chunks(),
        columns=tuple(_values(f, c) for f, c in zip(contract.features, columns, strict=True)),
        absent=tuple(c.is_null().to_numpy(zero_copy_only=False) for c in columns),
        stamps=tuple(rows.column(f"s{i}").to_numpy().astype(np.float64) for i in range(len(contract.views))),
    )


def _values(feature: Feature, column: pa.Array) -> npt.NDArray[Any]:
    if feature.nullable:
        filled = column.cast(pa.float64(), safe=False).fill_null(float("nan"))
    else:
        filled = column.fill_null(value_types.of(feature.type).zero)
    values: npt.NDArray[Any] = filled.to_numpy(zero_copy_only=False)
    return values
