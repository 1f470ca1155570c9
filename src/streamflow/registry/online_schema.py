"""Whether the online store can serve a version: its tables compared with the version's contract."""

from __future__ import annotations

from streamflow.errors import ReleaseRefused
from streamflow.model_version import online_columns
from streamflow.model_version.contract import Contract
from streamflow.model_version.online_columns import FILL_ONLINE_STORE
from streamflow.postgres import catalog
from streamflow.postgres.engine import transaction
from streamflow.postgres.names import ONLINE
from streamflow.settings import DatabaseSettings


def columns(database: DatabaseSettings, contract: Contract) -> dict[str, dict[str, str]]:
    """Type per column of the online tables, from the catalog, which needs no privilege on the tables."""
    with transaction(database) as connection:
        return catalog.columns(connection, ONLINE, [view.name for view in contract.views])


def check(database: DatabaseSettings, version: int, contract: Contract) -> None:
    """Check that predict could answer with a version from the online store.

    Raises:
        ReleaseRefused: A table or column that it reads is missing, or has another type.
    """
    online = columns(database, contract)
    if not online:
        # Nothing was materialized yet, which is not the version's fault.
        return
    missing = online_columns.problems(contract, online)
    if missing:
        raise ReleaseRefused(
            f"The online store cannot serve version {version}: {'; '.join(missing)}. {FILL_ONLINE_STORE},"
            " with a feature repo that has them.",
            hint="Or choose another version: 'streamflow models history' lists those that were in production.",
        )
