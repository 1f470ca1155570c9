"""Newest as-of and columns of each feature view in the online store; read at every poll."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streamflow.predict.features.connections import Connections

_STATEMENT = """
    SELECT c.relname, array_agg(a.attname::text), array_agg(format_type(a.atttypid, NULL)),
      (SELECT extract(epoch FROM m.newest_as_of)::float8 FROM online.materializations m
       WHERE m.feature_view = c.relname AND m.newest_as_of IS NOT NULL ORDER BY m.materialization_id DESC LIMIT 1)
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE n.nspname = 'online' AND c.relkind = 'r'
    GROUP BY c.relname
"""


@dataclass(frozen=True)
class OnlineFacts:
    """The online store at one moment.

    Attributes:
        newest: Newest materialized event timestamp per feature view, in seconds since 1970; without the views that
            were never materialized.
        columns: SQL type per column, per feature view.
    """

    newest: Mapping[str, float]
    columns: Mapping[str, Mapping[str, str]]


async def read(connections: Connections, timeout: float) -> OnlineFacts:
    """Read the facts from the online store.

    Raises:
        ProblemError: The online store does not answer, or was never set up.
    """
    rows = await connections.fetch(_STATEMENT, timeout=timeout)
    return OnlineFacts(
        newest={view: newest for view, _, _, newest in rows if newest is not None},
        columns={view: dict(zip(names, types, strict=True)) for view, names, types, _ in rows},
    )
