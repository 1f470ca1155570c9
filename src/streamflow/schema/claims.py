"""Which install databases and roles belong to, so that a second one does not take them over.

A comment on each of them has the install's name. No dump contains it, so a database that is restored elsewhere belongs to
nobody until it is claimed there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import sqlalchemy as sa

from streamflow.errors import Refused
from streamflow.postgres import catalog
from streamflow.postgres.names import literal, quote
from streamflow.schema import roles
from streamflow.settings import DatabaseSettings

_MARK = "streamflow install "
_INSUFFICIENT_PRIVILEGE = "42501"


def check(connection: sa.Connection, database: DatabaseSettings) -> None:
    """Refuse databases and roles of another install. Without a name of this install, nothing is checked.

    Args:
        connection: Connection to any database of the server, with any login.
        database: Names of the databases and roles, and of this install.

    Raises:
        Refused: They belong to another install; the message says what to do.
    """
    if not database.install:
        return
    for kind, name, comment in _comments(connection, database):
        other = (comment or "").removeprefix(_MARK)
        if other not in (comment or "", database.install):
            raise Refused(
                f"The {kind} '{name}' at {database.host}:{database.port} belongs to the install '{other}', not to"
                f" '{database.install}'.",
                hint="Give this install databases and roles of its own (database.name, database.mlflowName,"
                " database.prefectName and database.rolePrefix of the chart). If it replaces"
                f" '{other}', stop that one, and set database.install={other}.",
            )


def claim(connection: sa.Connection, database: DatabaseSettings) -> None:
    """Write this install's name on databases and roles that belong to nobody, as far as the login may.

    Args:
        connection: Connection in autocommit mode.
        database: As for `check`.
    """
    if not database.install:
        return
    mark = literal(_MARK + database.install)
    for kind, name, comment in _comments(connection, database):
        # A comment that somebody else wrote stays.
        if comment is None:
            with _as_far_as_allowed():
                connection.exec_driver_sql(f"COMMENT ON {kind.upper()} {quote(name)} IS {mark}")


@contextlib.contextmanager
def _as_far_as_allowed() -> Iterator[None]:
    try:
        yield
    except sa.exc.ProgrammingError as error:
        if getattr(error.orig, "sqlstate", "") != _INSUFFICIENT_PRIVILEGE:
            raise


def _comments(connection: sa.Connection, database: DatabaseSettings) -> list[tuple[str, str, str | None]]:
    names = [database.name, database.mlflow_name, *filter(None, [database.prefect_name])]
    return catalog.install_comments(connection, names, database.role_prefix + roles.OWNER)
