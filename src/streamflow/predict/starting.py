"""Start predict: while the web framework is imported, a thread fetches the model and a child process checks it.

A start takes 2 s of processor time. Most of it is on two threads and two processes at once, so modules are imported
in the order in which they are needed.
"""

from __future__ import annotations

import contextlib
import sys

from streamflow import confined
from streamflow.errors import StreamFlowError

_FETCH_SECONDS = 2.0
"""How long the other imports wait for the files of the model, which take 0.1 s."""


def main() -> int:
    """Load the settings and serve.

    Returns:
        The exit code; an error that an operator can meet is a message on stderr.
    """
    child = None
    with contextlib.suppress(OSError):
        # Another one is tried when there is something to check, and what fails then is reported.
        child = confined.Child(confined.RELEASE_CHECK)
    try:
        from streamflow import log
        from streamflow import settings as settings_module

        loaded = settings_module.load()
        log.configure(loaded.log)
        from streamflow.predict.models.first_release import FirstRelease

        first, child = FirstRelease(loaded.database, loaded.mlflow.registered_model, child), None
        # What is imported meanwhile would only slow the fetching down; what is imported afterwards takes no time of it.
        first.fetched.wait(_FETCH_SECONDS)
        import onnxruntime  # noqa: F401  # before the thread needs it

        from streamflow.predict import server

        server.run(loaded, first)
    except StreamFlowError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    finally:
        if child is not None:
            child.end()
    return 0
