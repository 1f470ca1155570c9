"""The home folder of a local stack: address file, password, lock, and the choice of free ports."""

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
from streamflow.registry import heads
from streamflow.settings import STACK_FILE

LOOPBACK = "127.0.0.1"
_PORTS_TRIED = 200


def make(home: Path) -> Path:
    """Create the stack's folder with access for its owner only, unless it exists; return its absolute path.

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
    """The database password; generated on first use and stored in a file that only the owner may read."""
    return _secret(home / "postgres-password").read_text(encoding="ascii").strip()


def erasure_key(home: Path) -> Path:
    """The file with the key of the list of erasures; generated on first use, for the owner alone to read."""
    return _secret(home / "erasure-key")


def prefect_login(home: Path) -> Path:
    """File with the login of Prefect's server; generated on first use, because its API can have code run."""
    return _secret(home / "prefect-login", "admin:")


def _secret(path: Path, beginning: str = "") -> Path:
    if not path.is_file():
        _write_private(path, beginning + secrets.token_urlsafe(32) + "\n")
    return path


def signing_key(home: Path) -> Path:
    """File with the key that signs the audit trail; generated on first use."""
    path = home / "signing-key.pem"
    if not path.is_file():
        _write_private(path, heads.new_private_key())
    return path


def write_addresses(home: Path, variables: Mapping[str, str]) -> Path:
    """Write `stack.env`, which `streamflow` reads on every start and a shell can source.

    Raises:
        UsageError: A value contains a character that shells and dotenv parsers quote differently.
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
    # Created with mode 0600, so that other users cannot read it even for a moment.
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set SO_REUSEADDR too. Without it, a port with connections in TIME_WAIT would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port(preferred: int, taken: set[int] | None = None) -> int:
    """The preferred port, or the next higher one that is free.

    Args:
        preferred: First port to try.
        taken: Ports to skip even though nothing listens on them yet.

    Raises:
        StreamFlowError: 200 ports in a row are taken.
    """
    for port in range(preferred, min(preferred + _PORTS_TRIED, 65536)):
        if port not in (taken or set()) and is_free(port):
            return port
    raise StreamFlowError(
        f"No TCP port from {preferred} up is free.", hint="Stop what uses them, or set another port."
    )


@contextlib.contextmanager
def exclusive(home: Path) -> Iterator[None]:
    """Hold the stack's lock, so that only one `up` or `down` runs at a time.

    Raises:
        Refused: Another process holds the lock.
        StreamFlowError: The home folder is not writable.
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
    """Hold a lock while ports are chosen and until servers listen on them.

    Without it, two stacks that start at the same time could choose the same port.
    """
    path = Path(tempfile.gettempdir()) / f"streamflow-ports-{os.getuid()}.lock"
    # O_NOFOLLOW: the folder is writable by everybody, so the path might be somebody else's symbolic link.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
