"""Paths of MLflow's REST API are written in `mlflow_api` alone; an import contract keeps its SDK there."""

import ast
import re
from pathlib import Path

import streamflow

SOURCES = Path(streamflow.__file__).parent
_PATH = re.compile(r"/(ajax-)?api/2\.0/|registered-models|model-versions/|mlflow-artifacts")


def _spelled(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in documents
        and _PATH.search(node.value)
    ]


def test_no_other_module_writes_a_path_of_mlflow():
    outside = [path for path in SOURCES.rglob("*.py") if SOURCES / "mlflow_api" not in path.parents]
    assert {
        path.relative_to(SOURCES).as_posix(): found for path in outside if (found := _spelled(path))
    } == {}


def test_the_paths_are_recognized():
    assert len(_spelled(SOURCES / "mlflow_api" / "transport.py")) >= 10
