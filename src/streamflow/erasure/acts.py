"""Erase an entity from PostgreSQL, take it off the list again, and read what was done."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from streamflow.erasure.key import Key
from streamflow.errors import Busy, NotFound, Refused, UsageError
from streamflow.postgres import locks, statements
from streamflow.postgres.engine import engine, transaction
from streamflow.settings import DatabaseSettings

_SQL = statements.load(Path(__file__).with_name("queries.sql"))
_WAIT_SECONDS = 30
_CONTENT_OF_AN_ERASURE = "22023"
# Those that read an entity's rows and write them elsewhere: what one of them has in memory would come back. A job stands
# before those that it waits for: else it would wait for a lock that an erasure holds, and the erasure for the job.
_COPIERS = ("backup", "score", "train", "materialize", "ingest")


@dataclass(frozen=True)
class Asked:
    """Why an entity is erased, and for whom.

    Attributes:
        why: The reason.
        by: Who asks for it.
        request: Id of the request in another system; "" without one.
    """

    why: str
    by: str
    request: str = ""


@dataclass(frozen=True)
class Erased:
    """An erasure from PostgreSQL.

    Attributes:
        erasure_id: Id of the record.
        counts: Removed rows, by table.
        continued: Whether it continues an erasure that was cut short.
    """

    erasure_id: str
    counts: dict[str, int]
    continued: bool


@dataclass(frozen=True)
class Act:
    """An erasure or its withdrawal, as recorded.

    Attributes:
        erasure_id: Id of the record.
        action: `erase` or `withdraw`.
        entity_hash: Keyed hash of the entity.
        key_id: Name of the key.
        why: The reason.
        request: Id of the request in another system.
        asked_by: Who asked for it.
        login: Login in PostgreSQL.
        recorded_at: When it was recorded.
        done_at: When nothing was left to do; None before that.
        steps: Each step with its counts, in order.
    """

    erasure_id: str
    action: str
    entity_hash: str
    key_id: str
    why: str
    request: str
    asked_by: str
    login: str
    recorded_at: datetime
    done_at: datetime | None
    steps: list[dict[str, Any]]


@contextmanager
def undisturbed(database: DatabaseSettings) -> Iterator[None]:
    """Wait until no job that copies rows is running, and let none begin.

    Raises:
        Busy: One of them is running for too long.
        DependencyDown: PostgreSQL does not answer.
    """
    names = [locks.ERASE, *map(locks.of_job, _COPIERS), locks.INGEST, locks.MATERIALIZE, locks.ENGINE]
    try:
        with locks.all_held(database, names, _WAIT_SECONDS):
            yield
    except Busy as error:
        raise Busy(
            f"{error.what} It could bring back what is erased, so nothing was erased.",
            hint="Wait until it has ended, then erase again.",
        ) from error


def count(database: DatabaseSettings, entity: str) -> dict[str, int]:
    """Rows of an entity, by table."""
    with transaction(database) as connection:
        return dict(connection.execute(sa.text(_SQL["count"]), {"entity": entity}).scalar_one())


def mentions(database: DatabaseSettings, entity: str) -> dict[str, int]:
    """Rows that name an entity in a text that cannot be changed, by table."""
    with transaction(database) as connection:
        return dict(connection.execute(sa.text(_SQL["mentions"]), {"entity": entity}).scalar_one())


def erase(database: DatabaseSettings, key: Key, entity: str, asked: Asked) -> Erased:
    """Remove an entity's rows from all tables and record it, in one transaction.

    Raises:
        UsageError: The reason contains the entity, or the key is another than before.
        DependencyDown: PostgreSQL does not answer.
    """
    with _refusals_in_words(), transaction(database) as connection:
        row = connection.execute(sa.text(_SQL["erase"]), _parameters(key, entity, asked)).one()
    return Erased(row.erasure_id, dict(row.counts), row.continued)


def withdraw(database: DatabaseSettings, key: Key, entity: str, asked: Asked) -> str:
    """Take an entity off the list of erasures; return the id of the record.

    Raises:
        NotFound: The entity is not on the list.
        UsageError: The reason contains the entity, or the key is another than before.
        DependencyDown: PostgreSQL does not answer.
    """
    with _refusals_in_words(), transaction(database) as connection:
        made = connection.execute(sa.text(_SQL["withdraw"]), _parameters(key, entity, asked)).scalar_one()
    if made is None:
        raise NotFound(
            "This key is not on the list of erasures, so there is nothing to withdraw.",
            hint="See 'streamflow erase --list'. A list that was made with another key cannot be searched.",
        )
    return str(made)


def _parameters(key: Key, entity: str, asked: Asked) -> dict[str, Any]:
    return {"entity": entity, **key.pads, "why": asked.why, "by": asked.by, "request": asked.request}


@contextmanager
def _refusals_in_words() -> Iterator[None]:
    try:
        yield
    except sa.exc.DBAPIError as error:
        state = getattr(error.orig, "sqlstate", "")
        if state == _CONTENT_OF_AN_ERASURE:
            # The function's own words, which never quote the entity.
            first = str(error.orig).strip().splitlines()[0]
            raise UsageError(
                f"Nothing was erased: {first}.", hint="Change what it names, and try again."
            ) from None
        if state == "23514":
            raise UsageError(
                "Nothing was erased: a reason is needed, of at most 1,000 characters, and a request id of at most 255.",
                hint="Give it with --why.",
            ) from None
        if state == "42501":
            raise Refused(
                "Nothing was erased: PostgreSQL does not allow it.",
                details=(str(error.orig).strip().splitlines()[0],),
                hint="Log in as the role 'erase' or as the owner of the tables.",
            ) from None
        raise


def step(database: DatabaseSettings, erasure_id: str, name: str, counts: Mapping[str, Any]) -> None:
    """Record a step of an erasure: `rows`, `artifacts` or `done`."""
    with transaction(database) as connection:
        connection.execute(
            sa.text(_SQL["step"]), {"erasure": erasure_id, "step": name, "counts": json.dumps(counts)}
        )


def unfinished(database: DatabaseSettings) -> dict[str, str]:
    """Erasures that are not complete: id by entity hash."""
    with transaction(database) as connection:
        return {row.entity_hash: row.erasure_id for row in connection.execute(sa.text(_SQL["open"]))}


def history(database: DatabaseSettings) -> list[Act]:
    """All erasures and withdrawals, oldest first."""
    with transaction(database) as connection:
        return [Act(**row._asdict()) for row in connection.execute(sa.text(_SQL["acts"]))]


def vacuum(database: DatabaseSettings) -> list[str]:
    """Free removed rows, and gather the planner's statistics anew, which have samples of keys and values.

    Returns:
        The tables that the login may not vacuum.
    """
    refused: list[str] = []
    with engine(database).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        tables = connection.execute(sa.text(_SQL["tables"])).scalars().all()
        notices: list[str] = []
        driver: Any = connection.connection.driver_connection
        driver.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
        for table in tables:
            notices.clear()
            connection.exec_driver_sql(f"VACUUM (ANALYZE) {table}")
            refused += [table] if any("permission denied" in said for said in notices) else []
    return refused
