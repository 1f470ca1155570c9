"""The number by which a row of a source table names its drop, and what follows from it: its dates and its drop's id."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from streamflow.postgres.names import PLATFORM, SOURCE, quote

COLUMN = "drop_number"
"""Column of the ledger and of each source table."""

STAMPS = ("as_of", "loaded_at", "drop_id")
"""Columns of the snapshot views that follow from the number."""

MOST_DROPS = 4095
"""Most drops of one as-of."""

_BITS = 12
_EPOCH = date(1970, 1, 1)


def of(as_of: date, sequence: int) -> int:
    """Number of a drop, as the ledger generates it. Pure."""
    return ((as_of - _EPOCH).days << _BITS) + sequence


def date_of(number: int) -> date:
    """The as-of of a drop. Pure."""
    return _EPOCH + timedelta(days=number >> _BITS)


def as_of(row: str = "") -> str:
    """SQL of the as-of in a row's number. Source tables are partitioned by it, so conditions on it select partitions.

    Args:
        row: Name of the row, as SQL; "" if the column needs none.
    """
    number = f"{row}.{COLUMN}" if row else COLUMN
    return f"to_timestamp(({number} >> {_BITS}) * 86400::double precision)"


def snapshots(table: str, columns: Sequence[str]) -> str:
    """SELECT of columns of a source table and of STAMPS."""
    stamps = {"as_of": f"{as_of('s')} AS as_of", "loaded_at": "d.loaded_at", "drop_id": "d.drop_id"}
    selected = ", ".join(stamps.get(column) or f"s.{quote(column)}" for column in columns)
    return (
        f"SELECT {selected} FROM {quote(SOURCE, table)} s JOIN {PLATFORM}.drops d ON d.{COLUMN} = s.{COLUMN}"
    )
