"""Every command with bad input reports an exit code, what is wrong, and a next step, but no traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from program import Program

from streamflow.cli import main as command_line

ROOT = Path(__file__).resolve().parents[2]
NOTHING_LISTENS = {
    "STREAMFLOW_DATABASE__PORT": "9",
    "STREAMFLOW_MLFLOW__TRACKING_URI": "http://127.0.0.1:9",
    "STREAMFLOW_FEAST__SERVER_URL": "http://127.0.0.1:9",
    "STREAMFLOW_PREDICT__PORT": "9",
    "KUBECONFIG": "/nowhere/kubeconfig",
}
TRY = "for help"


@dataclass(frozen=True)
class Case:
    """A command line that must fail.

    Attributes:
        call: Command line, with words in capitals as placeholders for the paths in `places`.
        names: Text that the message must contain.
        advice: Text that the next step must contain.
        code: Expected exit code.
        variables: Environment variables, each as `name=value`.
    """

    call: str
    names: str
    advice: str
    code: int
    variables: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join((*self.variables, self.call))


POSTGRES, MLFLOW, PREDICT = (
    ("PostgreSQL at 127.0.0.1:9", "streamflow up", 4),
    ("MLflow at http://127.0.0.1:9", "streamflow up", 4),
    ("predict service at http://127.0.0.1:9", "streamflow up", 4),
)
CLUSTER = ("No cluster is configured", "KUBECONFIG", 4)

PREFECT = ("Prefect is not installed", "make prefect", 2, ("STREAMFLOW_PREFECT__PYTHON=/nowhere/python",))

WITHOUT_A_STACK = [
    Case("flows serve", *PREFECT),
    Case("flows run", *PREFECT),
    Case("flows backfill 2024-01-31 2024-02-29", *PREFECT),
    Case("up --prefect", *PREFECT),
    Case("status", "postgres", "streamflow up", 4),
    Case("doctor", "PostgreSQL", "streamflow up", 1),
    Case("ingest DROP --as-of 2024-01-31", *POSTGRES),
    Case("ingest EMPTY --all", *POSTGRES),
    Case("drops list", *POSTGRES),
    Case("drops show abc", *POSTGRES),
    Case("drops quarantine", *POSTGRES),
    Case("drops check DROP --as-of 2024-01-31", *POSTGRES),
    Case("features apply", *POSTGRES),
    Case("features get somebody", *PREDICT),
    Case("materialize", *POSTGRES),
    Case("train", *POSTGRES),
    Case("models gate 1", *MLFLOW),
    Case("models promote 1 --why x", *POSTGRES),
    Case("models rollback --why x", *POSTGRES),
    Case("models history", *POSTGRES),
    Case("models at 2024-01-31", *POSTGRES),
    Case("models list", *MLFLOW),
    Case("models show 1", *MLFLOW),
    Case("models recheck 1", *MLFLOW),
    Case("gate 1", *MLFLOW),
    Case("promote 1 --why x", *POSTGRES),
    Case("rollback --why x", *POSTGRES),
    Case("promotion resume --why x", *POSTGRES),
    Case("reproduce 1", *MLFLOW),
    Case("trial start 1 --as canary --why x", *MLFLOW),
    Case("trial stop --as canary --why x", *POSTGRES),
    Case("predict somebody", *PREDICT),
    Case("explain somebody", *POSTGRES),
    Case("score", *POSTGRES),
    Case("monitor report", *POSTGRES),
    Case("monitor quality", *POSTGRES),
    Case("monitor harm", *POSTGRES),
    Case("monitor drift", *POSTGRES),
    Case("db migrate", *POSTGRES),
    Case("db upgrade-mlflow", *POSTGRES),
    Case("db prepare --passwords EMPTY --timeout 0.1", "PostgreSQL at 127.0.0.1:9", "migration Job", 4),
    Case("db finish", *POSTGRES),
    Case("db wait --timeout 0.1", "PostgreSQL at 127.0.0.1:9", "migration Job", 4),
    Case("db check", "PostgreSQL at 127.0.0.1:9", "migration Job", 4),
    Case("db clock", *POSTGRES),
    Case("backup", *POSTGRES),
    Case("restore", "no backup in backups", "streamflow backup", 3),
    Case("upgrade", *POSTGRES),
    Case("erase somebody --why x", *POSTGRES, ("STREAMFLOW_ERASURE__KEY=of-sixteen-characters",)),
    Case("erase somebody --why x", "key of erasures", "STREAMFLOW_ERASURE__KEY_FILE", 2),
    Case("erase --list", *POSTGRES),
    Case("erase somebody --dry-run", *POSTGRES),
    Case("jobs list", *CLUSTER),
    Case("jobs run train", *CLUSTER),
    Case("jobs logs train", *CLUSTER),
    Case("jobs exec train", "PostgreSQL at 127.0.0.1:9", "Check that the server is up", 4),
]
NEEDS_NO_STACK = {
    "down",
    "demo",
    "simulate",
    "features check",
    "init",
    "keys new",
    "db roles",
    "settings show",
} | {f"serve {server}" for server in ("predict", "mlflow", "feast", "registrar", "exporter")}

WRONG_ARGUMENTS = [
    Case("nonsense", "nonsense", TRY, 2),
    Case("--nonsense", "--nonsense", TRY, 2),
    Case("ingest", "DIR", "--all", 2),
    Case("flows run --as-of yesterday", "yesterday", "2024-01-31", 2),
    Case("flows backfill 2024-01-31", "LAST", TRY, 2),
    Case("ingest DROP", "the date of the drop", "--as-of 2024-01-31", 2),
    Case("ingest DROP --as-of 2024-02-31", "2024-02-31", "like 2024-01-31", 2),
    Case("ingest DROP --all --as-of 2024-01-31", "--as-of", "not with --all", 2),
    Case("ingest /nowhere --as-of 2024-01-31", "/nowhere", "Name the folder", 2),
    Case("ingest FILE --as-of 2024-01-31", "FILE", "Name the folder", 2),
    Case("drops", "COMMAND", "quarantine", 2),
    Case("drops check /nowhere --as-of 2024-01-31", "/nowhere", "Name the folder", 2),
    Case("drops check DROP", "the date of the drop", "--as-of 2024-01-31", 2),
    Case("drops quarantine --most 0", "--most", TRY, 2),
    Case("drops show", "'drop'", TRY, 2),
    Case("init", "NAME", TRY, 2),
    Case("init wind --from /nowhere", "/nowhere", "CSV files", 2),
    Case("init wind --from EMPTY", "has no CSV files", "2025-05-31", 2),
    Case("init EMPTY --from DROP", "empty", "does not exist", 2),
    Case("init wind --from DROP --label users.age", "users.age", "labels.churn_label", 2),
    Case("simulate", "OUT", TRY, 2),
    Case("simulate FILE", "FILE", "Name one that you may write to", 2),
    Case("simulate /proc/nowhere", "/proc/nowhere", "Name one that you may write to", 2),
    Case("simulate EMPTY --drift monthly_fee", "monthly_fee", "monthly_fee=0.2", 2),
    Case("simulate EMPTY --drift nonsense=1", "nonsense", "--drift", 2),
    Case("simulate EMPTY --drift monthly_fee=1@x", "monthly_fee=1@x", "monthly_fee=0.2@3", 2),
    Case("simulate EMPTY --concept-drift much", "much", "--concept-drift 0.5@3", 2),
    Case("simulate EMPTY --concept-drift 2", "not between 0 and 1", "--concept-drift", 2),
    Case("simulate EMPTY --users 0", "--users", TRY, 2),
    Case("simulate EMPTY --first-as-of 31.1.2024", "31.1.2024", "like 2024-01-31", 2),
    Case("materialize --as-of yesterday", "yesterday", "like 2024-01-31", 2),
    Case("train --as-of yesterday", "yesterday", "like 2024-01-31", 2),
    Case("train --known-at yesterday", "yesterday", "like 2024-03-01T12:00", 2),
    Case("train --horizon -1", "--horizon", TRY, 2),
    Case("score --as-of yesterday", "yesterday", "like 2024-01-31", 2),
    Case("monitor report --as-of yesterday", "yesterday", "like 2024-01-31", 2),
    Case("explain somebody --at yesterday", "yesterday", "like 2024-03-01T12:00", 2),
    Case("models at yesterday", "yesterday", "like 2024-03-01T12:00", 2),
    Case("erase", "KEY", "--list", 2),
    Case("erase somebody", "--why", TRY, 2),
    Case("models show best", "best", "production, staging", 2),
    Case("models recheck best", "best", "production, staging", 2),
    Case("models gate best", "best", "production, staging", 2),
    Case("models promote 1", "--why", TRY, 2),
    Case("models promote 1 --why x --to nowhere", "nowhere", "staging", 2),
    Case("models rollback", "--why", TRY, 2),
    Case("reproduce best", "best", "production, staging", 2),
    Case("trial start one --as canary --why x", "version", TRY, 2),
    Case("trial start 1 --as king --why x", "king", "challenger", 2),
    Case("predict", "KEY", TRY, 2),
    Case("keys new bob --scope fly", "fly", "predict, features", 2),
    Case("keys new bo/b --scope predict", "bo/b", "letters", 2),
    Case("restore EMPTY", "EMPTY is not a backup", "streamflow backup", 3),
    Case("restore /nowhere", "/nowhere", "streamflow backup", 3),
    Case("upgrade --passwords EMPTY", "EMPTY holds no file", "feast_apply", 2),
    Case("db wait --until never", "--until", "migrated", 2),
    Case("jobs run", "NAME", TRY, 2),
    Case("jobs exec nonsense", "nonsense", "materialize", 3),
    Case("serve exporter --schedules daily", "--schedules", "write it like", 2),
    Case("demo --once --data /nowhere", "/nowhere", "Name the folder", 2),
    Case("demo --once --data EMPTY", "EMPTY", "2024-01-31/users.csv", 2),
    Case("status", "STREAMFLOW_PREDICT__PORT", "Correct", 2, ("STREAMFLOW_PREDICT__PORT=many",)),
    Case("status", "IMPROVEMENT", "not_worse", 2, ("STREAMFLOW_PROMOTION__IMPROVEMENT=fresher",)),
    Case("status", "training", "written as JSON", 2, ("STREAMFLOW_TRAINING__ESTIMATORS=random_forest",)),
    Case("drops list", "/nowhere", "PASSWORD_FILE", 2, ("STREAMFLOW_DATABASE__PASSWORD_FILE=/nowhere",)),
    Case(
        "drops list",
        "no.such.host",
        "STREAMFLOW_DATABASE__HOST",
        4,
        ("STREAMFLOW_DATABASE__HOST=no.such.host",),
    ),
    Case("up", "FILE", "STREAMFLOW_HOME", 1, ("STREAMFLOW_HOME=FILE",)),
    Case("up", "FILE/home", "STREAMFLOW_HOME", 1, ("STREAMFLOW_HOME=FILE/home",)),
    Case("demo --once", "FILE", "STREAMFLOW_HOME", 1, ("STREAMFLOW_HOME=FILE",)),
    Case("up", "/nowhere", "STREAMFLOW_FEAST__REPO", 2, ("STREAMFLOW_FEAST__REPO=/nowhere",)),
    Case(
        "ingest DROP --as-of 2024-01-31",
        "EMPTY",
        "STREAMFLOW_FEAST__REPO",
        2,
        ("STREAMFLOW_FEAST__REPO=EMPTY",),
    ),
    Case("features apply", "tables.py", "line", 2, ("STREAMFLOW_FEAST__REPO=BROKEN",)),
    Case("features check", "tables.py", "line", 2, ("STREAMFLOW_FEAST__REPO=BROKEN",)),
    Case("features check", "entity's join key", "make them equal", 2, ("STREAMFLOW_PREDICT__JOIN_KEY=id",)),
]

ON_A_STACK = [
    Case("features apply", "feature_store.yaml", "line", 2, ("STREAMFLOW_FEAST__REPO=UNREADABLE",)),
    Case("ingest EMPTY --as-of 2024-03-31", "users.csv", "drops check", 3),
    Case("ingest DROP --as-of 2999-01-01", "2999-01-01", "correct --as-of", 2),
    Case("ingest /nowhere --all", "/nowhere", "Name the folder", 2),
    Case("drops show abc", "'abc'", "drops list", 3),
    Case("drops show 2024", "'2024'", "drops list", 3),
    Case("drops quarantine --drop abc", "'abc'", "drops list", 3),
    Case("drops quarantine --table nonsense", "'nonsense'", "subscriptions", 3),
    Case("features get nobody", "'nobody'", "drops quarantine", 3),
    Case("predict nobody", "'nobody'", "drops quarantine", 3),
    Case(
        "predict nobody",
        "not a predict service",
        "STREAMFLOW_PREDICT__HOST",
        1,
        ("STREAMFLOW_PREDICT__PORT=MLFLOW",),
    ),
    Case("materialize --as-of 2020-01-01", "2020-01-01", "2024-01-31", 3),
    Case("train --as-of 2020-01-01", "no drop as of 2020-01-01", "the date of a drop: 2024-0", 2),
    Case("train --known-at 2999-01-01", "2999-01-01", "Leave the known-at out", 2),
    Case("train --horizon 7", "horizon 7", "Ingest the later drop", 3),
    Case("train --estimator nonsense", "'nonsense'", "logistic_regression", 2),
    Case("score --as-of 2020-01-01", "2020-01-01", "2024-01-31", 3),
    Case("models show 99", "99", "models list", 3),
    Case("models recheck 99", "99", "models list", 3),
    Case("models show staging", "'staging'", "models list", 3),
    Case("models gate 99", "99", "models list", 3),
    Case("models promote 99 --why x", "99", "models list", 3),
    Case("models promote 99 --to staging --why x", "99", "models list", 3),
    Case("models promote 1 --why x", "1 is in production already", "Nothing was changed", 3),
    Case("models rollback --why x", "no earlier version", "models promote", 3),
    Case("models rollback --why x --to 99", "99", "models promote", 3),
    Case("models at 2020-01-01", "2020-01-01", "models history", 3),
    Case("monitor report --as-of 2020-01-01", "2020-01-01", "streamflow monitor drift", 3),
    Case("explain somebody --at 2020-01-01", "2020-01-01", "models history", 3),
    Case("reproduce 99", "99", "models list", 3),
    Case(f"reproduce {'0' * 32}", "0" * 32, "models list", 3),
    Case("trial start 99 --as canary --why x", "99", "models list", 3),
    Case("trial stop --as canary --why x", "canary", "models history", 3),
    Case("db prepare --passwords EMPTY --timeout 1", "EMPTY", "feast_apply", 2),
    Case("drops list", "'nonsense'", "STREAMFLOW_DATABASE__NAME", 4, ("STREAMFLOW_DATABASE__NAME=nonsense",)),
    Case("drops list", "'postgres'", "db migrate", 4, ("STREAMFLOW_DATABASE__NAME=postgres",)),
    Case("db clock", "'postgres'", "db migrate", 4, ("STREAMFLOW_DATABASE__NAME=postgres",)),
    Case("models history", "'postgres'", "db migrate", 4, ("STREAMFLOW_DATABASE__NAME=postgres",)),
    Case("drops list", "'streamflow'", "__PASSWORD", 4, ("STREAMFLOW_DATABASE__PASSWORD=wrong",)),
]


def _leaves(path: tuple[str, ...], command) -> Iterator[str]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(path)
        return
    for name, one in inner.items():
        yield from _leaves((*path, name), one)


def test_every_command_that_needs_a_stack_is_tried_without_one():
    known = {leaf for name in command_line.COMMANDS for leaf in _leaves((name,), command_line.load(name))}
    tried = {leaf for leaf in known for case in WITHOUT_A_STACK if f"{case.call} ".startswith(f"{leaf} ")}
    assert known - tried == NEEDS_NO_STACK


@dataclass(frozen=True)
class Outcome:
    code: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def places(tmp_path_factory, small) -> dict[str, str]:
    """Paths for the placeholders in command lines."""
    folder = tmp_path_factory.mktemp("bad")
    drop = folder / "some-month"
    shutil.copytree(small / "2024-01-31", drop)
    (folder / "file").write_text("I am a file.\n")
    (folder / "empty").mkdir()
    for name, file, text in (
        ("broken", "tables.py", "TABLES = [\n"),
        ("unreadable", "feature_store.yaml", "project: [streamflow\n"),
    ):
        repo = folder / name
        repo.mkdir()
        for source in (ROOT / "feature_repo").glob("*.*"):
            (repo / source.name).write_bytes(source.read_bytes())
        (repo / file).write_text(text)
    return {
        "DROP": str(drop),
        "FILE": str(folder / "file"),
        "EMPTY": str(folder / "empty"),
        "BROKEN": str(folder / "broken"),
        "UNREADABLE": str(folder / "unreadable"),
    }


def _filled(text: str, places: dict[str, str]) -> str:
    for word, place in places.items():
        text = text.replace(word, place)
    return text


def _selected(request: pytest.FixtureRequest, function: str) -> list[Case]:
    """Cases that are selected in this run, to start them all at once."""
    return [
        item.callspec.params["case"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path and item.originalname == function
    ]


def _call(case: Case, places: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Arguments and environment variables of a case, with placeholders replaced."""
    pairs = (text.split("=", 1) for text in case.variables)
    own = {name: _filled(value, places) for name, value in pairs}
    return _filled(case.call, places).split(), own


def _run(program: Program, case: Case, places: dict[str, str]) -> Outcome:
    arguments, own = _call(case, places)
    done = program.run(*arguments, **own)
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield pool
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def outcomes(request, pool, places, tmp_path_factory) -> dict[Case, Outcome]:
    """Outcomes of all cases that need no stack; they share a home without a stack."""
    program = Program(tmp_path_factory.mktemp("nostack") / "home")
    cases = _selected(request, "test_without_a_stack") + _selected(request, "test_wrong_arguments")

    def call_all(some: list[Case]) -> dict[Case, Outcome]:
        done = subprocess.run(
            [sys.executable, Path(__file__).with_name("many_calls.py")],
            input=json.dumps([_call(case, places) for case in some]),
            cwd=ROOT,
            env=program.environment(**NOTHING_LISTENS),
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return {case: Outcome(*item) for case, item in zip(some, json.loads(done.stdout), strict=True)}

    halves = [cases[start::2] for start in range(2)]
    return {case: outcome for part in pool.map(call_all, halves) for case, outcome in part.items()}


@pytest.fixture(scope="module")
def outcomes_on_a_stack(request, pool, places, world) -> dict[Case, Future[Outcome]]:
    places = {**places, "MLFLOW": world.stack.url("mlflow").rpartition(":")[2]}
    return {
        case: pool.submit(_run, world.program, case, places) for case in _selected(request, "test_on_a_stack")
    }


def _assert_told(case: Case, outcome: Outcome, places: dict[str, str]) -> None:
    said = outcome.stdout + outcome.stderr
    assert outcome.code == case.code, said
    assert "Traceback" not in said
    assert "unexpected" not in said
    assert _filled(case.names, places) in said
    assert case.advice in said


@pytest.mark.parametrize("case", WITHOUT_A_STACK, ids=str)
def test_without_a_stack(case, outcomes, places):
    _assert_told(case, outcomes[case], places)


@pytest.mark.parametrize("case", WRONG_ARGUMENTS, ids=str)
def test_wrong_arguments(case, outcomes, places):
    _assert_told(case, outcomes[case], places)


@pytest.mark.parametrize("case", ON_A_STACK, ids=str)
def test_on_a_stack(case, outcomes_on_a_stack, places):
    _assert_told(case, outcomes_on_a_stack[case].result(), places)


def test_a_refusal_leaves_stdout_to_json_alone(world):
    done = world.program.run("models", "show", "99", "--json")
    assert (done.returncode, done.stdout) == (3, "")
    done = world.program.run("predict", "nobody", "--json")
    assert done.returncode == 3
    [answer] = json.loads(done.stdout)["predictions"]
    assert (answer["code"], answer["reason"]) == ("missing_features", "unknown_entity")
    assert "subs_profile_fv:monthly_fee" in answer["features"]
