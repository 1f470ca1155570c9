"""Imports stand at the top of a module, except where a start-up is spared."""

import ast
from pathlib import Path

import pytest

import streamflow

SOURCE = Path(streamflow.__file__).parent
# What these modules start must not load what it does not use.
ALLOWED_MODULES = {
    "__main__.py": "predict starts without the command line's packages",
    "cli/": "`streamflow --help` answers without loading Feast and MLflow",
    "flows/__main__.py": "Prefect reads its settings when it is imported",
    "gate/decision.py": "`models promote --help` loads neither pandas nor Feast",
    "local/demo.py": "a step is loaded when the demo comes to it",
    "local/doctor.py": "a package that is broken must be a finding, not a crash",
    "onnx_model.py": "the package itself need not load what only its copies use",
    "local/stack.py": "`streamflow status` and `down` need no database driver",
}
# Packages that take long to load, or that not every image has.
ALLOWED_PACKAGES = {
    "feast",
    "kubernetes",
    "limits",
    "mlflow",
    "numpy",
    "onnx",
    "onnxruntime",
    "psycopg",
    "skl2onnx",
    "sqlalchemy",
    "streamflow.predict.observe.otlp",
    "streamflow.repo.quick_feast",
    "streamflow.spark",
    "threadpoolctl",
    "urllib3",
}


def _imports(path: Path) -> list[str]:
    """Modules that a file imports inside of functions."""
    named = set()
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                named.add(node.module)
    return sorted(named)


def _allowed(module: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in ALLOWED_PACKAGES)


MODULES = {path.relative_to(SOURCE).as_posix(): path for path in sorted(SOURCE.rglob("*.py"))}


@pytest.mark.parametrize("name", MODULES)
def test_a_function_imports_only_where_a_start_is_spared(name):
    if any(name == allowed or name.startswith(allowed) for allowed in ALLOWED_MODULES):
        return
    assert [module for module in _imports(MODULES[name]) if not _allowed(module)] == []


@pytest.mark.parametrize("allowed", ALLOWED_MODULES)
def test_an_exception_is_still_needed(allowed):
    assert any(_imports(path) for name, path in MODULES.items() if name.startswith(allowed))
