"""Bring the platform's tables to the newest revision, one migrator at a time."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from streamflow.postgres.engine import lock_key, transaction
from streamflow.settings import Settings


def migrate(settings: Settings) -> str:
    """Run the missing migrations in one transaction.

    A database that newer code has migrated is left as it is: an older version works on it, see docs/kubernetes.md.

    Returns:
        The revision the database is at afterwards.

    Raises:
        DependencyDown: PostgreSQL does not answer.
    """
    config = _config()
    with transaction(settings) as connection:
        connection.execute(sa.text("SET LOCAL lock_timeout = '30s'"))
        # A second migrator waits here, then finds nothing left to do.
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key("migrate")})
        connection.execute(sa.text("CREATE SCHEMA IF NOT EXISTS streamflow"))
        config.attributes["connection"] = connection
        if not is_newer(current(connection)):
            command.upgrade(config, "head")
        return current(connection)


def current(connection: sa.Connection) -> str:
    """The revision the database is at; "" before the first migration."""
    context = MigrationContext.configure(connection, opts={"version_table_schema": "streamflow"})
    return context.get_current_revision() or ""


def newest() -> str:
    """The newest revision that this code knows."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def is_newer(revision: str) -> bool:
    """Whether a database's revision is of code newer than this, which does not know it."""
    script = ScriptDirectory.from_config(_config())
    return bool(revision) and revision not in {item.revision for item in script.walk_revisions()}


def _config() -> Config:
    folder = Path(__file__).parent
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    return config
