"""Bins and classes of a report: none shows a few people, and none hides a shift."""

import pytest

import made_verdicts as made
from streamflow.monitoring.report.distributions import LEAST_ROWS, MOST_CLASSES, OTHERS, bins_of, classes_of


def number(reference, current, rows=1000, reference_rows=1000, edges=None):
    edges = list(range(len(reference) + 1)) if edges is None else edges
    detail = {"bins": {"edges": edges, "reference": reference, "current": current}}
    return made.feature("x", rows=rows, reference_rows=reference_rows, detail=detail)


def category(classes, rows=1000):
    names, reference, current = zip(*classes, strict=True)
    detail = {"classes": names, "reference": reference, "current": current}
    return made.feature("x", kind="category", rows=rows, reference_rows=rows, detail=detail)


def test_a_bin_with_few_rows_takes_the_next_one_in():
    found = bins_of(number([0.5, 0.005, 0.495], [0.5, 0.4, 0.1]))
    assert [(item.label, round(item.reference, 3), item.current) for item in found] == [
        ("0 to 1", 0.5, 0.5),
        ("1 to 3", 0.5, 0.5),
    ]


def test_the_last_bin_goes_into_the_one_before_it():
    found = bins_of(number([0.5, 0.495, 0.005], [0.5, 0.25, 0.25]))
    assert [item.label for item in found] == ["0 to 1", "1 to 3"]


def test_a_bin_without_any_row_of_one_side_stays_and_shows_the_shift():
    found = bins_of(number([1.0, 0.0], [0.0, 1.0]))
    assert [(item.reference, item.current) for item in found] == [(1.0, 0.0), (0.0, 1.0)]


@pytest.mark.parametrize("rows", [1, 9])
def test_a_month_of_few_rows_shows_no_bins_and_no_classes(rows):
    assert bins_of(number([0.5, 0.5], [1.0, 0.0], rows=rows)) == ()
    assert classes_of(category([("a", 0.5, 1.0), ("b", 0.5, 0.0)], rows=rows)) == ()


def test_ten_rows_are_enough():
    assert len(bins_of(number([0.5, 0.5], [0.0, 1.0], rows=LEAST_ROWS))) == 2


def test_bounds_may_be_open():
    inner = bins_of(number([0.2, 0.3, 0.5], [0.2, 0.3, 0.5], edges=[1.5, 1200]))
    assert [item.label for item in inner] == ["below 1.5", "1.5 to 1,200", "1,200 and more"]
    assert inner == bins_of(number([0.2, 0.3, 0.5], [0.2, 0.3, 0.5], edges=[None, 1.5, 1200, None]))


def test_rare_classes_are_shown_together():
    found = classes_of(category([("a", 0.8, 0.7), ("b", 0.006, 0.2), ("c", 0.194, 0.1), ("d", 0.008, 0.0)]))
    assert [item.label for item in found] == ["a", "c", OTHERS]
    assert found[-1].reference == pytest.approx(0.014)


def test_a_rare_class_takes_another_in_so_that_it_cannot_be_computed():
    found = classes_of(category([("a", 0.8, 0.8), ("b", 0.197, 0.197), ("c", 0.003, 0.003)]))
    assert [(item.label, round(item.reference, 3)) for item in found] == [("a", 0.8), (OTHERS, 0.2)]


def test_many_classes_are_shown_as_a_few_and_the_rest():
    share = 1 / 40
    found = classes_of(category([(f"c{n:02}", share, share) for n in range(40)]))
    assert len(found) == MOST_CLASSES + 1
    assert found[-1].label == OTHERS
    assert sum(item.current for item in found) == pytest.approx(1)


def test_booleans_and_absence_have_words():
    found = classes_of(category([(True, 0.5, 0.4), (False, 0.3, 0.4), (None, 0.2, 0.2)]))
    assert [item.label for item in found] == ["true", "false", "no value"]


@pytest.mark.parametrize(
    "detail",
    [
        {},
        {"bins": None},
        {"bins": {}},
        {"bins": {"edges": [1, 2], "reference": [1], "current": [0.5, 0.5]}},
        {"bins": {"edges": [1], "reference": [0.5, 0.4, 0.1], "current": [0.5, 0.4, 0.1]}},
        {"bins": {"edges": [1, 2], "reference": ["x"], "current": [1]}},
        {"classes": "ab", "reference": [0.5, 0.5], "current": [0.5, 0.5]},
        {"classes": ["a"], "reference": [0.5, 0.5], "current": [0.5, 0.5]},
    ],
)
def test_what_is_not_a_distribution_shows_nothing(detail):
    feature = made.feature("x", detail=detail)
    assert bins_of(feature) == classes_of(feature) == ()
