"""`python -m streamflow.flows`: what the command line starts in the environment of Prefect.

server                        Prefect's own server, of a local stack
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
from streamflow.settings import PrefectSettings

PAUSED = 75
"""Exit code of a run that waits for an approval."""


def environment(home: Path, prefect: PrefectSettings) -> dict[str, str]:
    """Prefect's own settings, as environment variables. Variables that are set already keep their value."""
    wanted = {
        "PREFECT_HOME": str(home.expanduser().resolve() / "prefect"),
        "PREFECT_API_URL": prefect.api_url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # A server that is started again is away for a minute.
        "PREFECT_CLIENT_MAX_RETRIES": "10",
        "PREFECT_LOGGING_LEVEL": "INFO",
    }
    if prefect.auth:
        wanted["PREFECT_API_AUTH_STRING"] = prefect.auth
    return {name: os.environ.get(name, value) for name, value in wanted.items()} | {
        "PREFECT_API_URL": prefect.api_url
    }


def server_environment(prefect: PrefectSettings) -> dict[str, str]:
    """Settings of Prefect's server, as environment variables."""
    login = {"PREFECT_SERVER_API_AUTH_STRING": prefect.auth} if prefect.auth else {}
    return {
        "PREFECT_SERVER_API_PORT": str(prefect.server_port),
        # SQLite lets one write at a time, and a busy machine takes longer than Prefect's ten seconds.
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
        "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
        # Relative, so that the pages work at each address at which they are opened.
        "PREFECT_SERVER_UI_API_URL": "/api",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": f"P{prefect.keep_days}D",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(prefect.keep_days * 86400),
        **login,
    }


def main(arguments: list[str]) -> int:
    """Serve, or run a flow; return the exit code."""
    try:
        settings = settings_module.load()
        # Before Prefect is imported, which reads them once.
        os.environ |= environment(settings.home, settings.prefect)
        if arguments == ["server"]:
            os.environ |= server_environment(settings.prefect)
            program = str(Path(sys.executable).with_name("prefect"))
            os.execv(program, [program, "server", "start", "--host", "127.0.0.1"])  # noqa: S606
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
