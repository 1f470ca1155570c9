"""Ask PostgreSQL's catalog: which relations, columns, owners, roles and databases there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from streamflow.postgres import names, statements

_SQL = statements.load(Path(__file__).with_name("catalog.sql"))


@dataclass(frozen=True)
class Relation:
    """A table or view.

    Attributes:
        schema: Its schema.
        name: Its name in the schema.
        owner: The role that owns it.
        ours: Whether the login has the owner's rights.
    """

    schema: str
    name: str
    owner: str
    ours: bool


def tables(connection: sa.Connection, schema: str) -> list[str]:
    """Names of the ordinary tables of a schema, in order."""
    return list(_ask(connection, "tables", schema=schema).scalars())


def feature_view_tables(connection: sa.Connection) -> list[str]:
    """Names of the online tables, one per feature view, in order."""
    return [name for name in tables(connection, names.ONLINE) if name != names.MATERIALIZATIONS]


def columns(
    connection: sa.Connection, schema: str, relations: Sequence[str] | None = None
) -> dict[str, dict[str, str]]:
    """SQL type per column, in the order of the columns, per table or view.

    Args:
        connection: An open connection; no right to read the relations is needed.
        schema: Where they are.
        relations: Their names; default: all of the schema.
    """
    wanted = None if relations is None else list(relations)
    found: dict[str, dict[str, str]] = {}
    for relation, column, kind in _ask(connection, "columns", schema=schema, relations=wanted):
        found.setdefault(relation, {})[column] = kind
    return found


def every_table(connection: sa.Connection) -> list[tuple[str, str]]:
    """Schema and name of every permanent table that is not PostgreSQL's own, in order."""
    return [(schema, name) for schema, name in _ask(connection, "every_table")]


def relations(connection: sa.Connection, schemas: Sequence[str]) -> list[Relation]:
    """Tables and views of some schemas."""
    return [Relation(*row) for row in _ask(connection, "relations", schemas=list(schemas))]


def grants(connection: sa.Connection, table: str) -> list[tuple[str, str]]:
    """Privileges on a table that others than its owner have, each with the quoted grantee."""
    return [(privilege, grantee) for privilege, grantee in _ask(connection, "grants", table=table)]


def owner(connection: sa.Connection, table: str) -> tuple[str, bool]:
    """Quoted owner of a table, and whether the login is that owner."""
    name, ours = _ask(connection, "owner", table=table).one()
    return name, ours


def row_estimate(connection: sa.Connection, table: str) -> int | None:
    """Rows as the planner estimates them; None for a table that was never analyzed, or is not there."""
    estimate = _ask(connection, "row_estimate", table=table).scalar()
    return None if estimate is None or estimate < 0 else int(estimate)


def exists(connection: sa.Connection, table: str) -> bool:
    """Whether there is a table or view of this (quoted, dotted) name."""
    return bool(_ask(connection, "exists", table=table).scalar_one())


def databases(connection: sa.Connection) -> set[str]:
    """Names of the server's databases."""
    return set(_ask(connection, "databases").scalars())


def roles(connection: sa.Connection) -> set[str]:
    """Names of the server's roles."""
    return set(_ask(connection, "roles").scalars())


def may_create_databases(connection: sa.Connection) -> bool:
    """Whether the login may create databases."""
    return bool(_ask(connection, "may_create_databases").scalar())


def schema_comment(connection: sa.Connection, schema: str) -> str | None:
    """Comment on a schema; None without one."""
    comment: str | None = _ask(connection, "schema_comment", schema=schema).scalar()
    return comment


def schemas_dated_before(connection: sa.Connection, prefix: str, age: str) -> list[str]:
    """Schemas whose names begin with `prefix` and whose comment is a time longer ago than the interval `age`."""
    return list(_ask(connection, "schemas_dated_before", prefix=prefix, age=age).scalars())


def disconnect(connection: sa.Connection, database: str) -> None:
    """End every session in a database."""
    _ask(connection, "disconnect", database=database)


def _ask(connection: sa.Connection, statement: str, **parameters: Any) -> sa.CursorResult[*tuple[Any, ...]]:
    return connection.execute(sa.text(_SQL[statement]), parameters)
