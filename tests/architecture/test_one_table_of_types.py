"""The types of values stand in one table, with their names in every system."""

import ast
from pathlib import Path

import pytest

from streamflow import types

SRC = Path(__file__).resolve().parents[2] / "src" / "streamflow"
NAMES = {item.name for item in types.TYPES}
FEAST = set(types.FEAST_COLUMNS)
# How a cell of each type is written in a CSV file is what this module is about.
PARSERS = {"drops/parse.py"}
MODULES = sorted(path for path in SRC.rglob("*.py") if path.name != "types.py")


def _tables(path):
    """Dictionaries, and keys of them, that say something for two or more types."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Dict):
            keys = {key.value for key in node.keys if isinstance(key, ast.Constant)}
            names = {key.id for key in node.keys if isinstance(key, ast.Name)}
            if len(keys & NAMES) > 1 or len((keys | names) & FEAST) > 1:
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(SRC).as_posix())
def test_no_other_module_has_a_table_of_types(module):
    if module.relative_to(SRC).as_posix() not in PARSERS:
        assert _tables(module) == []


def test_a_table_is_recognized():
    assert len(_tables(SRC / "drops" / "parse.py")) == 2
    assert len(_tables(SRC / "types.py")) == 3
