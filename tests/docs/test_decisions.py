"""docs/decisions.md is dated, newest first, and each decision has its price."""

import re
from pathlib import Path

DECISIONS = Path(__file__).resolve().parents[2] / "docs" / "decisions.md"


def test_decisions_are_listed_newest_first():
    headings = re.findall(r"^## (.*)$", DECISIONS.read_text(encoding="utf-8"), re.MULTILINE)
    dates = [heading[:10] for heading in headings]
    assert all(re.fullmatch(r"\d{4}-\d{2}-\d{2}", date) for date in dates)
    assert dates == sorted(dates, reverse=True)


def test_every_decision_has_its_price():
    decisions = re.split(r"^## ", DECISIONS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert [decision.splitlines()[0] for decision in decisions if "Price:" not in decision] == []
