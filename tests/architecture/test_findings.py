"""scripts/findings: what bandit and detect-secrets find is reported, unless it was reviewed; `make lint` runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "findings"


@pytest.fixture(scope="module")
def findings():
    """The script, as a module."""
    loader = SourceFileLoader("findings", str(SCRIPT))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    # The pool of processes finds its functions by the name of their module.
    sys.modules[loader.name] = module
    loader.exec_module(module)
    yield module
    del sys.modules[loader.name]


@pytest.fixture
def project(findings, monkeypatch, tmp_path):
    """A project with one harmless module and an empty baseline."""
    (tmp_path / "src").mkdir()
    (tmp_path / "scripts").mkdir()
    (tmp_path / "src" / "good.py").write_text("print('hello')\n")
    (tmp_path / "pyproject.toml").write_text("[tool.bandit]\nskips = ['B404']\n")
    monkeypatch.setattr(findings, "ROOT", tmp_path)
    monkeypatch.setattr(findings, "BASELINE", tmp_path / "scripts" / "findings.json")
    monkeypatch.setattr(findings, "CACHE", tmp_path / "build" / "findings.json")
    monkeypatch.setattr(
        findings, "tracked", lambda: sorted(str(p.relative_to(tmp_path)) for p in tmp_path.glob("src/*"))
    )
    monkeypatch.setattr(sys, "argv", ["findings"])
    findings.BASELINE.write_text("{}")
    return tmp_path


# In pieces, so that this file is not what the script finds.
KEY = "AKIA" + "QYLPMN5HHHFPZAM2"
FAULTS = {
    "a shell": ("import os\nos.system(input())\n", "B605"),
    "a weak digest": ("import hashlib\nprint(hashlib.md5(b'').hexdigest())\n", "B324"),
    "a cloud's key": (f"print('{KEY}')\n", "AWS Access Key"),
    "a private key": ("'''-----BEGIN RSA " + "PRIVATE KEY-----'''\n", "Private Key"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_nobody_reviewed_is_reported_with_its_line(fault, findings, project, capsys):
    text, what = FAULTS[fault]
    assert findings.main() == 0
    (project / "src" / "bad.py").write_text("# A comment.\n" + text)
    assert findings.main() == 1
    line = 1 + max(text.count("\n"), 1)
    assert f"src/bad.py:{line}: {what}" in capsys.readouterr().out
    # And again, when nothing is scanned because nothing changed.
    assert findings.main() == 1


def test_what_was_accepted_may_move_and_must_leave_when_it_is_gone(findings, project, monkeypatch, capsys):
    bad = project / "src" / "bad.py"
    bad.write_text(FAULTS["a shell"][0])
    monkeypatch.setattr(sys, "argv", ["findings", "--write"])
    assert findings.main() == 0
    monkeypatch.setattr(sys, "argv", ["findings"])
    bad.write_text("\n\n" + FAULTS["a shell"][0])
    assert findings.main() == 0
    bad.write_text(FAULTS["a shell"][0] + "os.system(input())\n")
    assert findings.main() == 1, "once is accepted, not twice"
    bad.write_text("")
    assert findings.main() == 1
    assert "src/bad.py: no longer there: B605" in capsys.readouterr().out


def test_named_files_alone_are_compared(findings, project, monkeypatch):
    """As a commit hook does, which names the files of the commit."""
    findings.BASELINE.write_text(json.dumps({"src/elsewhere.py": ["B605: …"]}))
    monkeypatch.setattr(sys, "argv", ["findings", "src/good.py"])
    assert findings.main() == 0


def test_the_baseline_is_sorted_and_names_files_that_exist():
    lists = json.loads((ROOT / "scripts" / "findings.json").read_text(encoding="utf-8"))
    assert list(lists) == sorted(lists)
    assert [name for name in lists if not (ROOT / name).is_file()] == []
    assert all(items == sorted(items) for items in lists.values())


def test_lint_runs_every_check():
    shown = subprocess.run(
        ["make", "-n", "lint"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for check in (
        "ruff check",
        "ruff format --check",
        "mypy",
        "lint-imports",
        "scripts/findings",
        "zizmor --offline",
    ):
        assert check in shown, check
