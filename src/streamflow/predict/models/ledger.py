"""Reads from PostgreSQL which releases the ledger of promotions names, and their files."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamflow.errors import DependencyDown
from streamflow.http.problems import ProblemError
from streamflow.model_version import files as version_files
from streamflow.postgres import statements
from streamflow.predict.features.connections import Connection
from streamflow.release import VersionPointer, missing, refused
from streamflow.settings import DatabaseSettings

_SQL = statements.load(Path(__file__).parents[1] / "queries.sql")
_CHANNEL = "streamflow_promotions"
_LOOK_SECONDS = 5.0
_FETCH_SECONDS = 60.0


class Ledger:
    """The ledger of one model, on a connection of its own.

    Args:
        database: Where PostgreSQL is.
        model: Registered model.
    """

    def __init__(self, database: DatabaseSettings, model: str) -> None:
        self._connection = Connection(database)
        self._model = model
        self._moved = asyncio.Event()

    async def current(self) -> Mapping[str, VersionPointer]:
        """The release that each alias stands for; an alias that stands for none is left out.

        Raises:
            DependencyDown: PostgreSQL does not answer.
        """
        rows = await self._fetch("current_releases", self._model, seconds=_LOOK_SECONDS)
        if await self._connection.listen(_CHANNEL, self._hear):
            # Once more, so that nothing is missed in between.
            rows = await self._fetch("current_releases", self._model, seconds=_LOOK_SECONDS)
        return {alias: VersionPointer(self._model, version, sha256) for alias, version, sha256 in rows}

    async def moved(self, seconds: float) -> None:
        """Wait until the ledger has a new row about the model, or for some seconds: a notification may be lost."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._moved.wait()
        self._moved.clear()

    def _hear(self, model: str) -> None:
        if model == self._model:
            self._moved.set()

    async def files(self, pointer: VersionPointer) -> dict[str, bytes]:
        """The files of a release, by name.

        Raises:
            ReleaseMissing: They are not in PostgreSQL.
            ReleaseRefused: They are too large, or not complete.
            DependencyDown: PostgreSQL does not answer.
        """
        sizes = await self._fetch("release_bytes", pointer.manifest_sha256, seconds=_LOOK_SECONDS)
        if not sizes:
            raise missing(pointer)
        if sizes[0][0] > version_files.MOST_SERVED_BYTES:
            most = version_files.MOST_SERVED_BYTES // 2**20
            raise refused(pointer, f"its files are larger than {most} MiB")
        pieces: dict[str, list[bytes]] = {}
        rows = await self._fetch("release_pieces", pointer.manifest_sha256, seconds=_FETCH_SECONDS)
        for name, content in rows:
            pieces.setdefault(name, []).append(content)
        files = {name: b"".join(parts) for name, parts in pieces.items()}
        if absent := sorted(set(version_files.SERVED) - set(files)):
            raise refused(pointer, f"it has no {', '.join(absent)}")
        return files

    async def _fetch(self, statement: str, argument: str, *, seconds: float) -> list[Any]:
        try:
            return await self._connection.fetch(_SQL[statement], argument, timeout=seconds)
        except ProblemError as error:
            raise DependencyDown(
                f"The ledger of promotions cannot be read: {error.problem.detail}"
            ) from error

    def close(self) -> None:
        """Discard the connection."""
        self._connection.drop()
