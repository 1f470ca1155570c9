"""Database of Prefect's server: its role, which owns this database alone, and the extension that its indexes need."""

from __future__ import annotations

from collections.abc import Set

import sqlalchemy as sa

from streamflow.errors import UsageError
from streamflow.postgres import catalog
from streamflow.postgres.names import literal, quote
from streamflow.schema.roles import Plan

ROLE = "prefect"
EXTENSION = "CREATE EXTENSION IF NOT EXISTS pg_trgm"
_NOT_AVAILABLE = "0A000"


def statements(plan: Plan, name: str, roles: Set[str], databases: Set[str]) -> list[str]:
    """Return SQL that creates the role and the database if they are missing, and lets nobody else connect. Pure.

    Args:
        plan: Prefix and passwords of roles.
        name: Name of the database.
        roles: Names of the server's roles.
        databases: Names of the server's databases.
    """
    role, database = plan.role(ROLE), quote(name)
    return [
        *([] if plan.prefix + ROLE in roles else [f"CREATE ROLE {role} LOGIN"]),
        *([f"ALTER ROLE {role} PASSWORD {literal(plan.passwords[ROLE])}"] if ROLE in plan.passwords else []),
        *([] if name in databases else [f"CREATE DATABASE {database} OWNER {role}"]),
        f"ALTER DATABASE {database} OWNER TO {role}",
        f"REVOKE ALL ON DATABASE {database} FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {database} TO {role}",
    ]


def ensure(connection: sa.Connection, plan: Plan, name: str) -> None:
    """Create role and database. Needs an administrator's connection in autocommit mode.

    Raises:
        UsageError: The role has no password.
    """
    if ROLE not in plan.passwords:
        raise UsageError(
            f"The database '{name}' of Prefect's server needs a file {ROLE}-password.",
            hint=f"Add the key {ROLE}-password to the Secret of the database's passwords.",
        )
    # psycopg's own cursor: SQLAlchemy would take ':name' or '%' in a password for a parameter.
    cursor = connection.connection.cursor()
    for statement in statements(plan, name, catalog.roles(connection), catalog.databases(connection)):
        cursor.execute(statement)


def ensure_extension(connection: sa.Connection, host: str) -> None:
    """Create the extension. Needs an administrator's connection to Prefect's database.

    Raises:
        UsageError: The server does not have the extension.
    """
    try:
        connection.exec_driver_sql(EXTENSION)
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", "") != _NOT_AVAILABLE:
            raise
        raise UsageError(
            f"PostgreSQL at {host} does not have the extension pg_trgm, which Prefect's server needs.",
            hint="Install PostgreSQL's contrib modules there, or use a Prefect that runs elsewhere (prefect.apiUrl).",
        ) from error
