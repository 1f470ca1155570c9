"""Migrate StreamFlow's tables to the newest revision."""

from __future__ import annotations

import sqlalchemy as sa

from streamflow.postgres import locks
from streamflow.postgres.engine import transaction
from streamflow.schema.revisions import context, revisions
from streamflow.settings import DatabaseSettings


def migrate(database: DatabaseSettings) -> str:
    """Run pending migrations in one transaction.

    Leaves a database that newer code has migrated unchanged, so that `helm rollback` works: a migration may
    only add to what the previous version reads and writes.

    Returns:
        The database's revision afterwards.

    Raises:
        DependencyDown: PostgreSQL does not answer.
    """
    with transaction(database) as connection:
        return upgrade(connection)


def upgrade(connection: sa.Connection) -> str:
    """Run pending migrations in the transaction of a connection; see `migrate`."""
    connection.execute(sa.text("SET LOCAL lock_timeout = '30s'"))
    # Two concurrent migrators: the second waits here, then has nothing left to do.
    locks.wait(connection, locks.MIGRATE)
    connection.execute(sa.text("CREATE SCHEMA IF NOT EXISTS streamflow"))
    if not is_newer(current(connection)):
        context(connection).run_migrations(connection=connection)
    return current(connection)


def current(connection: sa.Connection) -> str:
    """Return the database's revision, or "" before the first migration."""
    return context(connection).get_current_revision() or ""


def newest() -> str:
    """Return the newest revision that this code knows."""
    return revisions().get_current_head() or ""


def is_newer(revision: str) -> bool:
    """Whether a revision is unknown to this code, and so comes from a newer version."""
    known = {item.revision for item in revisions().iterate_revisions("head", "base")}
    return bool(revision) and revision not in known
