"""Fixtures that start real servers and provide data.

settings        settings with a separate, migrated database and home folder for each test; for tests that also
                use `mlflow_server`, with a separate experiment and registered model
module_settings like `settings`, but shared by the tests of a module and without an MLflow server
mlflow_server   an MLflow server shared by all tests
start_mlflow    starts a separate MLflow server
world           a database with both sample drops, shared by the tests of a module
simulated       a database with two simulated months, materialized, and two registered versions; shared by all
feature_repo    the project's feature repo
verdict         keeps figures for the verdict about a fault; see fault_verdicts.py
realdata        the sample drops; the test is skipped if they are missing
sample_drops    the sample drops; None if they are missing
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import logging
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
import structlog

import fault_verdicts
from fault_verdicts import verdict  # noqa: F401
from order_of_files import LongFilesFirst
from streamflow import servers
from streamflow import settings as settings_module
from streamflow.local import home, postgres, processes
from streamflow.postgres.engine import engine
from streamflow.schema.migrate import migrate
from streamflow.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
_SPARK = ROOT / ".venv-spark"
if importlib.util.find_spec("pyspark") is None and (_SPARK / ".ready").exists():
    sys.path.append(str(_SPARK / "alone"))
NOTHING_LISTENS = "http://127.0.0.1:9"
_TEMPLATE = "template_streamflow"
_number = itertools.count(1)

# No deadline: a slow machine is not a failure. The same examples in every run, so that none fails at random.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True)
hypothesis.settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Select the tests of the faults that ONLY names."""
    items[:] = fault_verdicts.select(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongFilesFirst:
    """Spread tests over the processes of `pytest -n`."""
    return LongFilesFirst(config, log)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Keep what a test says about a fault."""
    fault_verdicts.note(item, (yield).get_result())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell the verdicts about faults."""
    session = terminalreporter._session
    if session is not None and os.environ.get("VERDICTS") is not None:
        fault_verdicts.tell(session, terminalreporter.write_line)


@pytest.fixture(scope="session", autouse=True)
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Isolate tests from the caller's own stack, environment and proxy."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("STREAMFLOW_", "MLFLOW_", "FEAST_", "PG")) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        # An empty home, so that tests do not use a stack that runs in the checkout.
        patch.setenv("STREAMFLOW_HOME", str(tmp_path_factory.mktemp("nostack")))
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        yield


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """Undo what a test sets up for the whole process: a command configures logging, and its tests may run in this one."""
    root, hook = logging.getLogger(), threading.excepthook
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    threading.excepthook = hook
    root.setLevel(level)
    for handler in list(root.handlers):
        # The handlers of pytest's own come and go between the steps of a test.
        if type(handler) is logging.StreamHandler and handler not in handlers:
            root.removeHandler(handler)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Server]:
    """A PostgreSQL server for the whole run, with a migrated template database."""
    folder = tmp_path_factory.mktemp("postgres")
    with home.choosing_ports():
        server = postgres.Server(
            folder=folder / "data",
            port=home.free_port(15432),
            user="streamflow",
            password="p@ss /word%$",
            log=folder / "postgres.log",
            durable=False,
        )
        postgres.create(server)
        process = postgres.start(server)
    try:
        _sql(server, f"CREATE DATABASE {_TEMPLATE}")
        template = _settings_for(server, _TEMPLATE)
        migrate(template.database)
        engine(template.database).dispose()
        yield server
    finally:
        postgres.shut_down(process)


def _sql(server: postgres.Server, statement: str) -> None:
    with psycopg.connect(
        host="127.0.0.1",
        port=server.port,
        user=server.user,
        password=server.password,
        dbname="postgres",
        autocommit=True,
    ) as connection:
        connection.execute(statement)  # type: ignore[arg-type]


def _settings_for(server: postgres.Server, name: str) -> Settings:
    return settings_module.load(
        database={
            "port": server.port,
            "user": server.user,
            "password": server.password,
            "name": name,
            "sslmode": "disable",
        }
    )


@contextlib.contextmanager
def _database(server: postgres.Server, folder: Path, mlflow: str = NOTHING_LISTENS) -> Iterator[Settings]:
    """A migrated, empty database. `stack.env` in the home folder gives the command line the same settings."""
    number = next(_number)
    name = f"test_{number}"
    _sql(server, f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
    made_home = home.make(folder / "home")
    home.write_addresses(
        made_home,
        {
            "STREAMFLOW_DATABASE__HOST": "127.0.0.1",
            "STREAMFLOW_DATABASE__PORT": str(server.port),
            "STREAMFLOW_DATABASE__NAME": name,
            "STREAMFLOW_DATABASE__USER": server.user,
            "STREAMFLOW_DATABASE__PASSWORD": server.password,
            "STREAMFLOW_DATABASE__SSLMODE": "disable",
            "STREAMFLOW_MLFLOW__TRACKING_URI": mlflow,
            "STREAMFLOW_MLFLOW__EXPERIMENT": f"experiment_{number}",
            "STREAMFLOW_MLFLOW__REGISTERED_MODEL": f"model_{number}",
            "STREAMFLOW_FEAST__REPO": str(ROOT / "feature_repo"),
            "STREAMFLOW_FEAST__SERVER_URL": NOTHING_LISTENS,
        },
    )
    made = settings_module.load(home=made_home)
    try:
        yield made
    finally:
        engine(made.database).dispose()
        _sql(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def settings(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    postgres_server: postgres.Server,
) -> Iterator[Settings]:
    """Settings with a separate database and home folder."""
    wanted = "mlflow_server" in request.fixturenames
    mlflow = request.getfixturevalue("mlflow_server") if wanted else NOTHING_LISTENS
    with _database(postgres_server, tmp_path, mlflow) as made:
        monkeypatch.setenv("STREAMFLOW_HOME", str(made.home))
        yield made


@pytest.fixture(scope="module")
def module_settings(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: postgres.Server
) -> Iterator[Settings]:
    """A migrated, empty database without an MLflow server, shared by the tests of a module."""
    with _database(postgres_server, tmp_path_factory.mktemp("module")) as made:
        yield made


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: postgres.Server,
    mlflow_server: str,
    realdata: Path,
) -> Iterator[Settings]:
    """A database with both sample drops, shared by the tests of a module."""
    from streamflow.apply import apply
    from streamflow.drops.inbox import dated_folders
    from streamflow.jobs.ingest import ingest_folder

    with _database(postgres_server, tmp_path_factory.mktemp("world"), mlflow_server) as made:
        apply(made)
        for as_of, folder in dated_folders(realdata):
            ingest_folder(made, folder, as_of)
        yield made


@contextlib.contextmanager
def _simulated(server: postgres.Server, folder: Path, mlflow: str) -> Iterator[Settings]:
    from streamflow.apply import apply
    from streamflow.challenger import train
    from streamflow.jobs.ingest import ingest_folder
    from streamflow.jobs.materialize import materialize
    from streamflow.local.simulate import Simulation, simulate

    with _database(server, folder, mlflow) as made:
        apply(made)
        written = simulate(made.feast.repo, folder / "drops", Simulation(users=500, months=2))
        for drop in written:
            ingest_folder(made, drop.folder, drop.as_of)
        materialize(made)
        for drop in written:
            train(made, drop.as_of, estimator="logistic_regression")
        yield made


@pytest.fixture(scope="session")
def simulated(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: postgres.Server, mlflow_server: str
) -> Iterator[Settings]:
    """Two simulated months of 500 users, materialized; one version is trained on each, none is promoted."""
    with _simulated(postgres_server, tmp_path_factory.mktemp("simulated"), mlflow_server) as made:
        yield made


@pytest.fixture(scope="module")
def module_simulated(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: postgres.Server, mlflow_server: str
) -> Iterator[Settings]:
    """As `simulated`, of a module's own: no other test promotes its versions or stays connected to its database."""
    with _simulated(postgres_server, tmp_path_factory.mktemp("simulated"), mlflow_server) as made:
        yield made


@pytest.fixture(scope="session")
def mlflow_artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the artifacts of `mlflow_server`."""
    return tmp_path_factory.mktemp("mlflow") / "artifacts"


@pytest.fixture(scope="session")
def mlflow_server(mlflow_artifacts: Path, postgres_server: postgres.Server) -> Iterator[str]:
    """URL of an MLflow server that stores its data in the tests' PostgreSQL."""
    _sql(postgres_server, "CREATE DATABASE mlflow")
    with _mlflow(_settings_for(postgres_server, "mlflow"), mlflow_artifacts.parent) as address:
        yield address


@pytest.fixture(scope="session")
def start_mlflow() -> Callable[..., contextlib.AbstractContextManager[str]]:
    """Start another MLflow server on the database of the settings, with artifacts in a folder, and maybe with logins.

    Returns:
        A function that returns a context manager, which yields the server's URL.
    """
    return _mlflow


@contextlib.contextmanager
def _mlflow(settings: Settings, folder: Path, accounts: Path | None = None) -> Iterator[str]:
    environment = servers.mlflow_environment(settings)
    if accounts is not None:
        servers.upgrade_mlflow(settings, accounts)
        # Absent, as in the chart's pod.
        environment = {**settings.database.variables, "PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics")}
    with home.choosing_ports():
        port = home.free_port(15000)
        process = processes.launch(
            _command(port, folder / "artifacts", accounts),
            log=folder / "mlflow.log",
            port=port,
            environment={**os.environ, **environment},
        )
        address = f"http://127.0.0.1:{port}"
        try:
            _wait_for(f"{address}/health", process, folder / "mlflow.log")
        except BaseException:
            processes.stop(process, first=signal.SIGTERM, grace_seconds=5)
            raise
    try:
        yield address
    finally:
        processes.stop(process, first=signal.SIGTERM, grace_seconds=10)


def _command(port: int, artifacts: Path, accounts: Path | None) -> list[str]:
    if accounts is None:
        return servers.mlflow_command("127.0.0.1", port, 1, str(artifacts), metrics=False)
    places = ["--port", str(port), "--artifacts", str(artifacts), "--accounts", str(accounts)]
    return [sys.executable, "-m", "streamflow", "serve", "mlflow", "--metrics", *places]


def _wait_for(url: str, process: processes.Running, log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and processes.alive(process):
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"{url} did not answer:\n" + "\n".join(processes.last_lines(log)))


@pytest.fixture(scope="session")
def feature_repo() -> Path:
    """The project's feature repo."""
    return ROOT / "feature_repo"


@pytest.fixture(scope="session")
def sample_drops() -> Path | None:
    """Folder of the sample drops; None if they are missing, for tests that can use generated months."""
    given = os.environ.get("TEST_DATA")
    for folder in ([Path(given)] if given else []) + [ROOT.parent / "shared" / "data" / "streamflow"]:
        if (folder / "month_001" / "users.csv").is_file():
            return folder
    return None


@pytest.fixture(scope="session")
def realdata(sample_drops: Path | None) -> Path:
    """Folder of the sample drops: month_000 as of 2024-01-31, month_001 as of 2024-02-29."""
    if sample_drops is None:
        pytest.skip("the sample drops are not here; TEST_DATA=DIR names their folder")
    return sample_drops
