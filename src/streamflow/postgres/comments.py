"""Comments on tables, views and their columns, for whoever looks at them with psql."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from streamflow.postgres import catalog
from streamflow.postgres.names import literal, quote


@dataclass(frozen=True)
class Described:
    """A table or view in words.

    Attributes:
        about: What a row says.
        columns: What each column says, by name.
    """

    about: str
    columns: Mapping[str, str]


def ensure(connection: sa.Connection, schema: str, wanted: Mapping[str, Described]) -> None:
    """Set the comments of a schema that differ from those wanted, on what the login may comment on.

    Args:
        connection: A connection whose login owns the relations, or acts as their owner.
        schema: Schema of the relations.
        wanted: Tables and views in words, by name; others keep their comments.
    """
    for held in catalog.comments(connection, schema):
        described = wanted.get(held.relation)
        if described is None or not held.ours:
            continue
        text = described.about if held.column is None else described.columns.get(held.column)
        if text and text != held.text:
            # Without parameters, or psycopg would take a '%' in the text for a placeholder.
            connection.exec_driver_sql(
                f"COMMENT ON {_object(schema, held)} IS {literal(text)}",
                execution_options={"no_parameters": True},
            )


def _object(schema: str, held: catalog.Comment) -> str:
    if held.column is None:
        return f"{held.kind} {quote(schema, held.relation)}"
    return f"COLUMN {quote(schema, held.relation, held.column)}"
