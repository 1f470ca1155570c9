"""There is one `promote`, and one function that asks the gate first."""

import ast
from pathlib import Path

import pytest

import streamflow

SOURCE = Path(streamflow.__file__).parent


@pytest.mark.parametrize(
    ("function", "module"),
    [
        ("promote", "registry/promote.py"),
        ("promote_through_gate", "gate/decision.py"),
    ],
)
def test_a_function_of_this_name_is_defined_once(function, module):
    found = [
        path.relative_to(SOURCE).as_posix()
        for path in sorted(SOURCE.rglob("*.py"))
        # A command has the name of what it calls, and a recipe that of its job.
        if not {SOURCE / "cli", SOURCE / "jobs"} & set(path.parents)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name == function
    ]
    assert found == [module]
