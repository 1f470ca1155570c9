"""`python -m streamflow.flows.server DATABASE OPTIONS`: Prefect's server, of a laptop or of a cluster.

sqlite       its database is a file in the folder of the local stack, whose PostgreSQL lacks an extension that it needs
postgresql   its database is that of STREAMFLOW_DATABASE__*

OPTIONS are those of `prefect server start`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import quote

from streamflow import settings as settings_module
from streamflow.errors import StreamFlowError, UsageError
from streamflow.settings import DatabaseSettings, PrefectSettings

COMMON = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # Relative, so that the pages work at each address at which they are opened.
    "PREFECT_SERVER_UI_API_URL": "/api",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
"""Prefect's settings that are the same everywhere: it reports nothing to its makers, and its pages do not advertise."""


def environment(prefect: PrefectSettings) -> dict[str, str]:
    """Prefect's settings of any server, as environment variables: how long it keeps what, and its login."""
    login = {"PREFECT_SERVER_API_AUTH_STRING": prefect.auth} if prefect.auth else {}
    return {
        **COMMON,
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": f"P{prefect.keep_days}D",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(prefect.keep_days * 86400),
        **login,
    }


def on_sqlite(home: Path) -> dict[str, str]:
    """Prefect's settings of a server on SQLite, whose database is below a folder."""
    return {
        "PREFECT_HOME": str(home.expanduser().resolve() / "prefect"),
        # SQLite lets one write at a time, and a busy machine takes longer than Prefect's ten seconds.
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
        "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
    }


def on_postgresql(database: DatabaseSettings) -> dict[str, str]:
    """Prefect's settings of a server on PostgreSQL."""
    login = f"{quote(database.user, safe='')}:{quote(database.secret, safe='')}"
    address = f"{database.host}:{database.port}/{quote(database.name, safe='')}"
    # The driver takes the certificate of the authority from PGSSLROOTCERT, as libpq does.
    return {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{login}@{address}?ssl={database.sslmode}",
        "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": str(database.connect_timeout_seconds),
    }


def main(arguments: list[str]) -> int:
    """Become the server; return an exit code only if it cannot start."""
    try:
        settings = settings_module.load()
        kind, *options = arguments or [""]
        if kind == "sqlite":
            own = on_sqlite(settings.home)
        elif kind == "postgresql":
            own = on_postgresql(settings.database)
        else:
            raise UsageError(
                f"Unknown database of Prefect's server: '{kind}'.", hint="Use 'sqlite' or 'postgresql'."
            )
        variables = os.environ | environment(settings.prefect) | own
    except StreamFlowError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    program = str(Path(sys.executable).with_name("prefect"))
    # Not as options: other users can read a password in a command line.
    os.execve(program, [program, "server", "start", *options], variables)  # noqa: S606


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
