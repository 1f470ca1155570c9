"""`python -m streamflow.flows`: what the command line starts in the environment of Prefect.

serve                         the conductor
run FLOW PARAMETERS SECONDS   PARAMETERS is a JSON object
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from streamflow import log
from streamflow import settings as settings_module
from streamflow.errors import StreamFlowError, UsageError
from streamflow.flows import server
from streamflow.settings import PrefectSettings

PAUSED = 75
"""Exit code of a run that waits for an approval."""


def environment(home: Path, prefect: PrefectSettings) -> dict[str, str]:
    """Prefect's own settings, as environment variables. Variables that are set already keep their value."""
    wanted = {
        "PREFECT_HOME": str(home.expanduser().resolve() / "prefect"),
        "PREFECT_API_URL": prefect.api_url,
        **server.COMMON,
        # A server that is started again is away for a minute.
        "PREFECT_CLIENT_MAX_RETRIES": "10",
        "PREFECT_LOGGING_LEVEL": "INFO",
    }
    if prefect.auth:
        wanted["PREFECT_API_AUTH_STRING"] = prefect.auth
    return {name: os.environ.get(name, value) for name, value in wanted.items()} | {
        "PREFECT_API_URL": prefect.api_url
    }


def main(arguments: list[str]) -> int:
    """Serve, or run a flow; return the exit code."""
    try:
        settings = settings_module.load()
        # Before Prefect is imported, which reads them once.
        os.environ |= environment(settings.home, settings.prefect)
        if arguments == ["serve"]:
            log.configure(settings.log)
            from streamflow.flows.serve import serve

            serve(settings.home, settings.prefect)
            return 0
        if len(arguments) == 4 and arguments[0] == "run":
            from streamflow.flows import ask

            parameters = json.loads(arguments[2])
            state = ask.run(arguments[1], parameters, settings.prefect.pages, float(arguments[3]), _tell)
            return PAUSED if state == "Suspended" else 0
        raise UsageError(
            "This module is started by 'streamflow flows'.", hint="See 'streamflow flows --help'."
        )
    except StreamFlowError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
