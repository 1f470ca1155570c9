"""A copy of the databases beside the real ones: restored from a backup, migrated, and deleted in the end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from streamflow.backup import beside
from streamflow.backup import dump as dumps
from streamflow.errors import StreamFlowError
from streamflow.schema import migrate, swap
from streamflow.settings import DatabaseSettings

MigrateMlflow = Callable[[DatabaseSettings], None]
"""Migrates the database of MLflow that the settings name."""


@dataclass(frozen=True)
class Copy:
    """The databases of the copy.

    Attributes:
        platform: StreamFlow's.
        mlflow: MLflow's; None if it is not on this server.
    """

    platform: DatabaseSettings
    mlflow: DatabaseSettings | None

    def migrate(self, migrate_mlflow: MigrateMlflow) -> str:
        """Migrate the copy; return the revision of StreamFlow's tables afterwards."""
        with beside.as_owner(self.platform, self.platform.name) as connection:
            revision = migrate.upgrade(connection)
        if self.mlflow is not None:
            migrate_mlflow(self.mlflow)
        return revision


@contextlib.contextmanager
def restored(
    database: DatabaseSettings, folder: Path, dump: dumps.Dump, tell: Callable[[str], None]
) -> Iterator[Copy]:
    """Restore a backup beside the real databases, and delete the copy at the end.

    The caller holds `swap.exclusive`. A copy that nobody could delete is deleted by the next upgrade, restore or start.

    Raises:
        StreamFlowError: The copy differs from the manifest, or could not be made.
    """
    names = {key: database.name if key == dumps.PLATFORM else database.mlflow_name for key in dump.databases}
    copies = {key: name + swap.RESTORING for key, name in names.items()}
    try:
        with beside.restored_beside(database, folder, dump, names):
            named = {key: database.model_copy(update={"name": name}) for key, name in copies.items()}
            yield Copy(named[dumps.PLATFORM], named.get(dumps.MLFLOW))
    finally:
        try:
            beside.drop(database, list(copies.values()))
        except (StreamFlowError, sa.exc.DBAPIError):
            tell(f"The copy could not be deleted: {', '.join(copies.values())}.")
        else:
            tell("The copy is deleted.")
