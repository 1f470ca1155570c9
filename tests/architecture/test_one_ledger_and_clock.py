"""One ledger of drops, one clock, one spelling of midnight, one protocol of locks, one place that asks the catalog."""

import re
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src" / "streamflow"
ONE_PLACE = {
    r"SELECT drop_id, as_of": {"drops/queries.sql"},
    r"datetime\((\w+)\.year, \1\.month, \1\.day": {"times.py"},
    r"datetime\.fromisoformat\(text": {"times.py", "client/answers.py"},  # the client imports errors alone
    r"SELECT clock_timestamp\(\)\"": {"postgres/clock.py"},
    r"(next_stamp|read_clock)\(:caller": {"postgres/clock.sql", "postgres/job_runs.sql"},
    r"pg_(try_)?advisory": {"postgres/locks.py"},
    r"zlib\.crc32\(": {"postgres/locks.py"},
    r"\bpg_(class|attribute|namespace|roles|database)\b|information_schema": {
        "postgres/catalog.py",
        "local/stack.py",
    },
    r"DISTINCT ON": {"postgres/newest.py"},
    r"def quote\(": {"postgres/names.py"},
    r"[\"']known_[\"']": {"postgres/names.py"},
}


@pytest.mark.parametrize("pattern", ONE_PLACE, ids=lambda pattern: re.sub(r"\W+", "-", pattern)[:30])
def test_a_fact_has_one_place(pattern):
    kinds = {".py", *(Path(place).suffix for place in ONE_PLACE[pattern])}
    found = {
        path.relative_to(SRC).as_posix()
        for path in SRC.rglob("*.*")
        if path.suffix in kinds
        if re.search(pattern, path.read_text(encoding="utf-8"))
    }
    assert found <= ONE_PLACE[pattern]
    assert found & ONE_PLACE[pattern] or pattern.startswith(r"\bpg_(class"), "the pattern recognizes nothing"
