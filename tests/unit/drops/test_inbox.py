import os
import time
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.drops.inbox import QUIET_SECONDS, as_of, dated_folders, is_complete, month_later
from streamflow.errors import UsageError

DAYS = st.dates(date(2000, 1, 1), date(2100, 1, 1))


@given(DAYS, st.integers(0, 120))
def test_month_ends_stay_month_ends_and_other_days_themselves(day, months):
    later = month_later(day, months)
    assert (later.year - day.year) * 12 + later.month - day.month == months
    if (day + timedelta(days=1)).day == 1:
        assert (later + timedelta(days=1)).day == 1
    else:
        assert later.day == day.day or (later.day < day.day and (later + timedelta(days=1)).day == 1)


def test_numbered_folders_are_months_after_the_first(tmp_path):
    for name in ("month_001", "month_000", "notes", "month_12", "2023-12-31", ".2024-05-31.x.part"):
        (tmp_path / name).mkdir()
    (tmp_path / "2024-03-31").touch()
    assert [(when, folder.name) for when, folder in dated_folders(tmp_path)] == [
        (date(2023, 12, 31), "2023-12-31"),
        (date(2024, 1, 31), "month_000"),
        (date(2024, 2, 29), "month_001"),
    ]
    assert dated_folders(tmp_path, date(2025, 3, 31))[-1][0] == date(2025, 4, 30)


def test_two_folders_of_one_date_are_refused(tmp_path):
    (tmp_path / "month_000").mkdir()
    (tmp_path / "2024-01-31").mkdir()
    with pytest.raises(UsageError, match="are both the drop of 2024-01-31"):
        dated_folders(tmp_path)


def test_a_folder_without_a_date_needs_one(tmp_path):
    (tmp_path / "2024-01-31").mkdir()
    assert as_of(tmp_path / "2024-01-31") == date(2024, 1, 31)
    with pytest.raises(UsageError, match="is not the date"):
        as_of(tmp_path)


def aged(folder, seconds):
    then = time.time() - seconds
    for path in (*folder.iterdir(), folder):
        os.utime(path, (then, then))


def refuse_to_wait(seconds):
    raise AssertionError(f"waited {seconds} s")


def test_a_drop_that_was_left_alone_is_taken_at_once(tmp_path):
    (tmp_path / "users.csv").touch()
    aged(tmp_path, QUIET_SECONDS + 1)
    assert is_complete(tmp_path, pause=refuse_to_wait)


def test_a_drop_that_changed_a_moment_ago_is_waited_for(tmp_path):
    (tmp_path / "users.csv").touch()
    waits = []

    def pause(seconds):
        waits.append(seconds)
        aged(tmp_path, QUIET_SECONDS + 1)

    assert is_complete(tmp_path, pause=pause)
    assert len(waits) == 1
    assert 0 < waits[0] <= QUIET_SECONDS


def test_a_drop_that_goes_on_changing_is_left_for_the_next_time(tmp_path):
    waits = []

    def pause(seconds):
        waits.append(seconds)
        (tmp_path / f"{len(waits)}.csv").touch()

    assert not is_complete(tmp_path, patience=30, pause=pause)
    assert sum(waits) <= 30


def test_a_drop_of_the_future_is_left_alone(tmp_path):
    (tmp_path / "users.csv").touch()
    aged(tmp_path, -3600)
    assert not is_complete(tmp_path, pause=refuse_to_wait)


@pytest.mark.parametrize("marker", ["_INCOMPLETE", "labels.csv.part", "labels.csv.tmp"])
def test_a_drop_that_is_marked_as_incomplete_is_left_alone(tmp_path, marker):
    (tmp_path / marker).touch()
    aged(tmp_path, QUIET_SECONDS + 1)
    assert not is_complete(tmp_path, pause=refuse_to_wait)
