"""docs/architecture.md names every room, and the layers that `make lint` checks."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_ROW = re.compile(r"^\| ([\w ]*?) ?\| `(\w+)` \| (.+) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def rows() -> list[tuple[str, str, str]]:
    """Layer (empty where it is that of the row above), room and job of each row of the table of rooms."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    return _ROW.findall(page.partition("## Rooms and layers")[2].partition("\n## ")[0])


def test_every_room_is_named_once_and_none_that_is_gone(rows):
    tree = ROOT / "src" / "streamflow"
    packages = [folder.parent.name for folder in tree.glob("*/__init__.py")]
    modules = [module.stem for module in tree.glob("*.py") if module.stem != "__init__"]
    assert sorted(room for _, room, _ in rows) == sorted(packages + modules)


def test_the_layers_of_the_page_are_those_of_the_import_contract(rows):
    page: list[list[str]] = []
    for layer, room, _ in rows:
        if layer:
            page.append([])
        page[-1].append(room)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = contracts["contracts"][0]["layers"]
    contract = [
        sorted(room.strip().removeprefix("streamflow.") for room in layer.split("|")) for layer in layers
    ]
    assert [sorted(layer) for layer in page] == contract
