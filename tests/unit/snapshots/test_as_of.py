"""Resolving an as-of to a drop, and to the drop that provides its labels."""

from datetime import date

import pytest

from streamflow.errors import NotFound, NotYet, UsageError
from streamflow.snapshots.as_of import label_as_of, newest_as_of, of_a_drop
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


def test_training_takes_the_date_of_a_drop_or_the_newest():
    loaded = [JANUARY, FEBRUARY, FEBRUARY]
    assert of_a_drop(loaded) == midnight(FEBRUARY)
    assert of_a_drop(loaded, JANUARY) == midnight(JANUARY)


@pytest.mark.parametrize("asked", [MARCH, date(2024, 2, 15), date(2023, 12, 31)])
def test_a_date_without_a_drop_is_not_trained_on_and_those_with_one_are_named(asked):
    with pytest.raises(UsageError, match=f"There is no drop as of {asked}") as refusal:
        of_a_drop([JANUARY, FEBRUARY, FEBRUARY], asked)
    assert refusal.value.hint == (
        f"Name the date of a drop: 2024-02-29, 2024-01-31; or load the drop of {asked} first."
    )


def test_of_many_drops_the_newest_are_named():
    with pytest.raises(UsageError) as refusal:
        of_a_drop([date(2023, 1, day) for day in range(1, 15)], MARCH)
    assert "2023-01-14" in refusal.value.hint
    assert "2023-01-03 and 2 older ones;" in refusal.value.hint
    assert "2023-01-02" not in refusal.value.hint


def test_without_any_drop_there_is_nothing_to_train_on_yet():
    with pytest.raises(NotYet, match="There is no drop"):
        of_a_drop([], MARCH)


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
