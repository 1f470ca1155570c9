"""Keep erased people out of what is restored: the list of erasures is applied before anything is served."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from streamflow.erasure import listed, runs
from streamflow.erasure.key import Key, optional
from streamflow.erasure.listed import Listed
from streamflow.erasure.runs import LeftOfRun
from streamflow.errors import Busy
from streamflow.model_version import files
from streamflow.model_version.contract import Contract
from streamflow.postgres import catalog
from streamflow.postgres.engine import session, transaction
from streamflow.postgres.names import PLATFORM, quote
from streamflow.schema import prepare
from streamflow.schema.migrate import upgrade
from streamflow.settings import DatabaseSettings, ErasureSettings
from streamflow.training import erased

_CONTRACT = f"{files.MODEL}/{files.CONTRACT}"
_GOLDEN = f"{files.MODEL}/{files.GOLDEN}"
_SPLIT = f"{files.TRAINING_SET}/{files.SPLIT}"
_ROWS = f"{files.TRAINING_SET}/{files.ROWS}"


def write_list(database: DatabaseSettings, folder: Path) -> None:
    """Write the list of erasures beside the backups, where it outlives the database."""
    with transaction(database) as connection:
        # A database of an earlier release has no list.
        if catalog.exists(connection, f"{PLATFORM}.erasures"):
            listed.write(folder, listed.exported(connection))


@dataclass
class Restored:
    """The restored database, from which erased people are removed.

    Attributes:
        database: Login of the restore.
        name: Name of the restored database.
        owner: Role that owns its tables; "" if the login does.
        acts: Acts of the list beside the backups and of the database that is replaced.
        key: Key of the list; None if nobody was erased.
        people: Who is erased, in the order of their erasures.
        counts: Removed rows, by table, and `training sets of runs`.
    """

    database: DatabaseSettings
    name: str
    owner: str
    acts: list[dict[str, Any]]
    key: Key | None = None
    people: list[Listed] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def apply(self, erasure: ErasureSettings) -> None:
        """Add the acts to the restored database's own list, and remove everybody who is on it.

        Raises:
            Refused: People were erased, and the key of the list is missing or another one.
        """
        with self._session() as connection:
            if not self.acts and not catalog.exists(connection, f"{PLATFORM}.erasures"):
                return
            if self.acts:
                # A backup may be older than the tables and functions that erase.
                upgrade(connection)
            self.people = listed.merge(connection, self.acts)
            self.key = listed.usable(self.people, optional(erasure))
            if self.key is not None:
                self.counts = listed.apply(connection, self.key, self.people)

    def check_unchanged(self, backups: Path) -> None:
        """Check that nobody was erased since the list was read.

        Raises:
            Busy: Somebody was.
        """
        if len(known(self.database, backups)) != len(self.acts):
            raise Busy(
                "Somebody was erased during the restore. The present databases are unchanged.",
                hint="Restore again.",
            )

    def lines(self) -> tuple[str, ...]:
        """What was removed, in one sentence; empty if nobody is on the list."""
        if not self.people:
            return ()
        rows = sum(self.counts.values())
        return (
            f"{rows} rows of {len(self.people)} erased people were in the backup, and were removed again.",
        )

    @contextmanager
    def _session(self) -> Iterator[sa.Connection]:
        with session(self.database, self.name) as connection:
            if self.owner:
                connection.exec_driver_sql(f"SET LOCAL ROLE {quote(self.owner)}")
            yield connection

    def record(self, person: Listed, run_id: str, left: LeftOfRun, *, pinned: bool) -> None:
        """Record in the restored database what is left of a run's training set."""
        with self._session() as connection:
            runs.record(connection, person.erasure_id, run_id, left, pinned=pinned)
        self.counts["training sets of runs"] = self.counts.get("training sets of runs", 0) + left.rows


def known(database: DatabaseSettings, backups: Path) -> list[dict[str, Any]]:
    """The acts of the list beside the backups and of the present database, each once."""
    acts = {act["erasure_id"]: act for act in listed.in_file(backups)}
    if _exists(database):
        with session(database, database.name) as connection:
            if catalog.exists(connection, f"{PLATFORM}.erasures"):
                acts |= {act["erasure_id"]: act for act in listed.exported(connection)}
    return list(acts.values())


def _exists(database: DatabaseSettings) -> bool:
    with prepare.autocommit(database, prepare.MAINTENANCE_DATABASE) as connection:
        return database.name in catalog.databases(connection)


class Filter:
    """Removes erased people from the training sets in an archive, while its files are unpacked.

    Args:
        restored: The restored database, which knows whom to remove and records what is left.
    """

    def __init__(self, restored: Restored) -> None:
        self._restored = restored
        self._held: dict[str, dict[str, bytes]] = {}

    def __call__(self, path: str, content: IO[bytes], size: int) -> Iterator[tuple[str, IO[bytes], int]]:
        """The files to store instead of one file. A split waits for its rows, which follow it."""
        folder, name = _parts(path)
        if self._restored.key is None or name not in (_CONTRACT, _GOLDEN, _SPLIT, _ROWS):
            yield path, content, size
            return
        held = self._held.setdefault(folder, {})
        held[name] = content.read()
        if name in (_CONTRACT, _GOLDEN):
            yield path, io.BytesIO(held[name]), size
        elif _ROWS in held and _SPLIT in held:
            self._remove(folder, held)
            for part in (_SPLIT, _ROWS):
                yield f"{folder}/{part}", io.BytesIO(held[part]), len(held[part])
            del self._held[folder]

    def _remove(self, folder: str, held: dict[str, bytes]) -> None:
        if _CONTRACT not in held or self._restored.key is None:
            return
        contract, run_id = Contract.from_json(held[_CONTRACT].decode()), folder.split("/")[-2]
        hashes: dict[str, str] = {}
        for person in self._restored.people:
            left = erased.without(
                contract,
                held[_ROWS],
                held[_SPLIT],
                lambda entity, person=person: self._hash(entity, hashes) == person.entity_hash,  # type: ignore[misc]
            )
            if left is None:
                continue
            pinned = _GOLDEN in held and erased.pinned(held[_GOLDEN], left)
            remains = LeftOfRun(left.gone, left.fingerprint, left.split_digest)
            self._restored.record(person, run_id, remains, pinned=pinned)
            held[_ROWS], held[_SPLIT] = left.rows, left.split

    def _hash(self, entity: str, hashes: dict[str, str]) -> str:
        if entity not in hashes and self._restored.key is not None:
            hashes[entity] = self._restored.key.hash(entity)
        return hashes[entity]


def _parts(path: str) -> tuple[str, str]:
    """A file's run folder and its path below it: 1/0e06fd/artifacts and model/contract.json. Pure."""
    folder, _, name = path.partition("/artifacts/")
    return f"{folder}/artifacts", name
