"""Below the composition roots a function takes the settings that it needs, not all of them."""

import ast
from pathlib import Path

import streamflow

SOURCE = Path(streamflow.__file__).parent
# They read the settings and hand sections on.
ROOTS = {"__main__.py", "apply.py", "challenger.py", "cli", "jobs", "local", "servers.py", "settings.py"}
ROOT_MODULES = {"predict/app.py", "predict/server.py"}


def _takes_settings(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return any(
        isinstance(node, ast.Name) and node.id == "Settings"
        for argument in arguments
        if argument.annotation is not None
        for node in ast.walk(argument.annotation)
    )


def test_no_function_below_the_composition_roots_takes_the_whole_settings():
    found = [
        f"{name}: {node.name}"
        for path in sorted(SOURCE.rglob("*.py"))
        if (name := path.relative_to(SOURCE).as_posix()).split("/")[0] not in ROOTS
        and name not in ROOT_MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _takes_settings(node)
    ]
    assert found == []


def test_a_function_that_takes_the_whole_settings_is_recognized():
    tree = ast.parse("def run(where: str, *, settings: Settings | None = None) -> None: ...")
    assert _takes_settings(tree.body[0])
