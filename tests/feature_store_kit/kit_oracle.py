"""What a back end must answer, computed row by row in plain Python: the kit's only truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta

import pandas as pd
from kit_backend import CREATED, EVENT, FEATURES, KEY


@dataclass(frozen=True)
class Row:
    """One row of a table: what was learnt at `created` about `happened`."""

    key: str
    happened: datetime
    created: datetime
    number: int | None = None
    amount: float | None = None
    flag: bool | None = None
    word: str | None = None

    @property
    def values(self) -> tuple[object, ...]:
        """Values of the features."""
        return astuple(self)[3:]


NOTHING = (None,) * len(FEATURES)


def joined(
    rows: Iterable[Row], key: str, at: datetime, ttl: timedelta | None, known_at: datetime | None = None
) -> tuple[object, ...]:
    """Values for an entity at a time: of the rows that are neither newer nor older than the ttl, the newest one's.

    Of rows about the same time, the one that was created last counts. Both ends of the ttl are included.
    """
    usable = [
        row
        for row in rows
        if row.key == key
        and row.happened <= at
        and (ttl is None or row.happened >= at - ttl)
        and (known_at is None or row.created <= known_at)
    ]
    return max(usable, key=lambda row: (row.happened, row.created)).values if usable else NOTHING


def online(writes: Iterable[tuple[Sequence[Row], datetime, datetime]], key: str) -> tuple[object, ...]:
    """Values of an entity after materializations of windows (rows, start, end): older never replaces newer."""
    usable = [
        row for rows, start, end in writes for row in rows if row.key == key and start <= row.happened <= end
    ]
    return max(usable, key=lambda row: (row.happened, row.created)).values if usable else NOTHING


def frame(rows: Iterable[Row]) -> pd.DataFrame:
    """A table's rows as pandas has them, with a type that keeps nulls apart from values."""
    dtypes = {KEY: "string", "number": "Int64", "amount": "Float64", "flag": "boolean", "word": "string"}
    dtypes |= dict.fromkeys((EVENT, CREATED), "datetime64[us, UTC]")
    values = zip(*map(astuple, rows), strict=True)
    # Column by column: pandas takes integers beside nulls for floats otherwise, and rounds them.
    return pd.DataFrame(
        {
            name: pd.array(list(column), dtype=dtypes[name])
            for name, column in zip((KEY, EVENT, CREATED, *FEATURES), values, strict=True)
        }
    )
