"""Newest as-of and columns of each feature view in the online store; read at every poll."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streamflow.postgres import statements
from streamflow.predict.features.connections import Connections

_SQL = statements.load(Path(__file__).parents[1] / "queries.sql")


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
    rows = await connections.fetch(_SQL["online_facts"], timeout=timeout)
    return OnlineFacts(
        newest={view: newest for view, _, _, newest in rows if newest is not None},
        columns={view: dict(zip(names, types, strict=True)) for view, names, types, _ in rows},
    )
