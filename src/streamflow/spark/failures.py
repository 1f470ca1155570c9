"""Say that Spark failed, instead of showing a traceback of Java."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from streamflow.errors import DependencyDown


@contextlib.contextmanager
def named(what: str) -> Iterator[None]:
    """Translate what Spark and Java raise; other errors pass through.

    Args:
        what: Ends the sentence "Spark could not …", and says what that means for stored data.

    Raises:
        DependencyDown: A task failed again and again, or executors cannot start.
    """
    try:
        yield
    except Exception as error:
        # Java's exceptions are py4j's, and those that Spark knows are its own.
        if type(error).__module__.partition(".")[0] not in ("py4j", "pyspark"):
            raise
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise DependencyDown(
            f"Spark could not {what}.",
            details=tuple(lines[:2]),
            hint="Start the job again. If executors run out of memory, raise their memory or lower their cores.",
        ) from error
