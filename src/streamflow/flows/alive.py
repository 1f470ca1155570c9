"""Which flow runs have a process here: each holds a lock on a file, which ends with the process however it ends."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


def _folder(home: Path) -> Path:
    return home.expanduser().resolve() / "prefect" / "runs"


@contextlib.contextmanager
def marked(home: Path, run: str) -> Iterator[None]:
    """Mark a flow run as one with a process, for the duration of a `with` block."""
    folder = _folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / run
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def has_process(home: Path, run: str) -> bool:
    """Whether a process on this machine conducts a flow run."""
    try:
        with (_folder(home) / run).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
