"""Feast's command line, with logs that name no customer, and a server that takes writes from holders of a key alone.

Feast's server logs exceptions with their messages.

python -m streamflow.features.feast_cli -c feature_repo serve
"""

from __future__ import annotations

import sys

from streamflow import log
from streamflow import settings as settings_module
from streamflow.errors import StreamFlowError
from streamflow.features.write_guard import guarding
from streamflow.postgres.engine import translated


def main() -> int:
    """Run Feast's command line; the processes that it forks hide messages too.

    Returns:
        The exit code, if PostgreSQL cannot be reached; otherwise Feast's command line ends the process.
    """
    log.hide_messages()
    from feast import feature_server
    from feast.cli.cli import cli

    try:
        settings = settings_module.load()
        feature_server.get_app = guarding(feature_server.get_app, settings.feast.api_keys_file)
        with translated(settings.database):
            cli(prog_name="feast")
    except StreamFlowError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
