"""`python -m streamflow.predict`: the predict service as a process."""

import sys

from streamflow import log, settings
from streamflow.errors import StreamFlowError
from streamflow.predict.server import run

if __name__ == "__main__":
    try:
        loaded = settings.load()
        log.configure(loaded.log)
        run(loaded)
    except StreamFlowError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
