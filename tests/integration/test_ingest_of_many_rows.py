"""Memory and time of an ingest by the number of rows. `make test-rows` runs it with five million."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.postgres

GOOD = Path(__file__).parents[1] / "drops" / "good"
MIB = 1024
INGEST = """
import re, sys, time
from datetime import date
from pathlib import Path
from streamflow import settings as settings_module
from streamflow.jobs.ingest import ingest_folder

start = time.monotonic()
outcome = ingest_folder(settings_module.load(), Path(sys.argv[1]), date(2024, 1, 31))
# Not ru_maxrss, which a process inherits from the one that started it.
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(peak, time.monotonic() - start, sum(outcome.accepted.values()), sum(outcome.quarantined.values()))
"""


def drop(folder, rows):
    """Write a drop whose users.csv has `rows` rows, of which one in a hundred is bad and one in a hundred doubled."""
    folder.mkdir()
    for source in GOOD.glob("*.csv"):
        header, *lines = source.read_text().splitlines()
        ends = [line.partition(",")[2] for line in lines]
        with (folder / source.name).open("w") as file:
            file.write(f"{header}\n")
            for number in range(rows if source.name == "users.csv" else 100):
                end = ends[number % len(ends)]
                if source.name == "users.csv" and number % 100 == 99:
                    end = end.replace("-", "/")
                file.write(f"{number - (number % 200 == 150):09d},{end}\n")
    return folder


def ingest(settings, folder):
    """Ingest in a process of its own; return its peak memory in KiB, its seconds and the numbers of rows."""
    answer = subprocess.run(
        [sys.executable, "-c", INGEST, str(folder)],
        env={**os.environ, "STREAMFLOW_HOME": str(settings.home), "STREAMFLOW_INGEST__CHUNK_ROWS": "10000"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    peak, seconds, accepted, quarantined = answer.split()
    return int(peak), float(seconds), int(accepted), int(quarantined)


@pytest.mark.fault("F19")
def test_memory_does_not_grow_with_the_rows_of_a_file(settings, tmp_path):
    few, many = 50_000, 350_000
    peaks = []
    for rows in (few, many):
        peak, _, accepted, quarantined = ingest(settings, drop(tmp_path / str(rows), rows))
        assert accepted + quarantined == rows + 500
        # The five other files name the user of one bad row.
        assert quarantined == rows // 50 + 5
        peaks.append(peak)
    # The text of the rows alone would be 14 MiB more, and as Python's objects over 100 MiB.
    assert peaks[1] - peaks[0] < 24 * MIB


@pytest.mark.fault("F19")
@pytest.mark.load
@pytest.mark.timeout(1800)
@pytest.mark.skipif("TEST_ROWS" not in os.environ, reason="takes minutes; `make test-rows` runs it")
def test_five_million_rows_take_less_than_600_mib_and_time_in_proportion(settings, tmp_path, verdict):
    few, many = 1_000_000, 5_000_000
    runs = [ingest(settings, drop(tmp_path / str(rows), rows)) for rows in (few, many)]
    for rows, (peak, seconds, accepted, quarantined) in zip((few, many), runs, strict=True):
        print(f"{rows:,} rows: {peak / MIB:.0f} MiB, {seconds:.0f} s")
        assert (accepted + quarantined, quarantined) == (rows + 500, rows // 50 + 5)
        assert peak < 600 * MIB
    verdict(
        rows=many,
        seconds=round(runs[1][1]),
        seconds_of_a_fifth=round(runs[0][1]),
        most_mib=max(peak for peak, *_ in runs) // MIB,
    )
    assert runs[1][1] < runs[0][1] * many / few * 1.5
