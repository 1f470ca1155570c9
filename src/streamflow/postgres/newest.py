"""SQL for the newest row of each entity."""

from __future__ import annotations

from collections.abc import Sequence


def per_entity(
    columns: Sequence[str],
    source: str,
    keys: Sequence[str],
    stamps: Sequence[str],
    where: str = "",
    *,
    keys_descending: bool = False,
) -> str:
    """SELECT of one row per entity: the one with the newest stamps.

    Args:
        columns: What to select, as SQL.
        source: Table, view or subquery to select from, as SQL.
        keys: The entity's key columns, quoted.
        stamps: Time columns, quoted, the one that decides first.
        where: Condition on the rows, as SQL; default: all rows.
        keys_descending: Return entities in descending order. With all columns descending PostgreSQL reads a unique
            index on keys and stamps backwards instead of sorting.
    """
    by = ", ".join(keys)
    ordered = [f"{key} DESC" for key in keys] if keys_descending else list(keys)
    ordered += [f"{stamp} DESC" for stamp in stamps]
    condition = f" WHERE {where}" if where else ""
    return f"SELECT DISTINCT ON ({by}) {', '.join(columns)} FROM {source}{condition} ORDER BY {', '.join(ordered)}"
