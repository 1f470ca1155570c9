"""The release that is in production when the service starts, fetched and checked while the rest is being imported."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping

from streamflow import log, release_check
from streamflow.confined import Child
from streamflow.errors import ReleaseMissing, ReleaseRefused
from streamflow.model_version.aliases import PRODUCTION
from streamflow.predict.models.ledger import Ledger
from streamflow.release import Release, VersionPointer
from streamflow.settings import DatabaseSettings

_LOG = log.get(__name__)


class FirstRelease:
    """Fetches and checks a release in a thread of its own, which begins at once.

    Args:
        database: How to connect to PostgreSQL.
        model: Name of the registered model.
        child: The child of the check, which has been started; None starts one when it is needed.

    Attributes:
        fetched: Set when the files are there, or cannot be fetched.
    """

    def __init__(self, database: DatabaseSettings, model: str, child: Child | None) -> None:
        self._database, self._model = database, model
        self._child = child
        self.fetched = threading.Event()
        self._found: tuple[VersionPointer, Release | ReleaseRefused] | None = None
        self._thread = threading.Thread(target=self._load, name="first-release", daemon=True)
        self._thread.start()

    def take(self, pointer: VersionPointer) -> Release | None:
        """Wait for the release, and keep nothing of it; None if it is another one, or could not be fetched.

        Raises:
            ReleaseRefused: It failed a check.
        """
        self._thread.join()
        found, self._found = self._found, None
        if found is None or found[0] != pointer:
            return None
        if isinstance(found[1], ReleaseRefused):
            raise found[1]
        return found[1]

    def _load(self) -> None:
        try:
            fetched = asyncio.run(self._fetch())
            self.fetched.set()
            if fetched is not None:
                child, self._child = self._child, None
                self._found = fetched[0], _checked(*fetched, child)
        except Exception as error:
            # The first poll meets the same failure, and reports it.
            _LOG.info("the first release is left to the first poll", **log.describe(error))
        finally:
            self.fetched.set()
            if self._child is not None:
                self._child.end()

    async def _fetch(self) -> tuple[VersionPointer, Mapping[str, bytes]] | None:
        ledger = Ledger(self._database, self._model)
        try:
            pointer = (await ledger.current()).get(PRODUCTION)
            return None if pointer is None else (pointer, await ledger.files(pointer))
        finally:
            ledger.close()


def _checked(
    pointer: VersionPointer, files: Mapping[str, bytes], child: Child | None
) -> Release | ReleaseRefused:
    try:
        return release_check.check(pointer, files, child)
    except ReleaseMissing:
        raise
    except ReleaseRefused as error:
        return error
