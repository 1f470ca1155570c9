"""Measure how the way of the data grows with its rows: `python -m bench.rows --users 100000 300000 ...` prints JSON.

Each step is a process of its own: ingest, materialize, the trainings and score, on a database of its own for each
number of users. A step that fails is reported with its reason and stops no other step, and each figure is told as soon
as it is there. `--steps` takes some steps alone. Of more than `DRAWN_USERS` users, so many are simulated, and their
lines are repeated under other keys.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench import batch, measure
from bench.measure import Figures, cpu_seconds

if TYPE_CHECKING:
    from streamflow.settings import Settings

USERS = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
DRAWN_USERS = 1_000_000
"""Users of whom each has values of his own: the simulation holds some 2 KB for each."""
MOST_MIB = 4096.0
"""Resident memory that no step may exceed."""
LEAST_R2 = 0.99
"""Fit of a straight line through seconds over rows that counts as linear."""
_LONGEST_SECONDS = 4 * 3600.0
_AS_OF = "2024-01-31"
_CELLS = ("seconds", "cpu_seconds", "postgres_cpu_seconds", "peak_mib", "postgres_peak_mib")
STEPS = (
    "simulate",
    "ingest",
    "materialize",
    "train-logistic_regression",
    "score",
    "train-histogram_boosting",
    "train-random_forest",
)


def main() -> None:
    """Measure, print the table to stderr and the JSON document to stdout."""
    parser = argparse.ArgumentParser(prog="python -m bench.rows")
    parser.add_argument("--users", type=int, nargs="+", default=list(USERS), help="numbers of users")
    parser.add_argument("--steps", choices=STEPS, nargs="+", default=list(STEPS), help="steps; default: all")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        document = _timed(options.step, options.users[0], options.folder)
    else:
        document = measured(options.users, [step for step in STEPS if step in options.steps])
        sys.stderr.write(table(document) + "\n")
    sys.stdout.write(json.dumps(document) + "\n")


def measured(sizes: Sequence[int], steps: Sequence[str] = STEPS) -> dict[str, Any]:
    """Measure steps, in their order, for each number of users, on a stack of its own."""
    from bench.world import stack_alone

    done: dict[str, dict[str, Figures]] = {step: {} for step in steps}
    with stack_alone(_tell) as (base, home):
        for users in sorted(sizes):
            with (
                tempfile.TemporaryDirectory(dir=home) as folder,
                _database(base, users) as settings,
            ):
                for step in steps:
                    _tell(f"{users:,} users: {step}")
                    done[step][str(users)] = _step(settings, step, users, Path(folder))
                    # A later step may take hours.
                    _tell(json.dumps(done[step][str(users)]))
    return {
        "users": sorted(sizes),
        "steps": done,
        "lines": {step: line(figures) for step, figures in done.items()},
    }


def line(figures: dict[str, Figures]) -> Figures | None:
    """Fit seconds over rows, and CPU seconds, by straight lines; None with fewer than three sizes that ended. Pure."""
    ended = [one for one in figures.values() if "failed" not in one]
    if len(ended) < 3:
        return None
    rows = np.array([one["rows"] for one in ended], dtype=float)
    seconds = np.array([one["seconds"] for one in ended], dtype=float)
    cpu = np.array([one["cpu_seconds"] + one["postgres_cpu_seconds"] for one in ended], dtype=float)
    slope, intercept = np.polyfit(rows, seconds, 1)
    return {
        "seconds_a_million": round(float(slope) * 1e6, 3),
        "seconds_at_0": round(float(intercept), 3),
        "r2": round(_r2(rows, seconds), 5),
        # On a machine that does other work too, it says more.
        "cpu_r2": round(_r2(rows, cpu), 5),
    }


def _r2(rows: npt.NDArray[np.float64], seconds: npt.NDArray[np.float64]) -> float:
    spread = float(((seconds - seconds.mean()) ** 2).sum())
    left = float(((seconds - np.polyval(np.polyfit(rows, seconds, 1), rows)) ** 2).sum())
    return 1.0 if spread == 0 else 1 - left / spread


def table(document: dict[str, Any]) -> str:
    """Format the document as a text table, with what meets its target. Pure."""
    heads = ("users", "seconds", "CPU s", "PostgreSQL", "MiB", "PostgreSQL")
    lines = [f"{'':28}" + "".join(f"{head:>12}" for head in heads)]
    for step, figures in document["steps"].items():
        for users, one in figures.items():
            if "failed" in one:
                lines.append(f"{step:28}{int(users):>12,}   not possible: {one['failed']}")
                continue
            cells = [one[name] for name in _CELLS]
            memory = "met" if one["peak_mib"] < MOST_MIB else "not met"
            lines.append(
                f"{step:28}{int(users):>12,}" + "".join(f"{c:>12,.1f}" for c in cells) + f"   {memory}"
            )
        fit = document["lines"][step]
        if fit is not None:
            linear = "met" if fit["r2"] >= LEAST_R2 else "not met"
            lines.append(
                f"{step:28}{fit['seconds_a_million']:>12.2f} s a million, R² {fit['r2']:.4f}"
                f" (CPU {fit['cpu_r2']:.4f})   {linear}"
            )
    return "\n".join(lines)


def _tell(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


@contextlib.contextmanager
def _database(settings: Settings, users: int) -> Iterator[Settings]:
    """Create a migrated, empty database with the feature repo applied; drop it at the end."""
    from psycopg import sql

    from streamflow.apply import apply
    from streamflow.postgres.engine import engine
    from streamflow.schema.migrate import migrate

    own = settings.model_copy(
        update={
            "database": settings.database.model_copy(update={"name": f"rows_{users}"}),
            "mlflow": settings.mlflow.model_copy(update={"registered_model": f"rows_{users}"}),
        }
    )
    name = sql.Identifier(own.database.name)
    with batch.connect(settings, "postgres") as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(name))
        try:
            migrate(own.database)
            apply(own)
            yield own
        finally:
            engine(own.database).dispose()
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def _step(settings: Settings, step: str, users: int, folder: Path) -> Figures:
    """Run one step in a process of its own; return its figures, or why it failed."""
    from streamflow.local import processes, services

    server = processes.read(settings.home / "run" / "postgres.json")
    before = cpu_seconds(server.pid) if server else 0.0
    command = [
        sys.executable,
        "-m",
        "bench.rows",
        "--step",
        step,
        "--users",
        str(users),
        "--folder",
        str(folder),
    ]
    environment = {
        **services.environment(settings),
        "STREAMFLOW_DATABASE__NAME": settings.database.name,
        "STREAMFLOW_MLFLOW__REGISTERED_MODEL": settings.mlflow.registered_model,
        "PYTHONPATH": os.getcwd(),  # noqa: PTH109
    }
    try:
        with measure.PeakMemory(server.pid if server else None) as peak:
            done = subprocess.run(
                command,
                env=environment,
                capture_output=True,
                text=True,
                timeout=_LONGEST_SECONDS,
                check=False,
            )
    except subprocess.TimeoutExpired:
        return {"failed": f"it did not end within {_LONGEST_SECONDS:.0f} s"}
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:300]}
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    figures["postgres_cpu_seconds"] = round(cpu_seconds(server.pid) - before, 3) if server else 0.0
    figures["postgres_peak_mib"] = round(peak.mib, 1)
    return figures


def _timed(step: str, users: int, folder: Path) -> Figures:
    """Do one step in this process; its imports are timed too."""
    from streamflow import settings as settings_module

    settings = settings_module.load()
    if step == "score":
        _promote(settings)
    began, spent = time.perf_counter(), time.process_time()
    rows = _do(settings, step, users, folder)
    return {
        "rows": rows,
        "seconds": round(time.perf_counter() - began, 3),
        "cpu_seconds": round(time.process_time() - spent, 3),
        "peak_mib": round(batch.peak_mib(), 1),
    }


def _do(settings: Settings, step: str, users: int, folder: Path) -> int:
    from datetime import date

    if step == "simulate":
        from streamflow.local.simulate import Simulation, simulate

        drawn = min(users, DRAWN_USERS)
        (drop,) = simulate(settings.feast.repo, folder / "drops", Simulation(users=drawn, months=1))
        for file in drop.folder.iterdir():
            _repeat(file, drawn, users)
        return users
    if step == "ingest":
        from streamflow.jobs.ingest import ingest_folder

        ingest_folder(settings, folder / "drops" / _AS_OF, date.fromisoformat(_AS_OF))
        return users
    if step == "materialize":
        from streamflow.jobs.materialize import materialize

        return min(view.rows for view in materialize(settings).views)
    if step == "score":
        from streamflow.jobs.score import score_as_of

        return score_as_of(settings).scored
    from streamflow import challenger

    return challenger.train(settings, estimator=step.removeprefix("train-")).rows


def _repeat(file: Path, rows: int, wanted: int) -> None:
    """Append a file's lines under other keys, its first column, until there are as many as wanted."""
    _, *lines = file.read_bytes().splitlines(keepends=True)
    with file.open("ab") as more:
        for number in range(1, -(-wanted // rows)):
            # No simulated key begins so.
            key = f"{number}:".encode()
            more.write(key + key.join(lines[: wanted - number * rows]))


def _promote(settings: Settings) -> None:
    """Promote the first version, which the step before has trained."""
    from bench.world import ALIASES
    from streamflow.registry.promote import promote

    for alias in ALIASES:
        promote(settings.backends, 1, alias, why="benchmark", by="bench")


if __name__ == "__main__":
    main()
