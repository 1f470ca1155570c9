"""Feast's command line, with logs that name no customer: Feast's server logs exceptions with their messages.

python -m streamflow.features.feast_cli -c feature_repo serve
"""

from __future__ import annotations

import sys

from streamflow import log
from streamflow import settings as settings_module
from streamflow.errors import StreamFlowError
from streamflow.postgres.engine import translated


def main() -> int:
    """Run Feast's command line; the processes that it forks hide messages too.

    Returns:
        The exit code, if PostgreSQL cannot be reached; otherwise Feast's command line ends the process.
    """
    log.hide_messages()
    from feast.cli.cli import cli

    try:
        with translated(settings_module.load().database):
            cli(prog_name="feast")
    except StreamFlowError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
