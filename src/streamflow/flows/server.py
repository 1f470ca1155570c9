"""`python -m streamflow.flows.server`: Prefect's server on PostgreSQL, with its passwords from files.

Options are those of `prefect server start`.
"""

from __future__ import annotations

import os
import sys
from urllib.parse import quote

from streamflow import settings as settings_module
from streamflow.errors import StreamFlowError
from streamflow.settings import DatabaseSettings, PrefectSettings


def environment(database: DatabaseSettings, prefect: PrefectSettings) -> dict[str, str]:
    """Prefect's own settings, as environment variables: its database, and the login that it asks for.

    Args:
        database: Settings whose database is Prefect's.
        prefect: Settings with the file of the login.
    """
    login = f"{quote(database.user, safe='')}:{quote(database.secret, safe='')}"
    address = f"{database.host}:{database.port}/{quote(database.name, safe='')}"
    # The driver takes the certificate of the authority from PGSSLROOTCERT, as libpq does.
    found = {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{login}@{address}?ssl={database.sslmode}",
        "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": str(database.connect_timeout_seconds),
    }
    return found | ({"PREFECT_SERVER_API_AUTH_STRING": prefect.auth} if prefect.auth else {})


def main(arguments: list[str]) -> int:
    """Become the server; return an exit code only if it cannot start."""
    try:
        settings = settings_module.load()
        variables = os.environ | environment(settings.database, settings.prefect)
    except StreamFlowError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    # Not as options: other users can read a password in a command line.
    os.execvpe("prefect", ["prefect", "server", "start", *arguments], variables)  # noqa: S606


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
