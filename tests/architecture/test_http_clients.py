"""Other services are reached over HTTP through one module each."""

import ast
from pathlib import Path

import streamflow

SOURCES = Path(streamflow.__file__).parent
LIBRARIES = ("httpx2", "urllib.request", "http.client", "requests", "aiohttp", "urllib3")
ALLOWED = {
    "client": "the predict service",
    "mlflow_api": "MLflow",
    "local/services.py": "health checks of every process of a local stack",
    "cluster": "errors that the Kubernetes client lets through",
}


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def test_http_libraries_are_imported_by_these_modules_alone():
    found = set()
    for path in SOURCES.rglob("*.py"):
        place = path.relative_to(SOURCES).as_posix()
        names = imported(ast.parse(path.read_text(encoding="utf-8")))
        if any(name == library or name.startswith(f"{library}.") for name in names for library in LIBRARIES):
            found.add(next((allowed for allowed in ALLOWED if place.startswith(allowed)), place))
    assert found == set(ALLOWED)
