"""Where a local stack keeps its state: its folder, the file of addresses, its lock, and free ports."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from streamflow.errors import Refused, StreamFlowError, UsageError
from streamflow.settings import STACK_FILE

LOOPBACK = "127.0.0.1"
_PORTS_TRIED = 200


def make(home: Path) -> Path:
    """Create the stack's folder, private to its owner, unless it exists; returns its absolute path.

    Raises:
        StreamFlowError: The folder cannot be created or written to.
    """
    home = home.expanduser().resolve()
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        (home / "logs").mkdir(exist_ok=True)
    except OSError as error:
        raise StreamFlowError(
            f"The stack's folder {home} cannot be created: {error.strerror}.",
            hint="Set STREAMFLOW_HOME to a folder that you may write to.",
        ) from error
    return home


def password(home: Path) -> str:
    """The database's password, generated once and stored in a file that only its owner may read."""
    path = home / "postgres-password"
    if path.is_file():
        return path.read_text(encoding="ascii").strip()
    made = secrets.token_urlsafe(24)
    _write_private(path, made + "\n")
    return made


def write_addresses(home: Path, variables: Mapping[str, str]) -> Path:
    """Write the file that `streamflow` reads by itself and that a shell can read with `.`.

    Raises:
        UsageError: A value has a character that shells and dotenv files quote differently.
    """
    path = home / STACK_FILE
    for name, value in variables.items():
        if any(character in value for character in "'\n\\") or "${" in value:
            raise UsageError(
                f"{name} has a quote, a backslash or '${{' in it: {value!r}.",
                hint="Use a STREAMFLOW_HOME and a project folder without these characters.",
            )
    lines = [f"# Written by 'streamflow up'. In a shell: . '{path}'"]
    lines += [f"export {name}='{value}'" for name, value in variables.items()]
    _write_private(path, "\n".join(lines) + "\n")
    return path


def _write_private(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port(preferred: int, taken: set[int] | None = None) -> int:
    """The preferred port, or the next one up that is free and not in `taken`.

    Raises:
        StreamFlowError: The next 200 ports are all taken.
    """
    for port in range(preferred, min(preferred + _PORTS_TRIED, 65536)):
        if port not in (taken or set()) and is_free(port):
            return port
    raise StreamFlowError(
        f"No TCP port from {preferred} up is free.", hint="Stop what uses them, or set another port."
    )


@contextlib.contextmanager
def exclusive(home: Path) -> Iterator[None]:
    """Lock the stack, so that one process at a time changes it.

    Raises:
        Refused: Another process changes it.
        StreamFlowError: The folder cannot be written.
    """
    try:
        lock = (home / "lock").open("w")
    except OSError as error:
        raise StreamFlowError(
            f"The home of the stack, {home}, cannot be used: {error.strerror}.",
            hint="Set STREAMFLOW_HOME to a folder that you may write to.",
        ) from error
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"Another 'streamflow up' or 'down' is at work on {home}.",
                hint="Wait until it has ended, then run this again.",
            ) from None
        yield


@contextlib.contextmanager
def choosing_ports() -> Iterator[None]:
    """Lock the choice of ports until they are listened on, so that two stacks never choose the same."""
    path = Path(tempfile.gettempdir()) / f"streamflow-ports-{os.getuid()}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
