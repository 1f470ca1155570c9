"""Alembic's revisions, made from the numbered SQL files in `versions/`.

A file `0007_name.sql` is revision 0007, follows 0006 and is described by its first line. There are no downgrades: a
backup is restored instead.
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
    """Every revision that this code knows, in one line."""
    return RevisionMap(_scripts)


def context(connection: sa.Connection) -> MigrationContext:
    """Alembic's context on an open connection; running it upgrades to the newest revision."""
    options = {"version_table_schema": "streamflow", "transactional_ddl": True, "fn": _missing}
    return MigrationContext.configure(connection, opts=options)


def _missing(heads: tuple[str, ...], _context: MigrationContext) -> list[MigrationStep]:
    """The steps from the database's revision to the newest one."""
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
    """The module that Alembic would otherwise import from a Python file beside the SQL file."""
    sql = path.read_text(encoding="utf-8")

    def upgrade(connection: sa.Connection) -> None:
        # The driver's own cursor: it takes several statements at once, and '%' means nothing to it.
        connection.connection.cursor().execute(sql)

    module = ModuleType(path.stem, sql.partition("\n")[0].removeprefix("-- "))
    module.__dict__.update(down_revision=before, upgrade=upgrade)
    return module
