"""How often a schedule runs a job."""

import pytest

from streamflow.monitoring.schedules import longest_pause

HOUR, DAY = 3600, 86400


@pytest.mark.parametrize(
    ("schedule", "seconds"),
    [
        ("30 * * * *", HOUR),
        ("*/15 * * * *", HOUR / 4),
        ("*/7 * * * *", 7 * 60),
        ("10/20 * * * *", HOUR / 3),
        ("0 2 * * *", DAY),
        ("0 2,14 * * *", DAY / 2),
        ("0 8-18 * * *", 14 * HOUR),
        ("0 8-18/2 * * 1-5", 2 * DAY + 14 * HOUR),
        ("0 3 * * mon", 7 * DAY),
        ("0 3 * * 7", 7 * DAY),
        ("0 3 * * sun,WED", 4 * DAY),
        ("30 4 2 * *", 31 * DAY),
        ("0 0 1 jan,jul ?", 184 * DAY),
        # One kind of day is enough if both are limited.
        ("0 0 1 * 0", 7 * DAY),
        ("0 0 29 2 *", 1461 * DAY),
        ("@hourly", HOUR),
        ("@Daily", DAY),
        ("@weekly", 7 * DAY),
        ("@monthly", 31 * DAY),
        ("@yearly", 366 * DAY),
    ],
)
def test_the_longest_pause_of_a_schedule(schedule, seconds):
    assert longest_pause(schedule) == seconds


NOT_SCHEDULES = (
    *("", "daily", "@every 1h", "0 2 * *", "60 * * * *", "0 24 * * *", "0 0 0 * *", "0 0 * 13 *"),
    *("0 0 * * 8", "0 5-3 * * *", "*/0 * * * *", "x * * * *", "0 0 30 2 *", "1,, * * * *"),
)


@pytest.mark.parametrize("schedule", NOT_SCHEDULES)
def test_what_is_not_a_schedule_is_named(schedule):
    with pytest.raises(ValueError, match=r"^'.*' (is not a schedule|never comes)"):
        longest_pause(schedule)
