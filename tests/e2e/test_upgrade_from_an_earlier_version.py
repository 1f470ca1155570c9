"""Upgrade a stack that an earlier version of this project made and runs, while it serves predictions."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from program import ROOT, Program, http, until

from streamflow.schema import migrate

pytestmark = [pytest.mark.stack, pytest.mark.load]
# The last commit before the ledger held the files of releases. Its packages are among those that are pinned today.
EARLIER = "22f4c9a"
_MAIN = "import sys; sys.argv[0] = 'streamflow'; from streamflow.cli.main import main; main()"


@dataclass(frozen=True)
class Earlier(Program):
    """The `streamflow` command of the earlier version, whose checkout is `cwd`."""

    def run(self, *arguments, **variables):
        """Run a command of the earlier version and wait for it."""
        return subprocess.run(
            [sys.executable, "-c", _MAIN, *map(str, arguments)],
            cwd=self.cwd,
            env=self.environment(**{"PYTHONPATH": str(self.cwd / "src"), **variables}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


@dataclass
class Users:
    """Who asks for predictions all the time.

    Attributes:
        url: The predict service.
        keys: Users that are asked for in turn.
        answers: Each user's answers.
        failures: Status of each request that failed.
    """

    url: str
    keys: list[str]
    answers: dict[str, set[float]] = field(default_factory=dict)
    failures: list[int] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def ask(self):
        """Ask until the end."""
        while not self._ended.wait(0.01):
            for key in self.keys:
                status, document = http(f"{self.url}/predict", {"user_id": key})
                if status == 200:
                    self.answers.setdefault(key, set()).add(document["probability"])
                else:
                    self.failures.append(status)

    @contextlib.contextmanager
    def asking(self):
        """Ask meanwhile."""
        thread = threading.Thread(target=self.ask)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """A stack of the earlier version with a drop and a version in production; its home and the drop's folder."""
    archived = subprocess.run(["git", "archive", EARLIER], cwd=ROOT, capture_output=True, check=False)
    if archived.returncode:
        pytest.skip(f"this checkout lacks the commit {EARLIER}: git fetch --unshallow")
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as tree:
        tree.extractall(folder / "tree", filter="data")
    program = Earlier(folder / "home", cwd=folder / "tree")
    try:
        program.ok("up")
        program.ok("simulate", folder / "drops", "--users", 300, "--months", 1, "--seed", 3)
        [drop] = (folder / "drops").iterdir()
        program.ok("ingest", drop, "--as-of", drop.name)
        program.ok("materialize")
        version = program.json("train", "--as-of", drop.name, "--estimator", "logistic_regression")["version"]
        for alias in ("staging", "production"):
            program.ok("models", "promote", version, "--to", alias, "--why", "a test")
        until("predict serves", lambda: program.services()["predict"]["model_version"] == version)
        yield program, drop
    finally:
        Program(program.home).run("down")


def connect(program: Program):
    """A connection to the stack's database."""
    url = program.services()["postgres"]["url"].replace("://", "://streamflow@")
    return psycopg.connect(
        url, password=(program.home / "postgres-password").read_text().strip(), autocommit=True
    )


def revision(connection):
    """Revision of StreamFlow's tables."""
    return connection.execute("SELECT version_num FROM streamflow.alembic_version").fetchone()[0]


def databases(connection):
    """Names of the server's databases."""
    return {row[0] for row in connection.execute("SELECT datname FROM pg_database WHERE NOT datistemplate")}


def test_predict_answers_throughout_an_upgrade_and_a_failed_one_changes_nothing(earlier, tmp_path):
    old, drop = earlier
    new = Program(old.home, cwd=tmp_path)
    folder = {"STREAMFLOW_BACKUP__FOLDER": str(tmp_path / "backups")}
    keys = [line.split(",")[0] for line in (Path(drop) / "users.csv").read_text().splitlines()[1:21]]
    users = Users(old.services()["predict"]["url"], keys)
    before = old.services()
    with users.asking():
        with connect(old) as connection:
            names = databases(connection)
            # In the way of a table that one of the pending migrations creates.
            connection.execute("CREATE TABLE streamflow.trained_models (somebody text)")
        failed = new.run("upgrade", **folder)
        assert failed.returncode == 1, failed.stderr
        assert "at this step: migrate the copy. The real databases are unchanged." in failed.stderr
        assert 'relation "trained_models" already exists' in failed.stderr
        with connect(old) as connection:
            assert (revision(connection), databases(connection)) == ("0006", names)
            connection.execute("DROP TABLE streamflow.trained_models")
        done = new.json("upgrade", **folder)
        with connect(old) as connection:
            assert (revision(connection), databases(connection)) == (migrate.newest(), names)
        time.sleep(1)
    assert done["from_revision"] == "0006"
    assert (done["asked"], done["compared"], done["migrated"], done["mlflow"]) == (100, 100, True, "migrated")
    assert users.failures == []
    assert {key: len(answers) for key, answers in users.answers.items()} == dict.fromkeys(keys, 1)
    # MLflow alone was stopped and started.
    after = new.services()
    assert {name for name, service in before.items() if after[name]["pid"] != service["pid"]} == {"mlflow"}

    new.ok("up")
    until("this version serves", lambda: new.services()["predict"]["model_version"] == done["version"])
    url = new.services()["predict"]["url"]
    for key in keys:
        assert http(f"{url}/predict", {"user_id": key})[1]["probability"] in users.answers[key]
