"""Query PostgreSQL's catalog for relations, columns, owners, roles and databases."""

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
        schema: Schema of the relation.
        name: Name within the schema.
        owner: Role that owns the relation.
        ours: Whether the current login has the owner's privileges, for example as a member of that role.
    """

    schema: str
    name: str
    owner: str
    ours: bool


@dataclass(frozen=True)
class Comment:
    """The comment on a table or view, or on one of its columns.

    Attributes:
        relation: Name of the table or view within its schema.
        kind: "TABLE" or "VIEW".
        column: Name of the column; None for the comment on the relation itself.
        text: The comment; None if there is none.
        ours: Whether the current login has the privileges of the relation's owner.
    """

    relation: str
    kind: str
    column: str | None
    text: str | None
    ours: bool


def tables(connection: sa.Connection, schema: str) -> list[str]:
    """List the ordinary tables of a schema by name."""
    return list(_ask(connection, "tables", schema=schema).scalars())


def feature_view_tables(connection: sa.Connection) -> list[str]:
    """List the online tables, one for each feature view, by name."""
    return [
        name
        for name in tables(connection, names.ONLINE)
        if name != names.MATERIALIZATIONS and not name.endswith(names.INCOMING)
    ]


def columns(
    connection: sa.Connection, schema: str, relations: Sequence[str] | None = None
) -> dict[str, dict[str, str]]:
    """Return the columns of tables and views: relation name to column name to SQL type, in column order.

    Args:
        connection: An open connection. The login needs no privilege on the relations.
        schema: Schema of the relations.
        relations: Names of the relations; default: all in the schema.
    """
    wanted = None if relations is None else list(relations)
    found: dict[str, dict[str, str]] = {}
    for relation, column, kind in _ask(connection, "columns", schema=schema, relations=wanted):
        found.setdefault(relation, {})[column] = kind
    return found


def type_name(connection: sa.Connection, kind: str) -> str:
    """Return a type's name as `columns` gives it: "timestamp with time zone" for "timestamptz"."""
    name: str = _ask(connection, "type_name", type=kind).scalar_one()
    return name


def comments(connection: sa.Connection, schema: str) -> list[Comment]:
    """List the comments on the tables and views of a schema and on their columns, also those that are missing."""
    return [Comment(*row) for row in _ask(connection, "comments", schema=schema)]


def every_table(connection: sa.Connection) -> list[tuple[str, str]]:
    """List schema and name of all permanent tables except system tables, sorted."""
    return [(schema, name) for schema, name in _ask(connection, "every_table")]


def relations(connection: sa.Connection, schemas: Sequence[str]) -> list[Relation]:
    """List the tables and views of several schemas."""
    return [Relation(*row) for row in _ask(connection, "relations", schemas=list(schemas))]


def grants(connection: sa.Connection, table: str) -> list[tuple[str, str]]:
    """List privileges on a table as (privilege, quoted grantee), leaving out the owner's."""
    return [(privilege, grantee) for privilege, grantee in _ask(connection, "grants", table=table)]


def owner(connection: sa.Connection, table: str) -> tuple[str, bool]:
    """Return the quoted owner of a table, and whether the current login is that owner."""
    name, ours = _ask(connection, "owner", table=table).one()
    return name, ours


def row_estimate(connection: sa.Connection, table: str) -> int | None:
    """Return the planner's row estimate, or None for a table that is missing or was never analyzed."""
    estimate = _ask(connection, "row_estimate", table=table).scalar()
    return None if estimate is None or estimate < 0 else int(estimate)


def exists(connection: sa.Connection, table: str) -> bool:
    """Whether a table or view exists. `table` is a dotted, quoted name."""
    return bool(_ask(connection, "exists", table=table).scalar_one())


def databases(connection: sa.Connection) -> set[str]:
    """Return the names of the server's databases."""
    return set(_ask(connection, "databases").scalars())


def roles(connection: sa.Connection) -> set[str]:
    """Return the names of the server's roles."""
    return set(_ask(connection, "roles").scalars())


def may_create_databases(connection: sa.Connection) -> bool:
    """Whether the current login may create databases."""
    return bool(_ask(connection, "may_create_databases").scalar())


def table_comment(connection: sa.Connection, table: str) -> str | None:
    """Return the comment on a table, or None. `table` is a dotted, quoted name."""
    comment: str | None = _ask(connection, "table_comment", table=table).scalar()
    return comment


def sessions(connection: sa.Connection, database: str) -> list[str]:
    """Return the login of every other session in a database of the server."""
    return list(_ask(connection, "sessions", database=database).scalars())


def schema_comment(connection: sa.Connection, schema: str) -> str | None:
    """Return the comment on a schema, or None."""
    comment: str | None = _ask(connection, "schema_comment", schema=schema).scalar()
    return comment


def install_comments(
    connection: sa.Connection, databases: Sequence[str], role: str
) -> list[tuple[str, str, str | None]]:
    """List kind, name and comment of those databases and that role which exist."""
    found = _ask(connection, "install_comments", databases=list(databases), role=role)
    return [(kind, name, comment) for kind, name, comment in found]


def owns_database(connection: sa.Connection) -> bool:
    """Whether the current login has the privileges of the owner of the database that it is connected to."""
    return bool(_ask(connection, "owns_database").scalar_one())


def missing_triggers(
    connection: sa.Connection, schema: str, triggers: Sequence[str], *, everybodys: bool = False
) -> list[tuple[str, str]]:
    """List table and trigger for each trigger that a table of a schema is without.

    Args:
        connection: An open connection.
        schema: Name of the schema.
        triggers: Names of the triggers that each of its tables should have.
        everybodys: Whether to look at the tables of other owners too, and at triggers that are disabled.
    """
    found = _ask(
        connection, "missing_triggers", schema=schema, triggers=list(triggers), everybodys=everybodys
    )
    return [(table, trigger) for table, trigger in found]


def functions(connection: sa.Connection, schema: str) -> set[str]:
    """Return the names of a schema's functions."""
    return set(_ask(connection, "functions", schema=schema).scalars())


def may_create_in(connection: sa.Connection, schema: str) -> bool:
    """Whether the current login may create objects in a schema."""
    return bool(_ask(connection, "may_create_in", schema=schema).scalar_one())


def own_functions(connection: sa.Connection, schema: str) -> set[str]:
    """Return the names of a schema's functions whose owner's privileges the current login has."""
    return set(_ask(connection, "own_functions", schema=schema).scalars())


def schemas_dated_before(connection: sa.Connection, prefix: str, age: str) -> list[str]:
    """List the login's own schemas with a name prefix whose comment, a timestamp, is older than the interval `age`."""
    return list(_ask(connection, "schemas_dated_before", prefix=prefix, age=age).scalars())


def _ask(connection: sa.Connection, statement: str, **parameters: Any) -> sa.CursorResult[*tuple[Any, ...]]:
    return connection.execute(sa.text(_SQL[statement]), parameters)
