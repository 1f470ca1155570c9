"""Advisory locks that are held by a login whose component has no use for them: it keeps others from working.

PostgreSQL lets everybody take every advisory lock, and only superusers can change it: they are reported, not prevented.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from streamflow.postgres import locks, statements
from streamflow.schema.functions import JOBS
from streamflow.schema.roles import OWNER

_SQL = statements.load(Path(__file__).with_name("queries.sql"))
_SHARED = "ShareLock"


@dataclass(frozen=True)
class ForeignLock:
    """A lock held by a login that should not hold it.

    Attributes:
        name: Name of the lock, as `postgres.locks` knows it.
        login: Login that holds it.
    """

    name: str
    login: str


def holders(model: str) -> dict[str, frozenset[str]]:
    """The roles that may hold each lock, besides the owner. Pure.

    Args:
        model: Registered model.
    """
    allowed = {
        locks.INGEST: {"ingest"},
        locks.LOADING: {"ingest"},
        locks.MATERIALIZE: {"materialize"},
        locks.ENGINE: {"materialize"},
        locks.MIGRATE: set(),
        # A backup holds it while it writes, so that nothing is promoted in between.
        locks.of_promotions(model): {"train", "registrar", "promote", "backup"},
        locks.of_registrar(model): {"registrar"},
    }
    allowed |= {locks.of_job(job): {role} for role, jobs in JOBS.items() for job in jobs}
    return {name: frozenset(roles | {OWNER}) for name, roles in allowed.items()}


def is_foreign(name: str, mode: str, roles: Collection[str], model: str) -> bool:
    """Whether a login that acts as some roles should not hold a lock. Pure.

    Args:
        name: Name of the lock.
        mode: Mode in which it is held, as PostgreSQL names it.
        roles: The roles that the login is or is a member of, without prefix.
        model: Registered model.
    """
    # Whoever takes a known-at waits for drops that are being loaded, in shared mode.
    if name == locks.LOADING and mode == _SHARED and set(roles) & {*JOBS, "promote", "registrar", "read"}:
        return False
    return not set(roles) & holders(model)[name]


def read(connection: sa.Connection, prefix: str, model: str) -> list[ForeignLock]:
    """List the foreign locks of the database that the connection is in.

    Args:
        connection: An open connection.
        prefix: Prefix of the names of the roles.
        model: Registered model.
    """
    names = {locks.key(name): name for name in holders(model)}
    rows = connection.execute(sa.text(_SQL["advisory_locks"]), {"prefix": prefix, "keys": list(names)})
    found = {
        ForeignLock(names[row.key], row.login)
        for row in rows
        if is_foreign(names[row.key], row.mode, [role.removeprefix(prefix) for role in row.roles], model)
    }
    return sorted(found, key=lambda lock: (lock.name, lock.login))
