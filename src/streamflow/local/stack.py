"""Start and stop the local stack, and show its status."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal

from streamflow.client import ClientError
from streamflow.errors import DependencyDown, StreamFlowError
from streamflow.local import home as homes
from streamflow.local import postgres, prefect, prefect_python, processes, services
from streamflow.local.processes import Running
from streamflow.local.services import (
    CONDUCTOR,
    FEAST,
    MLFLOW,
    NAMES,
    OPTIONAL,
    POSTGRES,
    PREDICT,
    PREFECT,
    REGISTRAR,
    Service,
)
from streamflow.repo.folder import check_folder
from streamflow.settings import Settings

State = Literal["running", "not answering", "died", "stopped"]
_READY_SECONDS = 180.0
_GRACE_SECONDS = 10.0
_LEAST_FREE_BYTES = 500_000_000


@dataclass(frozen=True)
class Status:
    """One service of the stack.

    Attributes:
        name: Name of the service.
        state: `running`, `not answering`, `died` (ended without `down`) or `stopped`.
        url: Base URL.
        pid: Process id; None if no process is running.
        log: Log file.
        model_version: Model version that predict serves; None for other services, or if it serves no model.
    """

    name: str
    state: State
    url: str
    pid: int | None
    log: str
    model_version: int | None = None


def up(
    base: Settings, tell: Callable[[str], None] = lambda line: None, *, with_prefect: bool = False
) -> Settings:
    """Start every service that is not running yet; return when all are ready.

    Args:
        base: The caller's settings; `home` is the stack's folder.
        tell: Called with one line per step.
        with_prefect: Also start Prefect's server and the conductor.

    Returns:
        The settings of the stack, which are also written to `stack.env` for other processes.

    Raises:
        StreamFlowError: A service did not start; `details` has the end of its log. The others keep running.
        Refused: Another `up` or `down` is running for this stack.
        UsageError: The settings name a folder that is not a feature repo, or Prefect is not installed; nothing was
            started.
    """
    _check_repo(base.feast.repo)
    if with_prefect:
        prefect_python.interpreter(base.prefect)
    home = homes.make(base.home)
    _check_room(home)
    with homes.exclusive(home), homes.choosing_ports():
        _clear(home)
        optional = OPTIONAL if with_prefect or _running(home, PREFECT) else ()
        ports = _choose_ports(home, base, (*NAMES, *optional), tell)
        section = prefect.section(base.prefect, home, ports) if optional else base.prefect.model_dump()
        settings = services.stack_settings(base, home, ports, homes.password(home), section)
        more = prefect.addresses(settings.prefect) if optional else {}
        homes.write_addresses(home, {**services.addresses(settings), **more})
        _start_postgres(settings, tell)
        wanted = services.http_services(settings)
        # MLflow, predict and the registrar start while the feature repo is applied; Feast's server needs its registry.
        started = [_start(settings, wanted[name], tell) for name in (MLFLOW, PREDICT, REGISTRAR)]
        _apply(settings, tell)
        started.append(_start(settings, wanted[FEAST], tell))
        if optional:
            started += [
                _start(settings, service, tell) for service in prefect.prefect_services(settings).values()
            ]
        _wait(settings, [service for service in started if service], tell)
    return settings


def _check_repo(repo: Path) -> None:
    """Reject a wrong path before it is written to `stack.env`."""
    check_folder(repo.expanduser().resolve())


def _check_room(home: Path) -> None:
    free = shutil.disk_usage(home).free
    if free < _LEAST_FREE_BYTES:
        raise StreamFlowError(
            f"The disk of {home} has {free // 1_000_000} MB left, which is too little for a stack.",
            hint="Make room, or set STREAMFLOW_HOME to a folder on another disk.",
        )


def _clear(home: Path) -> None:
    """Stop what killed services left behind: MLflow's worker outlives its parent and keeps the port open."""
    for name in (CONDUCTOR, PREFECT, PREDICT, FEAST, REGISTRAR, MLFLOW):
        if _file(home, name).is_file() and _running(home, name) is None:
            _stop(home, name)


def _choose_ports(
    home: Path, base: Settings, names: Sequence[str], tell: Callable[[str], None]
) -> dict[str, int]:
    """Choose a port for each service: its current one if it runs, else the first free one."""
    chosen: dict[str, int] = {}
    preferred = services.preferred_ports(base)
    for name in names:
        process = _running(home, name)
        if process is not None:
            chosen[name] = process.port
            continue
        chosen[name] = homes.free_port(preferred[name], set(chosen.values()))
        if chosen[name] != preferred[name]:
            tell(f"Port {preferred[name]} is taken; {name} gets {chosen[name]}.")
    api = preferred[services.PROMOTIONS]
    # A registrar that runs holds its port itself.
    if REGISTRAR not in chosen or _running(home, REGISTRAR) is None:
        api = homes.free_port(api, set(chosen.values()))
    chosen[services.PROMOTIONS] = api
    return chosen


def _start_postgres(settings: Settings, tell: Callable[[str], None]) -> None:
    from streamflow.schema import swap
    from streamflow.schema.migrate import migrate
    from streamflow.schema.prepare import set_least_kept

    if _running(settings.home, POSTGRES) is None:
        tell("Starting PostgreSQL")
        server = _server(settings)
        postgres.create(server)
        with _undisturbed():
            process = postgres.start(server)
            processes.write(_file(settings.home, POSTGRES), process)
    for line in swap.heal(settings.database):
        tell(line)
    _create_databases(settings)
    migrate(settings.database)
    set_least_kept(settings.database, settings.least_kept)


def _server(settings: Settings) -> postgres.Server:
    return postgres.Server(
        folder=settings.home / "postgres",
        port=settings.database.port,
        user=settings.database.user,
        password=settings.database.secret,
        log=log_of(settings.home, POSTGRES),
    )


def _create_databases(settings: Settings) -> None:
    import psycopg
    from psycopg import sql

    database = settings.database
    with psycopg.connect(
        host=database.host,
        port=database.port,
        user=database.user,
        password=database.secret,
        dbname="postgres",
        autocommit=True,
    ) as connection:
        for name in (database.name, database.mlflow_name):
            present = connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone()
            if present is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def _apply(settings: Settings, tell: Callable[[str], None]) -> None:
    """Apply the feature repo unless it is applied already: importing Feast takes 10 s of CPU time."""
    from streamflow.schema import prepare

    with contextlib.suppress(DependencyDown):
        prepare.wait(settings.database, settings.feast.repo, "applied", 0.0)
        return
    from streamflow.apply import apply

    tell(f"Applying the feature repo {settings.feast.repo}")
    apply(settings)
    prepare.stamp(settings.database, settings.feast.repo)


def _start(settings: Settings, service: Service, tell: Callable[[str], None]) -> Service:
    """Start a service; restart a running one if its configuration has changed."""
    running = _running(settings.home, service.name)
    noted = settings.home / "run" / f"{service.name}.configuration"
    if running is not None:
        if noted.is_file() and noted.read_text(encoding="ascii") == service.configuration:
            return service
        tell(f"Restarting {service.name}: its configuration has changed")
        _stop(settings.home, service.name)
    else:
        tell(f"Starting {service.name}")
    with _undisturbed():
        process = processes.launch(
            service.command,
            log=log_of(settings.home, service.name),
            port=services.preferred_ports(settings)[service.name],
            environment={**services.environment(settings), **service.variables},
        )
        processes.write(_file(settings.home, service.name), process)
        noted.write_text(service.configuration, encoding="ascii")
    return service


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Defer Ctrl-C, SIGTERM and SIGHUP until a started process is recorded, so that `down` can stop it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        caught.append(number)

    former = {
        number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        if caught:
            signal.raise_signal(signal.Signals(caught[0]))


def _wait(settings: Settings, started: list[Service], tell: Callable[[str], None]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    pending = list(started)
    while pending:
        for service in list(pending):
            process = _running(settings.home, service.name)
            if process is None:
                raise _not_started(settings.home, service, "ended by itself")
            if services.answers(service.url + service.ready_path):
                pending.remove(service)
                tell(f"{service.name} answers at {service.url}")
            elif time.monotonic() > deadline:
                _stop(settings.home, service.name)
                raise _not_started(settings.home, service, f"did not answer within {_READY_SECONDS:.0f} s")
        time.sleep(0.1 if pending else 0)


def _not_started(home: Path, service: Service, what: str) -> StreamFlowError:
    log = log_of(home, service.name)
    return StreamFlowError(
        f"{service.name} {what} (it should listen at {service.url}).",
        details=processes.last_lines(log),
        hint=f"The whole log: {log}. 'streamflow up' tries again, 'streamflow down' stops the rest.",
    )


def down(home: Path) -> list[str]:
    """Stop all services, PostgreSQL last because the others use it; return when all have ended.

    Returns:
        Names of the services that were stopped.

    Raises:
        Refused: Another `up` or `down` is running for this stack.
    """
    home = home.expanduser().resolve()
    if not (home / "run").is_dir():
        return []
    with homes.exclusive(home):
        before = [name for name in (*NAMES, *OPTIONAL) if _running(home, name)]
        # First, so that it starts no further job.
        _stop(home, CONDUCTOR)
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: _stop(home, name), (PREFECT, PREDICT, FEAST, REGISTRAR, MLFLOW)))
        _stop(home, POSTGRES)
    return before


def _stop(home: Path, name: str) -> None:
    path = _file(home, name)
    process = processes.read(path)
    if process is not None:
        if name == POSTGRES:
            postgres.shut_down(process)
        else:
            processes.stop(process, first=signal.SIGTERM, grace_seconds=_GRACE_SECONDS)
    path.unlink(missing_ok=True)


@contextlib.contextmanager
def without_mlflow(settings: Settings, tell: Callable[[str], None]) -> Iterator[None]:
    """Keep the stack's MLflow server stopped, and start it again afterwards if it ran."""
    home = settings.home.expanduser().resolve()
    with homes.exclusive(home):
        ran = _running(home, MLFLOW) is not None
        _stop(home, MLFLOW)
        try:
            yield
        finally:
            if ran:
                own = settings.model_copy(update={"home": home})
                service = _start(own, services.http_services(own)[MLFLOW], tell)
                _wait(own, [service], tell)


def status(settings: Settings) -> list[Status]:
    """Report the state of every service of the stack in `settings.home`."""
    home = settings.home.expanduser().resolve()
    preferred = services.preferred_ports(settings)
    # No user and password in the URL, because people paste this output.
    urls = {POSTGRES: f"postgresql://{homes.LOOPBACK}:{{}}/{settings.database.name}"}
    checks: Mapping[str, str] = {
        MLFLOW: "/health",
        FEAST: "/health",
        PREDICT: "/livez",
        REGISTRAR: "/healthz",
        PREFECT: "/api/health",
        CONDUCTOR: "/metrics",
    }
    found = []
    # Those that were asked for have left a file, also if they died.
    for name in (*NAMES, *(name for name in OPTIONAL if _file(home, name).is_file())):
        process = _running(home, name)
        port = process.port if process else preferred[name]
        url = urls.get(name, f"http://{homes.LOOPBACK}:{{}}").format(port)
        state: State = "died" if _file(home, name).is_file() else "stopped"
        if process is not None:
            well = not homes.is_free(port) if name == POSTGRES else services.answers(url + checks[name])
            state = "running" if well else "not answering"
        version = (
            _model_version(url, settings.predict.join_key) if name == PREDICT and state == "running" else None
        )
        found.append(
            Status(name, state, url, process.pid if process else None, str(log_of(home, name)), version)
        )
    return found


def _model_version(predict_url: str, join_key: str) -> int | None:
    try:
        with services.predict_client(predict_url, join_key, timeout_seconds=2.0) as client:
            served = client.model().served
    except ClientError:
        return None
    return None if served is None else served.version


def log_of(home: Path, name: str) -> Path:
    """Log file of a service."""
    return home / "logs" / f"{name}.log"


def _file(home: Path, name: str) -> Path:
    return home / "run" / f"{name}.json"


def _running(home: Path, name: str) -> Running | None:
    process = processes.read(_file(home, name))
    return process if process is not None and processes.alive(process) else None
