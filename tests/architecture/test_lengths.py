"""Modules and functions stay short, and `scripts/figures` measures them."""

import importlib.machinery
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST_MODULE = 400
LONGEST_FUNCTION = 70
P95_FUNCTION = 35
MOST_PARAMETERS = 8
NAMES_THAT_SAY_NOTHING = {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}


def _load_figures():
    loader = importlib.machinery.SourceFileLoader("figures", str(ROOT / "scripts" / "figures"))
    spec = importlib.util.spec_from_loader("figures", loader)
    module = importlib.util.module_from_spec(spec)
    # Without it a cache is written beside the script.
    dont_write, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = dont_write
    return module


figures = _load_figures()
FILES = figures.modules("src")
FUNCTIONS = [(path, function) for path in FILES for function in figures.functions(path)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT / "src").as_posix())
def test_a_module_is_short_and_its_name_says_something(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE
    assert path.stem not in NAMES_THAT_SAY_NOTHING
    assert path.parent.name not in NAMES_THAT_SAY_NOTHING


def test_functions_are_short():
    longer = {
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}": figures.length(function)
        for path, function in FUNCTIONS
        if figures.length(function) > LONGEST_FUNCTION
    }
    assert longer == {}
    assert figures.p95([figures.length(function) for _, function in FUNCTIONS]) <= P95_FUNCTION


def test_functions_have_few_parameters():
    more = {
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}": figures.parameters(function)
        for path, function in FUNCTIONS
        if figures.parameters(function) > MOST_PARAMETERS
    }
    assert more == {}


def test_the_script_prints_every_figure():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "figures"], capture_output=True, text=True, check=True
    )
    table = dict(line.split("  ", 1) for line in done.stdout.splitlines())
    assert len(table) == 9
    assert float(table["test lines to code lines"]) > 0
