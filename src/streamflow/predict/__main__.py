"""`python -m streamflow.predict`: the predict service as a process."""

import sys

# structlog imports rich where it is installed, for tracebacks in colour that no server prints: a fifth of the CPU
# that a start takes. None makes the import fail, and structlog goes without.
sys.modules["rich"] = None  # type: ignore[assignment]

from streamflow import log, settings  # noqa: E402
from streamflow.errors import StreamFlowError  # noqa: E402
from streamflow.predict.server import run  # noqa: E402

if __name__ == "__main__":
    try:
        loaded = settings.load()
        log.configure(loaded.log)
        run(loaded)
    except StreamFlowError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
