"""The page of faults is written from the catalog and the verdicts, and each fault has a test or a reason."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import fault_verdicts

ROOT = Path(__file__).resolve().parents[2]


def marked():
    """Faults that a test in the tree names, by the text of its marker."""
    found = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault":
                found |= {argument.value for argument in node.args}
    return found


def test_the_page_is_current():
    done = subprocess.run([sys.executable, "scripts/faults", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "run scripts/faults"


def test_every_fault_has_a_test_or_the_reason_why_there_is_none():
    catalog = fault_verdicts.catalog()
    assert [name for name in catalog if not re.fullmatch(r"F[1-9][0-9]?", name)] == []
    assert marked() == {name for name, fault in catalog.items() if "cannot" not in fault}
