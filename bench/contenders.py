"""The contenders: how each is started, and the requests it is measured with."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import BenchError
from bench.world import LINEAR_MODEL, World
from streamflow.local import home, processes, services, stack

_READY_SECONDS = 180.0


@dataclass(frozen=True)
class Contender:
    """One server and one kind of request.

    Attributes:
        name: Name in the results.
        summary: Description in the results.
        port: TCP port.
        pid: Process id.
        requests: File of requests for the load client.
        uses_postgres: Whether it queries PostgreSQL, whose CPU time then counts too.
        clients: Numbers of clients it is measured with.
        ours: Whether it is predict; if so, a single failed request aborts the run.
    """

    name: str
    summary: str
    port: int
    pid: int
    requests: Path
    uses_postgres: bool
    clients: tuple[int, ...]
    ours: bool = False


@contextlib.contextmanager
def all_running(world: World, folder: Path) -> Iterator[list[Contender]]:
    """Start the contenders that the stack does not include; yield all HTTP contenders."""
    settings, mlflow = world.settings, world.settings.mlflow
    run = settings.home / "run"
    ours, feast = processes.read(run / "predict.json"), processes.read(run / "feast.json")
    if ours is None or feast is None:
        raise BenchError("The stack has no predict or no Feast server.")
    uri = f"models:/{mlflow.registered_model}@production"
    serve = ["mlflow", "models", "serve", "-m", uri, "--env-manager", "local", "-h", "127.0.0.1"]
    with contextlib.ExitStack() as started:
        ceiling = started.enter_context(
            _process(world, "ceiling", (sys.executable, "-m", "bench.apps.ceiling"))
        )
        obvious = started.enter_context(
            _process(world, "obvious", (sys.executable, "-m", "bench.apps.obvious"))
        )
        mlflow_serve = started.enter_context(_process(world, "mlflow-serve", (*serve, "-w", "1", "-p")))
        linear = started.enter_context(_linear(world))
        wait(f"http://127.0.0.1:{linear.port}/readyz")
        for port, path in ((ceiling.port, "/docs"), (obvious.port, "/docs"), (mlflow_serve.port, "/ping")):
            wait(f"http://127.0.0.1:{port}{path}")
        wait(f"http://127.0.0.1:{ours.port}/readyz")
        key = settings.predict.join_key
        asked = write(folder / "predict", [post("/predict", {key: user}) for user in world.users])
        looked_up = write(folder / "features", [_get(f"/features/{user}") for user in world.users])
        feast_asked = write(
            folder / "feast", [post("/get-online-features", _feast(key, u)) for u in world.users]
        )
        given = write(
            folder / "invocations", [post("/invocations", {"dataframe_records": [r]}) for r in world.rows]
        )
        yield [
            Contender(
                "ceiling", "a. empty FastAPI handler", ceiling.port, ceiling.pid, asked, False, (1, 8, 64)
            ),
            Contender(
                "predict", "b. ours, POST /predict", ours.port, ours.pid, asked, True, (1, 8, 64), ours=True
            ),
            Contender(
                "predict_linear",
                "b. ours, logistic regression",
                linear.port,
                linear.pid,
                asked,
                True,
                (1, 64),
                ours=True,
            ),
            Contender("obvious", "c. Feast SDK + MLflow model", obvious.port, obvious.pid, asked, True, (8,)),
            Contender(
                "mlflow_serve",
                "d. mlflow models serve",
                mlflow_serve.port,
                mlflow_serve.pid,
                given,
                False,
                (8,),
            ),
            Contender(
                "feast_serve", "e. feast serve, features", feast.port, feast.pid, feast_asked, True, (8,)
            ),
            Contender(
                "features", "b. ours, GET /features", ours.port, ours.pid, looked_up, True, (8,), ours=True
            ),
        ]


@contextlib.contextmanager
def _process(world: World, name: str, command: Sequence[str]) -> Iterator[processes.Running]:
    """Run a command in the stack's environment, with a free port as its last argument."""
    with home.choosing_ports():
        port = home.free_port(18100)
        process = processes.launch(
            [*command, str(port)],
            log=stack.log_of(world.settings.home, name),
            port=port,
            environment={**services.environment(world.settings), "PYTHONPATH": os.getcwd()},  # noqa: PTH109
        )
        _until_taken(port, process, stack.log_of(world.settings.home, name))
    try:
        yield process
    finally:
        processes.stop(process, first=signal.SIGTERM, grace_seconds=10)


@contextlib.contextmanager
def _linear(world: World) -> Iterator[processes.Running]:
    """A second predict beside the stack's, which serves the logistic regression."""
    log = stack.log_of(world.settings.home, "predict-linear")
    with home.choosing_ports():
        port = home.free_port(18100)
        process = processes.launch(
            (sys.executable, "-m", "streamflow", "serve", "predict"),
            log=log,
            port=port,
            environment={
                **services.environment(world.settings),
                "STREAMFLOW_MLFLOW__REGISTERED_MODEL": LINEAR_MODEL,
                "STREAMFLOW_PREDICT__PORT": str(port),
                "STREAMFLOW_PREDICT__DRAIN_SECONDS": "0",
            },
        )
        _until_taken(port, process, log)
    try:
        yield process
    finally:
        processes.stop(process, first=signal.SIGTERM, grace_seconds=10)


def _until_taken(port: int, process: processes.Running, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while home.is_free(port):
        if not processes.alive(process) or time.monotonic() > deadline:
            raise BenchError("A contender did not start:\n" + "\n".join(processes.last_lines(log)))
        time.sleep(0.05)


def wait(url: str) -> None:
    """Wait until a URL responds with success.

    Raises:
        BenchError: It did not within the time limit.
    """
    deadline = time.monotonic() + _READY_SECONDS
    while not services.answers(url):
        if time.monotonic() > deadline:
            raise BenchError(f"{url} did not answer.")
        time.sleep(0.1)


def _feast(key: str, user: str) -> dict[str, Any]:
    return {"feature_service": "churn_v1", "entities": {key: [user]}}


def post(path: str, document: dict[str, Any]) -> str:
    """Format a POST request as sent over the connection."""
    body = json.dumps(document)
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body.encode())}\r\n\r\n{body}"


def _get(path: str) -> str:
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n"


def write(path: Path, requests: list[str]) -> Path:
    """Write a file of requests for the load client; return its path."""
    path.write_text("".join(json.dumps(request) + "\n" for request in requests), encoding="utf-8")
    return path
