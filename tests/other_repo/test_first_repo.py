"""The tutorial of docs/feature-repo.md, from CSV files to an answer, and what `streamflow init` guesses."""

from __future__ import annotations

import contextlib
import itertools
import re
import shlex
import subprocess
import urllib.parse
from pathlib import Path

import pytest
from test_another_problem import Service
from typer.testing import CliRunner

from streamflow.cli.main import app
from streamflow.errors import UsageError
from streamflow.local.first_repo import guess, read, write

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "feature-repo.md"


def steps():
    """The tutorial's commands in order: each one of StreamFlow, and what stands between two of them."""
    text = PAGE.read_text(encoding="utf-8")
    section = re.search(r"^## A first repo.*?(?=^## )", text, re.DOTALL | re.MULTILINE)
    for block in re.findall(r"^```bash\n(.*?)^```", section[0], re.DOTALL | re.MULTILINE):
        for ours, lines in itertools.groupby(
            block.splitlines(), key=lambda line: line.startswith("streamflow ")
        ):
            found = list(lines)
            yield from found if ours else ["\n".join(found)]


def shell(commands, folder):
    """Run commands in a shell; return the settings that it has then."""
    done = subprocess.run(
        ["bash", "-ec", f"{commands}\nenv -0"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    return dict(
        item.split("=", 1) for item in done.stdout.decode().split("\0") if item.startswith("STREAMFLOW_")
    )


def test_the_tutorial_leads_from_csv_files_to_an_answer(settings, mlflow_server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMFLOW_HOME", str(settings.home))
    monkeypatch.setenv("STREAMFLOW_PREDICT__DRAIN_SECONDS", "0")
    # One candidate, for the sake of time.
    monkeypatch.setenv("STREAMFLOW_TRAINING__ESTIMATORS", '["logistic_regression"]')
    said = {}
    with contextlib.ExitStack() as stack:
        for step in steps():
            if not step.startswith("streamflow "):
                for name, value in shell(step, tmp_path).items():
                    monkeypatch.setenv(name, value)
            # The tests' own servers stand for the stack.
            elif step != "streamflow up":
                if step.startswith("streamflow predict "):
                    service = Service(settings, tmp_path)
                    stack.callback(service.stop)
                    port = urllib.parse.urlsplit(service.url).port
                    monkeypatch.setenv("STREAMFLOW_PREDICT__PORT", str(port))
                # In this process, which imports Feast once for all of them.
                done = CliRunner().invoke(app, shlex.split(step)[1:], catch_exceptions=False)
                assert done.exit_code == 0, done.output
                said[step.split()[1]] = done.output
    assert "The label is failures.failed" in said["init"]
    assert "cells are empty" in (tmp_path / "machines" / "tables.py").read_text()
    assert "M-0001" in said["predict"]


def test_the_store_and_the_estimators_of_a_first_repo_are_those_of_the_project():
    written = write.files(
        Path("/wind"), guess.guess({"t": [{"id": ["a", "b"], "y": ["True", "False"], "x": ["1", "2"]}]})
    )
    theirs = (ROOT / "feature_repo" / "feature_store.yaml").read_text(encoding="utf-8")
    assert written["feature_store.yaml"].split("\n", 2)[2] == theirs[theirs.index("provider:") :]
    assert written["estimator.py"] == (ROOT / "feature_repo" / "estimator.py").read_text(encoding="utf-8")


def columns(rows=40, **cells):
    """A table with a key and these columns."""
    return {"id": [f"k{i}" for i in range(rows)], **{name: list(values) for name, values in cells.items()}}


@pytest.mark.parametrize(
    ("cells", "kind", "feature", "null"),
    [
        (["1", "-2", "3.0", "4"], "int", True, ""),
        (["1.5", "2", "", "4"], "float", True, "not_applicable"),
        (["1.5", *["2"] * 18, ""], "float", True, "missing"),
        (["True", "false", "t", "0"], "bool", True, ""),
        (["1", "1", "1", "1"], "int", True, ""),
        (["2024-01-31", "2024-02-29"], "date", False, ""),
        (["2024-01-31", "2024-02-30"], "string", True, ""),
        (["a", "b", "a", ""], "string", True, "missing"),
        ([f"name {i}" for i in range(40)], "string", False, ""),
        ([""], "string", False, "missing"),
    ],
)
def test_a_column_has_the_type_that_all_its_cells_have(cells, kind, feature, null):
    table = columns(value=(cells * 40)[:40], y=["True", "False"] * 20)
    column = guess.guess({"t": [table]}).tables[0].columns[0]
    assert (column.type, column.feature, column.null) == (kind, feature, null)


def test_the_key_the_entities_and_the_label_are_guessed():
    flags = ["True", "False"] * 20
    tables = {
        "outcomes": [columns(rows=20, gone=flags[:20])],
        "people": [columns(flag=flags, age=map(str, range(40)))],
    }
    guessed = guess.guess(tables)
    assert (guessed.key, guessed.label, guessed.others) == ("id", ("outcomes", "gone"), ("people.flag",))
    assert [table.name for table in guessed.tables if table.entities] == ["people"]
    assert guess.guess(tables, "people.flag").label == ("people", "flag")


@pytest.mark.parametrize(
    ("tables", "label", "what"),
    [
        ({"t": [{"a": ["1", "1"], "b": ["x", "x"]}]}, None, "none can be the key"),
        ({"t": [columns(a=["1"] * 40)]}, None, "none can be the label"),
        ({"t": [columns(y=["True", ""] * 20)]}, "t.y", "'t.y' cannot be the label"),
        ({"t": [columns(y=["1", "0"] * 20)], "My-Table": [columns()]}, None, "'My-Table'"),
        ({"t": [columns(y=["1", "0"] * 20), columns(z=["1", "0"] * 20)]}, None, "different columns"),
    ],
)
def test_what_no_repo_can_be_written_from_is_refused_with_what_to_do(tables, label, what):
    with pytest.raises(UsageError, match=what) as refused:
        guess.guess(tables, label)
    assert refused.value.hint.endswith(".")


@pytest.mark.parametrize("text", ["", "id\n", "id,id\n1,2\n", "id,y\n1\n", 'id,y\n"1,2\n'])
def test_a_file_that_is_no_table_is_refused(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UsageError, match=r"t\.csv"):
        read.read(tmp_path)
