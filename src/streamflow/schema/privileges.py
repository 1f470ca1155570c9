"""Apply the table of roles to a server and its databases: create roles, set owners and privileges."""

from __future__ import annotations

import sqlalchemy as sa

from streamflow.postgres import catalog
from streamflow.postgres.names import ONLINE, PLATFORM, SCHEMAS, SOURCE, quote
from streamflow.schema import functions, roles


def ensure_cluster(connection: sa.Connection, plan: roles.Plan) -> None:
    """Create roles and databases. Needs an administrator's connection in autocommit mode."""
    statements = roles.role_statements(plan, catalog.roles(connection))
    _run(connection, statements + roles.database_statements(plan, catalog.databases(connection)))


def ensure_database_rights(connection: sa.Connection, plan: roles.Plan) -> None:
    """Set owner and privileges of the two existing databases."""
    _run(connection, roles.database_statements(plan, {plan.database, plan.mlflow_database}))


def ensure_schemas(connection: sa.Connection, plan: roles.Plan) -> None:
    """Create the schemas of StreamFlow's database and set default privileges for future tables."""
    _run(connection, roles.schema_statements(plan))


def ensure_grants(connection: sa.Connection, plan: roles.Plan, *, own: bool = False) -> None:
    """Set the privileges on existing tables to those in ROLES.

    Args:
        connection: Connection to StreamFlow's database.
        plan: Names of roles, and the server version.
        own: Skip tables that the login neither owns nor shares ownership of; their owners set those.
    """
    existing, owned = _tables(connection, plan, own=own)
    others = [name for name in roles.ROLES if name != roles.OWNER]
    statements = roles.table_statements(plan, existing, owned)
    if known := catalog.own_functions(connection, PLATFORM):
        statements += functions.function_statements(plan.role, others, known) + functions.job_statements(
            plan.prefix
        )
    if known := catalog.own_functions(connection, SOURCE):
        others = [name for name in roles.ROLES if name != roles.APPLY]
        statements += functions.source_statements(plan.role, others, known)
    if catalog.owns_database(connection):
        statements.append(roles.revoke_create(plan))
    _run(connection, statements)


def ensure_owners(connection: sa.Connection, plan: roles.Plan) -> None:
    """Reassign restored tables, views and functions to their usual owners."""
    existing, _ = _tables(connection, plan, own=False)
    functions_of_source = catalog.functions(connection, SOURCE)
    _run(connection, roles.owner_statements(plan, existing, functions_of_source))


def _tables(
    connection: sa.Connection, plan: roles.Plan, *, own: bool
) -> tuple[dict[str, set[str]], set[str]]:
    """List tables and views of each schema, and the tables in `online` that materialize already owns."""
    existing: dict[str, set[str]] = {}
    owned = set()
    for relation in catalog.relations(connection, SCHEMAS):
        if own and not relation.ours:
            continue
        existing.setdefault(relation.schema, set()).add(relation.name)
        if relation.schema == ONLINE and quote(relation.owner) == plan.role(roles.MATERIALIZE):
            owned.add(relation.name)
    return existing, owned


def _run(connection: sa.Connection, statements: list[str]) -> None:
    # psycopg's own cursor: SQLAlchemy would take ':name' or '%' in a password for a parameter.
    cursor = connection.connection.cursor()
    for statement in statements:
        cursor.execute(statement)
