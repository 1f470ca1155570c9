"""Schemas are named in `postgres.names` and in `.sql` files; other SQL is built from these names."""

import ast
import re
from pathlib import Path

import pytest

import streamflow
from streamflow.postgres import names

SOURCE = Path(streamflow.__file__).parent
SPELT = re.compile(
    rf"\b(FROM|JOIN|INTO|UPDATE|TABLE|VIEW|COPY|SELECT|SCHEMA|ON)\s+({'|'.join(names.SCHEMAS)})\b[. ]"
)
# The platform's schema is created before there is a revision that could name it.
ELSEWHERE = {"schema/migrate.py", "schema/prepare.py"}
MODULES = sorted(SOURCE.rglob("*.py"))


def _docstrings(tree):
    return {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }


def spelt(source):
    """Schema names in the SQL of a module's strings."""
    tree = ast.parse(source)
    docstrings = _docstrings(tree)
    return [
        match.group()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        for match in SPELT.finditer(node.value + " ")
    ]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_no_module_spells_the_name_of_a_schema_in_sql(module):
    if module.relative_to(SOURCE).as_posix() not in ELSEWHERE:
        assert spelt(module.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("statement", ["SELECT max(as_of) FROM streamflow.drops", "DROP TABLE online.x"])
def test_a_schema_that_is_spelt_is_recognized(statement):
    assert spelt(f"connection.execute(f'{statement}')")


def test_static_sql_of_more_than_three_lines_lies_in_sql_files():
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"text", "exec_driver_sql", "execute"}
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and (node.args[0].end_lineno or 0) - node.args[0].lineno >= 3
    ]
    assert found == []
