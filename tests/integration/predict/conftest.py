"""The predict service as its own process, on a database with two simulated months and two versions."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from own_postgres import OwnPostgres

from streamflow.local import home, processes
from streamflow.local.postgres import Server
from streamflow.model_version import tags as version_tags
from streamflow.postgres.engine import transaction
from streamflow.registry import releases, trail, versions
from streamflow.registry.promote import promote
from streamflow.settings import Settings

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Predict:
    """A running service and a client of it."""

    process: processes.Running
    client: httpx2.Client
    log: Path

    def predict(self, user_id: str) -> httpx2.Response:
        return self.client.post("/predict", json={"user_id": user_id})

    def version(self) -> int | None:
        served = self.client.get("/model").json()["served"]
        return served["version"] if served else None

    def until(self, condition: Callable[[], Any]) -> Any:
        """Poll until the condition is true; on failure show the end of the log."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and processes.alive(self.process):
            with contextlib.suppress(httpx2.HTTPError):
                if found := condition():
                    return found
            time.sleep(0.05)
        pytest.fail("did not come true:\n" + "\n".join(processes.last_lines(self.log)))

    def metric(self, name: str, **labels: str) -> float:
        """One sample of /metrics; 0 when there is none."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        for line in self.client.get("/metrics").text.splitlines():
            if line.startswith((f"{name}{{", f"{name} ")) and all(item in line for item in wanted):
                return float(line.rsplit(" ", 1)[1])
        return 0.0


Start = Callable[..., contextlib.AbstractContextManager[Predict]]


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Start a service; keyword arguments are further environment variables."""

    @contextlib.contextmanager
    def started(settings: Settings, *, path: str = "/livez", **variables: str) -> Iterator[Predict]:
        log = tmp_path_factory.mktemp("predict") / "predict.log"
        with home.choosing_ports():
            port = home.free_port(18000)
            process = processes.launch(
                (sys.executable, "-m", "streamflow", "serve", "predict"),
                log=log,
                port=port,
                environment={
                    # Importing Feast, as tests do, switches prometheus_client to files of several processes.
                    **{k: v for k, v in os.environ.items() if not k.startswith("PROMETHEUS_MULTIPROC")},
                    "STREAMFLOW_HOME": str(settings.home),
                    "STREAMFLOW_PREDICT__PORT": str(port),
                    "STREAMFLOW_PREDICT__POLL_SECONDS": "0.2",
                    "STREAMFLOW_PREDICT__DRAIN_SECONDS": "0",
                    **variables,
                },
            )
            client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
            service = Predict(process, client, log)
            try:
                service.until(lambda: client.get(path).status_code == 200)
            except BaseException:
                processes.stop(process, first=signal.SIGTERM, grace_seconds=5)
                raise
        try:
            yield service
        finally:
            client.close()
            processes.stop(process, first=signal.SIGTERM, grace_seconds=10)

    return started


@pytest.fixture(scope="session")
def production() -> Callable[[Settings, int], None]:
    """Promote a version to production unless it is there."""

    def move(settings: Settings, version: int) -> None:
        targets = trail.targets(settings.database, settings.mlflow.registered_model)
        if targets["production"] != version:
            promote(
                settings.backends,
                version,
                "staging",
                why="a test",
                by="tests",
            )
            promote(
                settings.backends,
                version,
                "production",
                why="a test",
                by="tests",
            )

    return move


@pytest.fixture(scope="session")
def _predict(
    simulated: Settings, start: Start, production: Callable[[Settings, int], None]
) -> Iterator[Predict]:
    production(simulated, 1)
    with start(simulated, path="/readyz") as service:
        yield service


@pytest.fixture
def predict(simulated: Settings, _predict: Predict, production: Callable[[Settings, int], None]) -> Predict:
    """A service that serves version 1 of the simulated months."""
    production(simulated, 1)
    _predict.until(lambda: _predict.version() == 1)
    return _predict


@dataclass
class Switch:
    """A TCP proxy in front of a real server that can be cut, frozen and restored, to simulate network faults."""

    port: int
    target: int
    _listener: socket.socket | None = None
    _ends: list[socket.socket] = field(default_factory=list)
    _flows: threading.Event = field(default_factory=threading.Event)

    def mend(self) -> None:
        """Accept connections and forward data."""
        self._flows.set()
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def freeze(self) -> None:
        """Hold back all data without closing connections, like a server that hangs."""
        self._flows.clear()

    def cut(self) -> None:
        """Refuse new connections and reset the open ones."""
        self._flows.set()
        if self._listener is not None:
            # Without the shutdown, the thread in accept() would keep the port open.
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                here, _ = listener.accept()
                there = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            self._ends += [here, there]
            if self._listener is not listener:
                # The proxy was cut while this connection was opened.
                here.close()
                there.close()
                return
            for source, sink in ((here, there), (there, here)):
                threading.Thread(target=_pump, args=(source, sink, self._flows), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, flows: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            flows.wait()
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def switch() -> Iterator[Callable[[int], Switch]]:
    """Start a working proxy in front of a port."""
    made: list[Switch] = []

    def make(target: int) -> Switch:
        with home.choosing_ports():
            one = Switch(home.free_port(19000, {item.port for item in made}), target)
            one.mend()
        made.append(one)
        return one

    yield make
    for one in made:
        one.cut()


@pytest.fixture(scope="session")
def users(simulated: Settings) -> list[str]:
    """Keys of users with complete features, in order."""
    import sqlalchemy as sa

    statement = """
        SELECT user_id
        FROM online.subs_profile_fv s
        JOIN online.usage_agg_30d_fv u USING (user_id, event_timestamp)
        JOIN online.payments_agg_90d_fv p USING (user_id, event_timestamp)
        JOIN online.support_agg_90d_fv t USING (user_id, event_timestamp)
        WHERE event_timestamp = (SELECT max(newest_as_of) FROM online.materializations)
          AND NOT EXISTS (
            SELECT FROM jsonb_each(to_jsonb(s) || to_jsonb(u) || to_jsonb(p) || to_jsonb(t))
            WHERE value = 'null' AND key NOT IN ('plan_stream_tv', 'plan_stream_movies')
          )
        ORDER BY 1
    """
    with transaction(simulated.database) as connection:
        found = [row[0] for row in connection.execute(sa.text(statement))]
    assert len(found) > 300
    return found


@pytest.fixture
def copy_of(simulated: Settings, tmp_path: Path) -> Callable[[int, Callable[[Path, dict], dict]], int]:
    """Register a copy of a version; `spoil` changes its folder and tags and returns the tags."""
    import mlflow

    from streamflow.mlflow_api import sdk

    def copy(version: int, spoil: Callable[[Path, dict], dict]) -> int:
        source = versions.get(simulated.mlflow, version)
        folder = tmp_path / "copy"
        folder.mkdir()
        with sdk.client(simulated.mlflow) as client:
            mlflow.artifacts.download_artifacts(
                source.source, dst_path=str(folder), tracking_uri=simulated.mlflow.tracking_uri
            )
            folder /= "model"
            tags = spoil(folder, dict(source.tags))
            run = client.create_run(client.get_run(source.run_id).info.experiment_id)
            client.log_artifacts(run.info.run_id, str(folder), "model")
        if digest := tags.get(version_tags.MANIFEST_SHA256):
            with transaction(simulated.database) as connection:
                model = simulated.mlflow.registered_model
                releases.record_trained(connection, model, digest, run.info.run_id, "")
        return versions.register(
            simulated.mlflow, run_id=run.info.run_id, source=f"{run.info.artifact_uri}/model", tags=tags
        )

    return copy


@pytest.fixture
def stopped(postgres_server: Server) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Stop PostgreSQL, new connections included, for the duration of a `with` block."""

    @contextlib.contextmanager
    def all_of_it() -> Iterator[None]:
        postmaster = psutil.Process(
            int((postgres_server.folder / "postmaster.pid").read_text(encoding="ascii").splitlines()[0])
        )
        ended = []
        try:
            # The postmaster first: it would start others.
            for process in [postmaster, *postmaster.children(recursive=True)]:
                os.kill(process.pid, signal.SIGSTOP)
                ended.append(process.pid)
            yield
        finally:
            for pid in ended:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    return all_of_it


@pytest.fixture(scope="session")
def own(
    tmp_path_factory: pytest.TempPathFactory, simulated: Settings, production: Callable[[Settings, int], None]
) -> Iterator[OwnPostgres]:
    """A PostgreSQL server with a copy of `simulated`, with version 1 in production."""
    production(simulated, 1)
    made = OwnPostgres(tmp_path_factory.mktemp("own_postgres"), {simulated.database.port})
    try:
        made.copy(simulated)
        yield made
    finally:
        made.end()


@pytest.fixture(scope="session")
def elsewhere(simulated: Settings, own: OwnPostgres, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of `simulated` with the copied database."""
    made_home = home.make(tmp_path_factory.mktemp("elsewhere"))
    mlflow = simulated.mlflow
    home.write_addresses(
        made_home,
        {
            **own.database.variables,
            "STREAMFLOW_MLFLOW__TRACKING_URI": mlflow.tracking_uri,
            "STREAMFLOW_MLFLOW__REGISTERED_MODEL": mlflow.registered_model,
            "STREAMFLOW_FEAST__REPO": str(simulated.feast.repo),
        },
    )
    return simulated.model_copy(update={"home": made_home, "database": own.database})
