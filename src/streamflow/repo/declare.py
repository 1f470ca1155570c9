"""What the files of a feature repo are written with: tables, their columns, and the words for its entity.

They build ordinary pandera schemas. What streamflow reads from a schema's metadata is checked here by type, so that an
editor and mypy see a misspelt word before `streamflow features check` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pandera.pandas as pa

from streamflow.repo.declarations import ENTITIES, NOT_AFTER_AS_OF, NULL, SNAPSHOTS, NullMeaning, Slice
from streamflow.repo.words import Words

__all__ = ["Slice", "Words", "column", "key", "table"]

Dtype = Literal["Int64", "Float64", "boolean", "string", "datetime64[ns]"]
"""Type of a column, as pandera names it."""


def column(
    dtype: Dtype,
    *checks: pa.Check,
    null: NullMeaning = "",
    not_after_as_of: bool = False,
    description: str = "",
) -> pa.Column:
    """A column of a source table.

    Args:
        dtype: Its type.
        *checks: What a value must satisfy; a row that fails goes to quarantine.
        null: Meaning of an empty cell: "" is an error, "missing" an unknown value, for which no prediction is made,
            "not_applicable" a value of its own, that models are trained on.
        not_after_as_of: Whether a date may not be later than the as-of date of its drop.
        description: What a value says, in one sentence; Feast and PostgreSQL show it.
    """
    metadata = {NULL: null, NOT_AFTER_AS_OF: not_after_as_of}
    return pa.Column(
        dtype, list(checks), nullable=bool(null), metadata=metadata, description=description or None
    )


def key(name: str, *checks: pa.Check) -> pa.Column:
    """The key column of every table: the string that names one entity."""
    return pa.Column("string", list(checks), nullable=False, name=name)


def table(
    name: str,
    key: pa.Column,
    columns: Mapping[str, pa.Column],
    *,
    snapshots: str | None = None,
    entities: bool | Words = False,
    description: str = "",
) -> pa.DataFrameSchema:
    """A source table, which is one CSV file of each drop.

    Args:
        name: Name of the table, and of its file without the ending.
        key: The key column, made by `key`; the same in every table.
        columns: The other columns, by name.
        snapshots: Name of the view that Feast reads; by default that of the table followed by `_snapshots`.
        entities: Whether the table has every entity, as exactly one table has; `Words` to say so and what one entity
            is called, such as `Words("customer")`.
        description: What a row says, in one sentence; PostgreSQL shows it.
    """
    return pa.DataFrameSchema(
        {str(key.name): key, **columns},
        name=name,
        description=description or None,
        unique=[str(key.name)],
        strict=True,
        metadata={SNAPSHOTS: f"{name}_snapshots" if snapshots is None else snapshots, ENTITIES: entities},
    )
