"""docs/reference is what `scripts/reference` writes now, and nothing escapes it."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """The script as a module."""
    path = ROOT / "scripts" / "reference"
    module = ModuleType("reference")
    module.__file__ = str(path)
    exec(compile(path.read_text(encoding="utf-8"), path, "exec"), module.__dict__)
    return module


def test_the_pages_are_current(reference):
    written = {
        path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").iterdir()
    }
    for name, text in reference.pages().items():
        assert written.pop(name, None) == text, f"docs/reference/{name} is not current: run 'make reference'"
    assert not written, "pages that nothing generates"


def test_everything_on_the_pages_has_a_meaning(reference):
    for name, text in reference.pages().items():
        without = [line for line in text.splitlines() if line.startswith("| ") and line.endswith("|  |")]
        assert without == [], name


def test_metrics_are_defined_in_no_module_that_the_page_leaves_out(reference):
    source = ROOT / "src" / "streamflow"
    read = {source / file for _, file in reference.METRICS}
    for path in set(source.rglob("*.py")) - read:
        calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
        names = {node.func.id for node in calls if isinstance(node.func, ast.Name)}
        # The class of histograms builds its own family, under the name it is given.
        assert names & set(reference.KINDS) <= (
            {"HistogramMetricFamily"} if path.name == "histogram.py" else set()
        ), path
