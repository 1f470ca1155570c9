"""Bring the platform's tables to the newest revision, one migrator at a time."""

from __future__ import annotations

import sqlalchemy as sa

from streamflow.postgres import locks
from streamflow.postgres.engine import transaction
from streamflow.schema.revisions import context, revisions
from streamflow.settings import Settings


def migrate(settings: Settings) -> str:
    """Run the missing migrations in one transaction.

    A database that newer code has migrated is left unchanged: older code works on it, see docs/kubernetes.md.

    Returns:
        The revision that the database is at afterwards.

    Raises:
        DependencyDown: PostgreSQL does not answer.
    """
    with transaction(settings) as connection:
        connection.execute(sa.text("SET LOCAL lock_timeout = '30s'"))
        # A second migrator waits here, then finds nothing left to do.
        locks.wait(connection, locks.MIGRATE)
        connection.execute(sa.text("CREATE SCHEMA IF NOT EXISTS streamflow"))
        if not is_newer(current(connection)):
            context(connection).run_migrations(connection=connection)
        return current(connection)


def current(connection: sa.Connection) -> str:
    """The revision that the database is at; "" before the first migration."""
    return context(connection).get_current_revision() or ""


def newest() -> str:
    """The newest revision that this code knows."""
    return revisions().get_current_head() or ""


def is_newer(revision: str) -> bool:
    """Whether a database's revision was made by newer code than this, which does not know it."""
    known = {item.revision for item in revisions().iterate_revisions("head", "base")}
    return bool(revision) and revision not in known
