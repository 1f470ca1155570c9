"""Fixtures that run the `streamflow` command as a user does, in separate processes with a separate home.

stack       a stack started with `streamflow up`, shared by all tests
two_drops   the sample drops, or generated ones if those are missing
world       `stack` with both drops ingested and materialized and a version promoted, all by commands
small       a folder with two small generated drops
prefect_environment
            prepares Prefect's environment, where it is not there yet
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from program import ROOT, Program, http, until


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Raise the timeout: these tests start whole stacks, which takes minutes on a busy machine."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(1200))


@dataclass(frozen=True)
class Drop:
    """A drop to ingest."""

    as_of: str
    folder: Path


@dataclass(frozen=True)
class Stack:
    """A stack that `streamflow up` has started.

    Attributes:
        up: The JSON document that `up` printed.
        first_answers: Status of the first request to each HTTP service, sent as soon as `up` had returned.
    """

    program: Program
    up: Any
    first_answers: dict[str, int]

    def url(self, service: str) -> str:
        """URL of a service."""
        return next(item["url"] for item in self.up["services"] if item["name"] == service)


@dataclass(frozen=True)
class World:
    """Output of each command on the way from two drops to a served version."""

    stack: Stack
    program: Program
    drops: tuple[Drop, Drop]
    real: bool
    ingested: tuple[Any, Any]
    materialized: Any
    trained: Any
    promoted: tuple[Any, Any]

    @property
    def predict(self) -> str:
        """URL of predict."""
        return self.stack.url("predict")


_READY = {"mlflow": "/health", "feast": "/health", "predict": "/livez"}


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack; at the end, `down` must leave no process behind."""
    program = Program(tmp_path_factory.mktemp("e2e") / "home")
    try:
        document = program.json("up")
        urls = {service["name"]: service["url"] for service in document["services"]}
        answers = {name: http(urls[name] + path)[0] for name, path in _READY.items()}
        yield Stack(program, document, answers)
    finally:
        program.run("down")
    assert program.processes() == []


@pytest.fixture(scope="session")
def prefect_environment() -> None:
    """Prefect's environment, as `make prefect` prepares it."""
    if not (ROOT / ".venv-prefect" / ".ready").exists():
        subprocess.run([ROOT / "scripts" / "prefect"], check=True)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two months of 300 generated users; deterministic."""
    folder = tmp_path_factory.mktemp("small") / "drops"
    nowhere = Program(tmp_path_factory.mktemp("nohome"))
    written = nowhere.json("simulate", folder, "--users", 300, "--months", 2, "--seed", 3)["drops"]
    assert [drop["as_of"] for drop in written] == ["2024-01-31", "2024-02-29"]
    return folder


@pytest.fixture(scope="session")
def two_drops(sample_drops: Path | None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Drop, Drop]:
    """The sample drops, or generated ones if those are missing."""
    if sample_drops is not None:
        folders = [sample_drops / "month_000", sample_drops / "month_001"]
    else:
        out = tmp_path_factory.mktemp("generated") / "drops"
        nowhere = Program(tmp_path_factory.mktemp("nohome"))
        written = nowhere.json("simulate", out, "--users", 2000, "--months", 2)["drops"]
        folders = [Path(drop["folder"]) for drop in written]
    return Drop("2024-01-31", folders[0]), Drop("2024-02-29", folders[1])


@pytest.fixture(scope="session")
def world(stack: Stack, two_drops: tuple[Drop, Drop], sample_drops: Path | None) -> World:
    """The stack with both drops and a random forest, trained on the first drop, in production."""
    # Outside the checkout, to show that commands need nothing but the home to find the stack.
    program = Program(stack.program.home, cwd=stack.program.home.parent)
    ingested = [program.json("ingest", drop.folder, "--as-of", drop.as_of) for drop in two_drops]
    materialized = program.json("materialize")
    trained = program.json("train", "--as-of", two_drops[0].as_of, "--estimator", "random_forest")
    version = trained["version"]
    promoted = [
        program.json("models", "promote", version, "--to", to, "--why", "a test", "--by", "tests")
        for to in ("staging", "production")
    ]
    until(
        "predict serves the promoted version",
        lambda: program.services()["predict"]["model_version"] == version,
    )
    return World(
        stack,
        program,
        two_drops,
        sample_drops is not None,
        (ingested[0], ingested[1]),
        materialized,
        trained,
        (promoted[0], promoted[1]),
    )
