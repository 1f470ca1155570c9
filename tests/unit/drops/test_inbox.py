import os
import time
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.drops.inbox import (
    QUIET_SECONDS,
    as_of,
    date_of,
    dated_folders,
    is_complete,
    month_later,
    opened,
    scan,
)
from streamflow.drops.quoting import shown
from streamflow.errors import UsageError

FOLDER = st.from_regex(r"(month_)?[0-9 ]{0,4}[-_.]?[0-9]{0,2}-?[0-9]{0,2}", fullmatch=True) | st.text(
    max_size=12
)
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
    for name in ("month_001", "month_000", "notes", "2023-12-31", ".2024-05-31.x.part"):
        (tmp_path / name).mkdir()
    (tmp_path / "2024-03-31").touch()
    assert [(when, folder.name) for when, folder in dated_folders(tmp_path)] == [
        (date(2023, 12, 31), "2023-12-31"),
        (date(2024, 1, 31), "month_000"),
        (date(2024, 2, 29), "month_001"),
    ]
    assert dated_folders(tmp_path, date(2025, 3, 31))[-1][0] == date(2025, 4, 30)


@pytest.mark.parametrize(
    "name",
    [
        "2024-3-31",
        "2024-02-30",
        "2024-13-01",
        "0000-01-01",
        "24-03-31",
        "2024-03-31 ",
        "2024-03-31\n",
        "2024_03_31",
        "2024-03",
        "20240331",
        "31.03.2024",
        "٢٠٢٤-٠٣-٣١",
        "month_12",
        "month_0001",
        "Month 3",
    ],
)
def test_a_name_almost_like_a_date_is_reported_and_stops_no_other(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / "2024-01-31").mkdir()
    drops, (problem,) = scan(tmp_path)
    assert [folder.name for _, folder in drops] == ["2024-01-31"]
    assert problem.startswith(f"{shown(name)}: this is not the date of a drop")
    with pytest.raises(UsageError, match="Not every drop"):
        dated_folders(tmp_path)


@pytest.mark.parametrize(
    "name", ["notes", "2024", "2024-01-31.bak", "2024-01-31.part", ".2024-1-31", "_2024-1-31", "lost+found"]
)
def test_a_name_unlike_a_date_is_ignored(tmp_path, name):
    (tmp_path / name).mkdir()
    assert scan(tmp_path) == ([], [])


def test_a_symbolic_link_is_no_drop(tmp_path):
    (tmp_path / "inbox").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "inbox" / "2024-01-31").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "inbox" / "2024-02-29").symlink_to(tmp_path / "nowhere")
    (tmp_path / "inbox" / "latest").symlink_to(tmp_path / "elsewhere")
    drops, problems = scan(tmp_path / "inbox")
    assert drops == []
    assert [problem.split(";")[0] for problem in problems] == [
        "2024-01-31: this is a symbolic link",
        "2024-02-29: this is a symbolic link",
    ]


def test_two_folders_of_one_date_are_both_left_out(tmp_path):
    for name in ("month_000", "2024-01-31", "month_001"):
        (tmp_path / name).mkdir()
    drops, problems = scan(tmp_path)
    assert [folder.name for _, folder in drops] == ["month_001"]
    assert problems == [
        "2024-01-31, month_000: all of these are the drop of 2024-01-31; keep one of them, or ingest each with"
        " --as-of."
    ]


@given(name=FOLDER)
def test_a_folder_is_a_drop_under_its_exact_date_alone(name):
    when = date_of(name)
    assert when is None or when.isoformat() == name or name.startswith("month_")


def test_an_inbox_that_is_no_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    for root in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(UsageError, match="There is no folder"):
            scan(root)


def test_an_inbox_may_be_a_file_url(tmp_path):
    (tmp_path / "a b").mkdir()
    with opened((tmp_path / "a b").as_uri(), set()) as folder:
        assert folder == tmp_path / "a b"


def test_a_folder_without_a_date_needs_one(tmp_path):
    (tmp_path / "2024-01-31").mkdir()
    assert as_of(tmp_path / "2024-01-31") == date(2024, 1, 31)
    (tmp_path / "2024-1-31").mkdir()
    for folder in (tmp_path, tmp_path / "2024-1-31"):
        with pytest.raises(UsageError, match="is not the date"):
            as_of(folder)


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


def test_a_marker_counts_whatever_it_is_and_is_not_opened(tmp_path):
    (tmp_path / "_INCOMPLETE").symlink_to(tmp_path / "nowhere")
    os.utime(tmp_path, (1, 1))
    assert not is_complete(tmp_path, pause=refuse_to_wait)
    (tmp_path / "_INCOMPLETE").unlink()
    os.mkfifo(tmp_path / "labels.csv.part")
    assert not is_complete(tmp_path, pause=refuse_to_wait)


def test_a_link_to_nothing_leaves_a_drop_complete(tmp_path):
    (tmp_path / "labels.csv").symlink_to(tmp_path / "nowhere")
    os.utime(tmp_path / "labels.csv", (1, 1), follow_symlinks=False)
    os.utime(tmp_path, (1, 1))
    assert is_complete(tmp_path, pause=refuse_to_wait)
