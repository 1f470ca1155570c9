"""The tutorial of docs/feature-repo.md, from CSV files to an answer, and what `streamflow init` guesses."""

from __future__ import annotations

import os
import re
import subprocess
import urllib.parse
from pathlib import Path

import pytest
from test_another_problem import Service

from streamflow.errors import UsageError
from streamflow.local.first_repo import guess, read, write

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "feature-repo.md"
STACK = "streamflow up"


def blocks():
    """The commands of the tutorial, in order."""
    section = re.search(
        r"^## A first repo.*?(?=^## )", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    return re.findall(r"^```bash\n(.*?)^```", section[0], re.DOTALL | re.MULTILINE)


def shell(commands, folder, **variables):
    """Run commands, as a user does in one shell; return what they print."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PROMETHEUS_MULTIPROC")}
    done = subprocess.run(
        ["bash", "-ec", commands],
        cwd=folder,
        env={**kept, "COLUMNS": "200", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tutorial_leads_from_csv_files_to_an_answer(settings, mlflow_server, tmp_path, monkeypatch):
    commands = "".join(blocks())
    # The tests' own servers stand for the stack.
    before, _, after = commands.replace(f"{STACK}\n", "").partition("streamflow predict ")
    # One candidate, for the sake of time.
    home = {"STREAMFLOW_HOME": str(settings.home), "STREAMFLOW_TRAINING__ESTIMATORS": '["logistic_regression"]'}
    said = shell(f"{before}env | grep ^STREAMFLOW_ > variables", tmp_path, **home)
    assert "The label is failures.failed" in said
    assert "machines is in order" in said
    assert "cells are empty" in (tmp_path / "machines" / "tables.py").read_text()
    for line in (tmp_path / "variables").read_text().splitlines():
        monkeypatch.setenv(*line.split("=", 1))
    monkeypatch.setenv("STREAMFLOW_PREDICT__DRAIN_SECONDS", "0")
    service = Service(settings, tmp_path)
    try:
        port = str(urllib.parse.urlsplit(service.url).port)
        answer = shell(f"streamflow predict {after}", tmp_path, STREAMFLOW_PREDICT__PORT=port)
    finally:
        service.stop()
    assert "M-0001" in answer


def test_the_store_of_a_first_repo_is_that_of_the_project():
    written = write.files(
        Path("/wind"), guess.guess({"t": [{"id": ["a", "b"], "y": ["True", "False"], "x": ["1", "2"]}]})
    )
    theirs = (ROOT / "feature_repo" / "feature_store.yaml").read_text(encoding="utf-8")
    assert written["feature_store.yaml"].split("\n", 2)[2] == theirs[theirs.index("provider:") :]


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
