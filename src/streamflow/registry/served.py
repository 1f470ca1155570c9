"""The release in production by the ledger, verified as predict verifies it."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from streamflow import release
from streamflow.errors import NotFound, NotYet
from streamflow.model_version.aliases import PRODUCTION
from streamflow.postgres import statements
from streamflow.postgres.engine import transaction
from streamflow.registry import releases
from streamflow.release import Release, VersionPointer
from streamflow.settings import DatabaseSettings

_SQL = statements.load(Path(__file__).with_name("queries.sql"))


def stored_release(database: DatabaseSettings, pointer: VersionPointer) -> Release:
    """Load a version that was in production, whatever is in production now.

    Raises:
        ReleaseRefused: It fails a check, or its files are not in PostgreSQL.
        DependencyDown: PostgreSQL does not answer.
    """
    with transaction(database) as connection:
        return release.check(pointer, releases.read(connection, pointer))


def served_release(database: DatabaseSettings, model: str) -> Release:
    """Load the version in production.

    Raises:
        NotFound: Nothing is in production (`NotYet`: nothing ever was).
        ReleaseRefused: It fails a check, or its files are not in PostgreSQL.
        DependencyDown: PostgreSQL does not answer.
    """
    with transaction(database) as connection:
        pointer = releases.current(connection, model, PRODUCTION)
        if pointer is not None:
            return release.check(pointer, releases.read(connection, pointer))
        parameters = {"model": model, "alias": PRODUCTION}
        ever = connection.execute(sa.text(_SQL["ever_promoted"]), parameters).scalar_one()
    # Before the first promotion there is nothing to do; later, a missing version is an error.
    kind = NotFound if ever else NotYet
    raise kind(
        f"No version of {model} is promoted to '{PRODUCTION}'.",
        hint=f'Promote one: streamflow models promote VERSION --to {PRODUCTION} --why "…".',
    )
