"""Versions that a check refused, by the digest of their files: each is refused at once when it is asked for again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from streamflow import log, release_check
from streamflow.errors import ReleaseUnfit
from streamflow.postgres import statements
from streamflow.postgres.engine import transaction
from streamflow.release import VersionPointer
from streamflow.settings import DatabaseSettings

_SQL = statements.load(Path(__file__).with_name("refusals.sql"))
_LOG = log.get(__name__)
_BEGUN, _PASSED, _REFUSED, _CUT_SHORT = "begun", "passed", "refused", "cut short"
_MOST_NOT_ENDED = 2
_IN_PROGRESS_SECONDS = 2 * release_check.SECONDS
"""Age up to which a check without an outcome may still be in progress."""


def check(database: DatabaseSettings, pointer: VersionPointer) -> None:
    """Refuse a version whose files were refused before, or whose checks took down the process that made them.

    Raises:
        ReleaseUnfit: They were; the message says when and why.
        DependencyDown: PostgreSQL does not answer.
    """
    key = _key(pointer)
    with transaction(database) as connection:
        last = connection.execute(sa.text(_SQL["last_outcome"]), key).first()
        if last is None or last.outcome == _PASSED:
            since = {"since": last.check_id if last else 0, "seconds": _IN_PROGRESS_SECONDS}
            number = connection.execute(sa.text(_SQL["not_ended"]), key | since).scalar_one()
            if number < _MOST_NOT_ENDED:
                return
            # One may have been killed with its machine; a second one has no other reason in common than the files.
            _record(connection, pointer, _REFUSED, f"{number} checks took down the process that made them")
            last = connection.execute(sa.text(_SQL["last_outcome"]), key).one()
    raise ReleaseUnfit(
        f"Version {pointer.version} of {pointer.name} may not be served: its files were refused at"
        f" {last.recorded_at:%Y-%m-%d %H:%M} UTC: {last.why}.",
        hint=f"Promote another version, or train this one again. {release_check.recheck(pointer.version)}",
        why=last.why,
    )


@contextlib.contextmanager
def remembered(database: DatabaseSettings, pointer: VersionPointer) -> Iterator[None]:
    """Record that a check begins, and how it ends. Only what the files are the reason for is a refusal.

    Args:
        database: Where the outcome is recorded.
        pointer: The version, whose files are known to be those that its digest pins.

    Raises:
        DependencyDown: PostgreSQL does not answer.
    """
    with transaction(database) as connection:
        _record(connection, pointer, _BEGUN)
    try:
        yield
    except ReleaseUnfit as error:
        with transaction(database) as connection:
            _record(connection, pointer, _REFUSED, error.why)
        raise
    except BaseException:
        # KeyboardInterrupt included: a check that a person ended says nothing about the version.
        try:
            with transaction(database) as connection:
                _record(connection, pointer, _CUT_SHORT)
        except Exception as error:
            _LOG.warning("end of a check not recorded", version=pointer.version, **log.describe(error))
        raise
    with transaction(database) as connection:
        _record(connection, pointer, _PASSED)


def _record(connection: sa.Connection, pointer: VersionPointer, outcome: str, why: str = "") -> None:
    connection.execute(sa.text(_SQL["record"]), _key(pointer) | {"outcome": outcome, "why": why})


def _key(pointer: VersionPointer) -> dict[str, str]:
    return {"model": pointer.name, "manifest_sha256": pointer.manifest_sha256}
