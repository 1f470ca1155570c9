"""Measure a training of logistic regression, from the start of its process to the registered version.

`python -m bench.train --users 300000` starts a stack of its own, and prints as JSON: users, seconds, CPU seconds (of the
process, and of PostgreSQL and MLflow for it), peak memory, and how many bytes a row of the training set takes.
The bytes of a row are differences of peak memory between that many users and `FEW` users, so that what Python and its
libraries take cancels out: `set_bytes_per_row` while the training set is built, `bytes_per_row` over the whole training.
`data_bytes_per_row` is what the values themselves take: 8 bytes a number, 1 a truth value, and the characters of a text.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from bench.measure import BenchError, Figures, cpu_seconds

if TYPE_CHECKING:
    from streamflow.model_version.training_set import TrainingSet
    from streamflow.settings import Settings

ESTIMATOR = "logistic_regression"
FEW = 1000
"""Users whose training shows what a process takes whatever their number."""


def measured(settings: Settings, users: int) -> Figures:
    """Train on a database of so many users, on a stack that has a drop of the sample; return the figures.

    Raises:
        BenchError: A training failed.
    """
    from bench.batch import database_of

    figures: dict[int, dict[str, Figures]] = {}
    for count in (FEW, users):
        with database_of(settings, count) as big:
            figures[count] = {what: _in_process(big, what) for what in ("set", "train")}
    few, many = figures[FEW], figures[users]

    def bytes_per_row(what: str) -> float:
        more: float = (many[what]["peak_mib"] - few[what]["peak_mib"]) * 2**20
        rows: int = many[what]["rows"] - few[what]["rows"]
        return round(more / max(1, rows), 1)

    return {
        "users": users,
        **many["train"],
        "set_seconds": many["set"]["seconds"],
        "set_cpu_s": many["set"]["cpu_s"],
        "set_bytes_per_row": bytes_per_row("set"),
        "bytes_per_row": bytes_per_row("train"),
        "data_bytes_per_row": many["set"]["data_bytes_per_row"],
    }


def _in_process(settings: Settings, what: str) -> Figures:
    from streamflow.local import processes, services

    environment = {
        **services.environment(settings),
        "STREAMFLOW_DATABASE__NAME": settings.database.name,
        "PYTHONPATH": os.getcwd(),  # noqa: PTH109
    }
    running = [processes.read(settings.home / "run" / f"{name}.json") for name in ("postgres", "mlflow")]
    pids = [process.pid for process in running if process is not None]
    before = [cpu_seconds(pid) for pid in pids]
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "bench.train", "--run", what],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise BenchError(f"The training failed: {done.stderr.strip()[-800:]}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    others = sum(cpu_seconds(pid) - spent for pid, spent in zip(pids, before, strict=True))
    return {**figures, "seconds": round(seconds, 3), "others_cpu_s": round(others, 3)}


def _run(what: str) -> Figures:
    """Build the training set, or train; return what the process took."""
    from streamflow import settings as settings_module

    settings = settings_module.load()
    figures = _set(settings) if what == "set" else _train(settings)
    return {**figures, "cpu_s": round(time.process_time(), 3), "peak_mib": round(_peak_mib(), 1)}


def _train(settings: Settings) -> Figures:
    from streamflow import challenger

    trained = challenger.train(settings, estimator=ESTIMATOR)
    return {"rows": trained.rows, "version": trained.version, "fingerprint": trained.fingerprint}


def _set(settings: Settings) -> Figures:
    from streamflow import point_in_time
    from streamflow.postgres import clock
    from streamflow.postgres.engine import transaction
    from streamflow.repo import definitions

    with transaction(settings.database) as connection:
        known = clock.known_until(connection, None)
    data, _ = point_in_time.training_set(
        settings.database, definitions.load(settings.feast.repo), None, known
    )
    figures = {"rows": len(data.frame), "fingerprint": data.fingerprint}
    return {**figures, "data_bytes_per_row": round(_data_bytes(data) / len(data.frame), 1)}


def _data_bytes(data: TrainingSet) -> int:
    total = 0
    for name in data.frame.columns:
        values = data.frame[name].to_numpy()
        total += sum(map(len, values)) if values.dtype == object else values.nbytes
    return total


def _peak_mib() -> float:
    from bench.batch import peak_mib as peak

    return peak()


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.train")
    parser.add_argument("--users", type=int, default=300_000)
    parser.add_argument("--run", choices=("set", "train"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    figures = _run(options.run) if options.run else _alone(options.users)
    sys.stdout.write(json.dumps(figures) + "\n")


def _alone(users: int) -> Figures:
    """Measure on a stack of its own, in a temporary folder."""
    from bench import world
    from streamflow.drops.inbox import dated_folders
    from streamflow.jobs.ingest import ingest_folder
    from streamflow.local.simulate import Simulation, simulate

    def tell(line: str) -> None:
        sys.stderr.write(line + "\n")

    with world.stack_alone(tell) as (settings, folder):
        drops = world.drops_folder()
        if drops is None:
            drops = folder / "drops"
            simulate(settings.feast.repo, drops, Simulation(users=7000, months=1))
        as_of, drop = list(dated_folders(drops))[-1]
        ingest_folder(settings, drop, as_of)
        return measured(settings, users)


if __name__ == "__main__":
    _main()
