"""Which snapshots a feature view reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from feast import FeatureView


def snapshots_of(view: FeatureView) -> str:
    """Name of the snapshots that a feature view reads: the table of its source; the source's name if it is a query."""
    source = view.batch_source
    reads = str(source.get_table_query_string())
    return str(source.name) if reads.startswith("(") else reads
