"""Where the rows of drops are stored: in the source tables of PostgreSQL, or in the files of the lake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import sqlalchemy as sa

from streamflow.drops import partitions, tables
from streamflow.drops.stage import StagedFile, staged
from streamflow.lake import ledger, place, read, write
from streamflow.postgres import copied, drop_numbers
from streamflow.postgres.names import quote
from streamflow.repo.declarations import SourceTable
from streamflow.repo.definitions import FeatureRepo


class Rows(Protocol):
    """A store of rows. All of it happens in the transaction that adds the drop to the ledger."""

    def prepare(self, connection: sa.Connection, repo: FeatureRepo) -> None:
        """Make it ready for drops of this repo; refuse if the rows of earlier drops are in another store."""

    def append(self, connection: sa.Connection, number: int, item: StagedFile) -> int:
        """Store the staged rows of a file as those of a drop; return how many."""

    def finish(self, connection: sa.Connection, repo: FeatureRepo, number: int) -> None:
        """Do what is left once all rows of a drop are stored."""


@dataclass(frozen=True)
class InTables:
    """Rows in the source tables."""

    def prepare(self, connection: sa.Connection, repo: FeatureRepo) -> None:
        """Create missing tables and columns.

        Raises:
            Refused: The rows of the ledger's drops are in the lake.
        """
        ledger.refuse_rows_in_lake(connection)
        tables.ensure(connection, repo)

    def append(self, connection: sa.Connection, number: int, item: StagedFile) -> int:
        """Insert the staged rows."""
        table = item.file.table
        columns = ", ".join(quote(column) for column in table.column_names)
        partitions.add(connection, table.name, number)
        stored: int = connection.execute(
            # In key order, so that the index of blocks finds a key in few of them.
            sa.text(
                f"INSERT INTO {quote(tables.SCHEMA, table.name)} ({columns}, {drop_numbers.COLUMN})"
                f" SELECT {columns}, CAST(:number AS integer) FROM {_in_order(table)}"
            ),
            {"number": number},
        ).rowcount
        return stored

    def finish(self, connection: sa.Connection, repo: FeatureRepo, number: int) -> None:
        """Update planner statistics of the source tables: the point-in-time join of training depends on them."""
        for table in repo.tables:
            partitions.index(connection, table.name, number)
            partitions.analyze(connection, table.name, number)


@dataclass(frozen=True)
class InLake:
    """Rows in the files of the lake. They are complete, and on the disk, before the ledger has their drop.

    Attributes:
        url: Folder or object store URL of the lake.
    """

    url: str

    def prepare(self, connection: sa.Connection, repo: FeatureRepo) -> None:
        """Nothing has to be made.

        Raises:
            Refused: The rows of the ledger's drops are in PostgreSQL.
        """
        ledger.refuse_rows_in_postgresql(connection)

    def append(self, connection: sa.Connection, number: int, item: StagedFile) -> int:
        """Write the staged rows to files.

        Raises:
            DiskFull: The disk of the lake is full.
            DependencyDown: The lake cannot be written.
        """
        table = item.file.table
        schema = read.schema(table)
        columns = ", ".join(quote(column) for column in table.column_names)
        found = copied.batches(
            connection,
            f"SELECT {columns} FROM {_in_order(table)}",
            dict(zip(schema.names, schema.types, strict=True)),
        )
        return write.drop(
            place.opened(self.url), table.name, drop_numbers.date_of(number), number, schema, found
        )

    def finish(self, connection: sa.Connection, repo: FeatureRepo, number: int) -> None:
        """Nothing is left to do."""


def rows_in(lake: str) -> Rows:
    """The store of rows in a lake of this URL; "" for PostgreSQL's tables."""
    return InLake(lake) if lake else InTables()


def _in_order(table: SourceTable) -> str:
    # "C" sorts in half the time, and by bytes, as Parquet orders text.
    return f'{staged(table)} ORDER BY {quote(table.key)} COLLATE "C"'
