"""Rules that hold for every file of the project."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "src").rglob("*.py"))
MOST_LINES = 400
# In pieces, so that this file is not what it finds.
_MACHINE = re.compile(
    "|".join([r"(?<![\w.])/wo" + r"rk/", r"(?<![\w.])/ro" + r"ot/", r"(?<![\w.])/ho" + r"me/\w+/"])
)
_REGISTRY = re.compile(
    "|".join(
        ["files.python" + "hosted", "py" + r"pi\.org/(simple|packages)", "extra-index" + "-url *=? *http"]
    )
)
_LARGEST = 1_000_000


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """Every file that git keeps."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def _lines_with(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    found = []
    for path in paths:
        text = path.read_bytes().decode("utf-8", errors="replace")
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
            for number, line in enumerate(text.splitlines(), 1)
            if pattern.search(line)
        ]
    return found


def test_no_file_names_a_folder_of_somebodys_machine(tracked):
    assert _lines_with(_MACHINE, tracked) == []


def test_no_file_names_a_package_registry(tracked):
    assert _lines_with(_REGISTRY, tracked) == []


def test_locks_have_a_hash_for_every_package():
    for lock in sorted((ROOT / "requirements").glob("*.txt")):
        text = lock.read_text(encoding="utf-8").replace("\\\n", " ")
        lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        assert lines, lock
        assert [line for line in lines if "--hash=sha256:" not in line] == [], lock


def test_no_file_is_large(tracked):
    assert [path for path in tracked if path.stat().st_size > _LARGEST] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_and_says_its_job_in_its_first_line(module):
    text = module.read_text(encoding="utf-8")
    assert len(text.splitlines()) < MOST_LINES
    docstring = ast.get_docstring(ast.parse(text))
    if not text.strip():
        return
    assert docstring, "it has no docstring"
    first, *rest = docstring.splitlines()
    assert first.strip()
    assert not rest or rest[0].strip() == "", "its first line is not a sentence of its own"


def test_no_two_test_modules_share_a_name():
    """Pytest imports them by name alone, and stops at the second."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)
