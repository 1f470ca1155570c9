"""Whether a row allows a prediction is decided in `eligibility.py` alone."""

import re
from pathlib import Path

SRC = Path(__file__).resolve().parents[2] / "src" / "streamflow"
# What only such a decision needs: its reasons, the largest usable number, and an age compared with its limit.
_RULES = re.compile(r'"no_row"|"null_values"|"stale"|\bLARGEST\b|stamps? < |> limit\b|require_newest and')
# encoding.py defines the largest number; a drop's cells are checked against it when they are read.
DEFINES, CHECKS_CELLS = "encoding.py", "drops/parse.py"
# The problem documents of `/predict` spell their reasons for users, and `streamflow score` explains its counts.
WORDS_FOR_USERS = "predict/features/read_plan.py"
REPORT = "cli/predictions.py"


def _lines(path):
    return [line for line in path.read_text(encoding="utf-8").splitlines() if _RULES.search(line)]


def test_no_other_module_judges_a_row():
    allowed = {"eligibility.py", DEFINES, CHECKS_CELLS, WORDS_FOR_USERS, REPORT}
    found = {path.relative_to(SRC).as_posix(): _lines(path) for path in SRC.rglob("*.py")}
    assert {name: lines for name, lines in found.items() if lines and name not in allowed} == {}


def test_predict_spells_reasons_and_compares_nothing():
    lines = _lines(SRC / WORDS_FOR_USERS)
    assert all('_reason("' in line for line in lines), lines


def test_the_rules_themselves_are_recognized():
    assert len(_lines(SRC / "eligibility.py")) >= 6
