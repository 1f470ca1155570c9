"""Resolving an as-of to a drop, and to the drop that provides its labels."""

from datetime import date

import pytest

from streamflow.errors import NotFound
from streamflow.snapshots.as_of import label_as_of, newest_as_of
from streamflow.times import midnight

JANUARY, FEBRUARY, MARCH = date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 31)


def test_the_newest_drop_up_to_the_as_of_is_meant():
    loaded = [JANUARY, FEBRUARY, MARCH]
    assert newest_as_of(loaded, date(2024, 3, 30)) == midnight(FEBRUARY)
    assert newest_as_of(loaded, FEBRUARY) == midnight(FEBRUARY)
    assert newest_as_of(loaded) == midnight(MARCH)


def test_an_as_of_before_the_first_drop_is_not_found_and_the_known_dates_are_named():
    with pytest.raises(NotFound, match=r"2024-01-31, 2024-02-29"):
        newest_as_of([JANUARY, FEBRUARY], date(2023, 12, 31))


def test_an_empty_ledger_says_how_to_load():
    with pytest.raises(NotFound, match="streamflow ingest"):
        newest_as_of([])


def test_horizon_zero_is_the_drops_own_label_even_when_later_drops_are_loaded():
    assert label_as_of([JANUARY, FEBRUARY], JANUARY, 0) == midnight(JANUARY)


def test_horizon_one_is_the_next_drops_label():
    assert label_as_of([JANUARY, FEBRUARY, MARCH], JANUARY, 1) == midnight(FEBRUARY)
    assert label_as_of([JANUARY, FEBRUARY, MARCH], JANUARY, 2) == midnight(MARCH)


def test_a_corrected_drop_does_not_count_as_the_next_one():
    assert label_as_of([JANUARY, JANUARY, FEBRUARY], JANUARY, 1) == midnight(FEBRUARY)


def test_a_label_that_lies_in_the_future_is_not_found():
    with pytest.raises(NotFound, match="only 0 later"):
        label_as_of([JANUARY, FEBRUARY], FEBRUARY, 1)
