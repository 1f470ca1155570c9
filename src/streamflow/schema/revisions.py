"""Build Alembic's revisions from the numbered SQL files in `versions/`.

A file `0007_name.sql` is revision 0007, follows 0006 and is described by its first line. Migrations have no
downgrade: restore a backup instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import Script
from alembic.script.revision import RevisionMap

FOLDER = Path(__file__).with_name("versions")


@cache
def revisions() -> RevisionMap:
    """Return the linear history of all revisions that this code knows."""
    return RevisionMap(_scripts)


def context(connection: sa.Connection) -> MigrationContext:
    """Create an Alembic context whose `run_migrations` upgrades the database to the newest revision."""
    options = {"version_table_schema": "streamflow", "transactional_ddl": True, "fn": _missing}
    return MigrationContext.configure(connection, opts=options)


def _missing(heads: tuple[str, ...], _context: MigrationContext) -> list[MigrationStep]:
    """Return the upgrade steps from the database's revision to the newest one."""
    newest_first = list(revisions().iterate_revisions("head", heads or "base"))
    scripts = [script for script in reversed(newest_first) if isinstance(script, Script)]
    return [MigrationStep.upgrade_from_script(revisions(), script) for script in scripts]


def _scripts() -> Iterator[Script]:
    before = None
    for path in sorted(FOLDER.glob("*.sql")):
        revision = path.stem.partition("_")[0]
        yield Script(_module(path, before), revision, path)
        before = revision


def _module(path: Path, before: str | None) -> ModuleType:
    """Build the Python module that Alembic would otherwise import from a file beside the SQL file."""
    sql = path.read_text(encoding="utf-8")

    def upgrade(connection: sa.Connection) -> None:
        # psycopg's own cursor runs several statements at once and, without parameters, leaves '%' alone.
        connection.connection.cursor().execute(sql)

    module = ModuleType(path.stem, sql.partition("\n")[0].removeprefix("-- "))
    module.__dict__.update(down_revision=before, upgrade=upgrade)
    return module
