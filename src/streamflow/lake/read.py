"""Read rows of the lake as Arrow tables: of one as-of or of some keys, as known at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow import fs

from streamflow import types
from streamflow.errors import DependencyDown
from streamflow.lake import layout
from streamflow.lake.ledger import Drop
from streamflow.lake.place import Place, failures
from streamflow.repo.declarations import SourceTable

MOMENT = pa.timestamp("us", tz="UTC")
_STAMPS = {"as_of": MOMENT, "loaded_at": MOMENT, "drop_id": pa.string()}


def schema(table: SourceTable) -> pa.Schema:
    """Columns of a table's files: the key, then those that the feature repo declares. Pure."""
    declared = [(column.name, pa.type_for_alias(types.of(column.type).arrow)) for column in table.columns]
    return pa.schema([(table.key, pa.string()), *declared])


def drop(
    place: Place,
    table: SourceTable,
    of: Drop,
    columns: Sequence[str] | None = None,
    keys: Collection[str] | None = None,
) -> pa.Table:
    """Rows of a table that came with one drop, in the order of their keys. A column that the files lack is null.

    Args:
        place: The lake.
        table: The table.
        of: The drop, which must have the table.
        columns: Columns to read; None reads all.
        keys: Keys of entities; None reads the rows of all.

    Raises:
        DependencyDown: The lake does not answer, or its files of this drop are gone.
    """
    folder = layout.of_drop(place.root, table.name, of.as_of.date(), of.number)
    condition = None if keys is None else pc.field(table.key).isin(pa.array(sorted(set(keys)), pa.string()))
    with failures(place):
        if place.store.get_file_info(folder).type != fs.FileType.Directory:
            raise DependencyDown(
                f"The rows of {table.name} of the drop {of.drop_id} are not in the lake {place.url}.",
                hint="Check STREAMFLOW_LAKE__URL; if the folder is lost, restore it from the lake's backup.",
            )
        found: Any = ds.dataset(folder, schema(table), format="parquet", filesystem=place.store)
        return found.to_table(columns=None if columns is None else list(columns), filter=condition)


def history(
    place: Place, table: SourceTable, drops: Sequence[Drop], keys: Collection[str] | None = None
) -> pa.Table:
    """Rows of several drops with their stamps, sorted by key, as-of and loaded-at."""
    parts = [_stamped(drop(place, table, of, keys=keys), of) for of in drops]
    if not parts:
        fields = [*schema(table), *(pa.field(name, kind) for name, kind in _STAMPS.items())]
        return pa.schema(fields).empty_table()
    by = [(name, "ascending") for name in (table.key, "as_of", "loaded_at")]
    return pa.concat_tables(parts).sort_by(by).combine_chunks()


def _stamped(rows: pa.Table, of: Drop) -> pa.Table:
    for name, value in (("as_of", of.as_of), ("loaded_at", of.loaded_at), ("drop_id", of.drop_id)):
        column = pa.repeat(pa.scalar(value, _STAMPS[name]), rows.num_rows)
        rows = rows.append_column(pa.field(name, _STAMPS[name]), column)
    return rows


def newest(
    place: Place, table: SourceTable, drops: Sequence[Drop], columns: Sequence[str]
) -> Iterator[pa.Table]:
    """The newest row of each entity among several drops, in one table a drop, the newest drop first.

    Args:
        place: The lake.
        table: The table.
        drops: The drops.
        columns: Columns to read, without the key, which comes first.
    """
    ordered = sorted(drops, key=lambda of: (of.as_of, of.loaded_at), reverse=True)
    seen: list[Any] = []
    for at, of in enumerate(ordered):
        rows = drop(place, table, of, [table.key, *columns])
        for keys in seen:
            rows = rows.filter(pc.invert(pc.is_in(rows.column(0), value_set=keys)))
        if at + 1 < len(ordered):
            seen.append(rows.column(0).combine_chunks())
        yield rows
