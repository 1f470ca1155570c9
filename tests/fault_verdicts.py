"""One verdict a fault: collects the outcomes of tests that name a fault, and tells each as one line of JSON.

A test names its faults with `@pytest.mark.fault("F1")` and tells what it measured with the fixture `verdict`.
`ONLY=F1,F7` selects tests by their faults, and `VERDICTS=FILE` adds the lines to a file.
"""

from __future__ import annotations

import json
import os
import platform
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

CATALOG = Path(__file__).with_name("faults.yaml")
_ONLY, _FILE = "ONLY", "VERDICTS"
_figures = pytest.StashKey[dict[str, Any]]()
_outcomes = pytest.StashKey[dict[str, list[dict[str, Any]]]]()


def catalog() -> dict[str, dict[str, str]]:
    """The fault matrix, by the name of the fault."""
    return yaml.safe_load(CATALOG.read_text(encoding="utf-8"))


def faults_of(item: pytest.Item) -> list[str]:
    """Faults that a test names."""
    return [name for marker in item.iter_markers("fault") for name in marker.args]


@pytest.fixture
def verdict(request: pytest.FixtureRequest) -> Any:
    """A function that keeps figures for the verdict: `verdict(requests=12000, failed=0)`."""

    def keep(**figures: Any) -> None:
        request.node.stash.setdefault(_figures, {}).update(figures)

    return keep


def select(items: list[pytest.Item]) -> list[pytest.Item]:
    """The tests of the faults that ONLY names; all if it names none.

    Raises:
        UsageError: It names a fault that is not in the catalog, or that no test is about.
    """
    wanted = {name.strip() for name in os.environ.get(_ONLY, "").split(",") if name.strip()}
    if unknown := wanted - set(catalog()):
        raise pytest.UsageError(f"{_ONLY} names no fault of tests/faults.yaml: {', '.join(sorted(unknown))}")
    return [item for item in items if not wanted or wanted & set(faults_of(item))]


def note(item: pytest.Item, report: pytest.TestReport) -> None:
    """Keep the outcome of a test, once: of its call, or of the phase that kept it from being called."""
    if report.when != "call" and report.passed:
        return
    for name in faults_of(item):
        kept = item.session.stash.setdefault(_outcomes, defaultdict(list))
        kept[name].append(
            {
                "outcome": report.outcome,
                "test": item.nodeid,
                "why": _why(report),
                "figures": item.stash.get(_figures, {}),
            }
        )


def _why(report: pytest.TestReport) -> str:
    if report.skipped and isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return crash.message.splitlines()[0] if report.failed and crash else ""


def lines(session: pytest.Session) -> list[dict[str, Any]]:
    """The verdicts of a session, in the order of the catalog."""
    kept, found = session.stash.get(_outcomes, {}), []
    for name in catalog():
        outcomes = {each["outcome"] for each in kept.get(name, [])}
        if not outcomes:
            continue
        failed = [each for each in kept[name] if each["outcome"] == "failed"]
        skipped = [each for each in kept[name] if each["outcome"] == "skipped"]
        found.append(
            {
                "fault": name,
                "verdict": "failed" if failed else "not tried" if outcomes == {"skipped"} else "held",
                "tests": len(kept[name]) - len(skipped),
                "at": datetime.now(UTC).date().isoformat(),
                "machine": machine(),
                "figures": {k: v for each in kept[name] for k, v in each["figures"].items()},
                "why": "; ".join(f"{each['test']}: {each['why']}" for each in failed or skipped),
            }
        )
    return found


def machine() -> str:
    """Number of cores and memory of this machine."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}"


def tell(session: pytest.Session, write: Any) -> None:
    """Write the verdicts, one line each, and add them to the file that VERDICTS names."""
    text = [json.dumps(line, ensure_ascii=False) for line in lines(session)]
    for line in text:
        write(line)
    if text and (file := os.environ.get(_FILE)):
        with Path(file).open("a", encoding="utf-8") as out:
            out.writelines(f"{line}\n" for line in text)
