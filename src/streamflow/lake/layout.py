"""Where the rows of a drop lie in the lake. Pure."""

from __future__ import annotations

from datetime import date

AS_OF = "as_of"
"""What the name of a month's folder begins with, before `=`."""

SUFFIX = ".parquet"
"""End of the name of a file."""

DEPTH = 4
"""Parts of a file's path below the lake: table, as-of, drop and file."""


def of_table(url: str, table: str) -> str:
    """Folder of a source table.

    Args:
        url: Folder or object store URL of the lake.
        table: Name of the source table.
    """
    return f"{url.rstrip('/')}/{table}"


def of_month(url: str, table: str, as_of: date) -> str:
    """Folder of the rows of one as-of."""
    return f"{of_table(url, table)}/{AS_OF}={as_of.isoformat()}"


def of_drop(url: str, table: str, as_of: date, drop_number: int) -> str:
    """Folder of the rows of one drop, named by its number in the ledger. Its files have the table's declared columns."""
    return f"{of_month(url, table, as_of)}/drop_number={drop_number}"
