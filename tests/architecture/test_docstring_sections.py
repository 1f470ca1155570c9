"""Sections of docstrings hold one entry a line, and name what exists."""

import ast
import re
from pathlib import Path

import pytest

import streamflow

SOURCE = Path(streamflow.__file__).parent
MODULES = {path.relative_to(SOURCE).as_posix(): path for path in sorted(SOURCE.rglob("*.py"))}
_SECTION = re.compile(r"^(Args|Attributes|Raises):$")
_ENTRY = {
    "Args": re.compile(r"\*{0,2}(\w+): \S"),
    "Attributes": re.compile(r"(\w+): \S"),
    "Raises": re.compile(r"([\w.]+): \S"),
}


def _entries(docstring: str) -> list[tuple[str, str]]:
    """Section and line of each entry; continued lines are indented deeper."""
    section, found = None, []
    for line in docstring.splitlines():
        heading = _SECTION.match(line)
        if heading:
            section = heading[1]
        elif line.strip() and not line.startswith(" "):
            section = None
        elif section and re.match(r" {4}\S", line):
            found.append((section, line.strip()))
    return found


def _fields(node: ast.ClassDef) -> set[str]:
    """Names that a class declares, assigns to `self` or computes as properties."""
    named = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.AnnAssign | ast.Assign):
            for target in inner.targets if isinstance(inner, ast.Assign) else [inner.target]:
                if isinstance(target, ast.Name | ast.Attribute):
                    named.add(target.id if isinstance(target, ast.Name) else target.attr)
        elif isinstance(inner, ast.FunctionDef):
            named.add(inner.name)
    return named


@pytest.mark.parametrize("name", MODULES)
def test_sections_have_one_entry_a_line(name):
    wrong = []
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for section, line in _entries(ast.get_docstring(node) or ""):
            entry = _ENTRY[section].match(line)
            if entry is None or (
                section == "Attributes" and not node.bases and entry[1] not in _fields(node)
            ):
                wrong.append(f"{node.name}, {section}: {line}")
    assert wrong == []
