"""Which answers to probes are worth a line of the log: an orchestrator asks every few seconds, for as long as it runs."""

from __future__ import annotations

import logging
from collections.abc import Collection

_WELL = 200
_STATUS = 4
"""Place of the status among the arguments of uvicorn's access log: client, method, path, HTTP version, status."""


class Probes:
    """Remembers the last answer to each probe, so that only a change is logged.

    Args:
        paths: Path, or path template, of each probe.
    """

    def __init__(self, paths: Collection[str]) -> None:
        self._last = dict.fromkeys(paths, _WELL)

    def __contains__(self, path: str) -> bool:
        """Whether a path is a probe's."""
        return path in self._last

    def repeats(self, path: str, status: int) -> bool:
        """Whether a probe answered this the last time too; before its first answer, it counts as 200."""
        if path not in self._last:
            return False
        last, self._last[path] = self._last[path], status
        return last == status


class ProbeFilter(logging.Filter):
    """Keeps answers that repeat out of the access log that uvicorn writes."""

    def __init__(self, probes: Probes) -> None:
        super().__init__()
        self._probes = probes

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log a record; one of another form is."""
        arguments = record.args
        if not isinstance(arguments, tuple) or len(arguments) <= _STATUS:
            return True
        path, status = str(arguments[2]).partition("?")[0], arguments[_STATUS]
        return not (isinstance(status, int) and self._probes.repeats(path, status))
