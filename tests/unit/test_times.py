"""Times as users write them, in UTC."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from streamflow.errors import UsageError
from streamflow.times import midnight, parse_moment


def test_the_as_of_of_a_date_is_its_midnight_in_utc():
    assert midnight(date(2024, 2, 29)) == datetime(2024, 2, 29, tzinfo=UTC)


def test_a_time_without_zone_is_in_utc():
    assert parse_moment("2024-03-01T12:00:00") == datetime(2024, 3, 1, 12, tzinfo=UTC)
    zoned = datetime(2024, 3, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    assert parse_moment("2024-03-01T14:00:00+02:00") == zoned


def test_an_invalid_time_is_refused():
    with pytest.raises(UsageError, match="'yesterday' is not a valid time"):
        parse_moment("yesterday")
