"""Plots of a report: what they draw stays inside, and a month that is missing interrupts a line."""

import math
import re

import hypothesis
import hypothesis.strategies as some
import pytest

import made_verdicts as made
from streamflow.monitoring.report import plots
from streamflow.monitoring.report.distributions import Bin
from streamflow.monitoring.report.plots import Point, Series, ticks


@hypothesis.given(some.floats(-1e9, 1e9), some.floats(0, 1e9))
def test_ticks_enclose_the_values(low, span):
    found = ticks(low, low + span)
    assert 2 <= len(found) <= 6
    assert found == sorted(found)
    slack = 1e-6 * max(abs(low), span, 1)
    assert found[0] <= low + slack and found[-1] >= low + span - slack


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (0, 0.115, [0, 0.05, 0.1, 0.15]),
        (0.81, 0.86, [0.8, 0.82, 0.84, 0.86]),
        (0, 1, [0, 0.25, 0.5, 0.75, 1]),
    ],
)
def test_ticks_are_round(low, high, marks):
    assert ticks(low, high) == pytest.approx(marks)


def series(numbers, style="estimated", margin=0.01):
    return Series(style, style, tuple(Point(made.month(n), 0.8, 0.8 - margin, 0.8 + margin) for n in numbers))


def numbers(drawn):
    """Every coordinate of the lines, areas and bars of a picture."""
    found = [float(n) for points in re.findall(r' points="([^"]*)"', drawn) for n in re.split("[ ,]", points)]
    return found + [float(n) for n in re.findall(r' (?:x1|x2|y1|y2|x|y|cx|cy)="([^"]*)"', drawn)]


def test_a_missing_month_interrupts_line_and_band():
    assert plots.months_plot("AUC", [series([1, 2, 3, 4])]).count("<polyline") == 1
    broken = plots.months_plot("AUC", [series([1, 2, 4, 5])])
    assert broken.count("<polyline") == 2
    assert broken.count("<polygon") == 2


def test_a_single_month_has_a_whisker_instead_of_a_band():
    drawn = plots.months_plot("AUC", [series([3])])
    assert drawn.count("whisker") == 1 and "<polygon" not in drawn
    assert "AUC by month. estimated: 2024-03-31 0.800 (0.790 to 0.810)." in drawn


def test_the_limit_of_a_single_month_is_a_line():
    drawn = plots.months_plot("Loss", [series([3]), series([3], "limit")])
    (start, end) = re.search(r'points="([^"]*)" class="line limit"', drawn)[1].split()
    assert start != end


@hypothesis.given(some.lists(some.integers(1, 400), min_size=1, max_size=30, unique=True), some.floats(0, 1))
def test_months_stay_inside_of_the_picture(months, margin):
    drawn = plots.months_plot("AUC", [series(sorted(months), margin=margin), series([max(months)], "limit")])
    found = numbers(drawn)
    assert all(math.isfinite(n) and -1 <= n <= plots.WIDTH for n in found)


@hypothesis.given(some.lists(some.tuples(some.floats(0, 1), some.floats(0, 1)), min_size=1, max_size=30))
def test_bins_and_classes_stay_inside_of_the_picture(pairs):
    bins = [Bin(f"class {n}", *pair, low=n * 1e5) for n, pair in enumerate(pairs)]
    for drawn in (plots.bins_plot("x", bins), plots.classes_plot("x", bins)):
        _, _, width, height = map(float, re.search(r'viewBox="([^"]*)"', drawn)[1].split())
        assert all(math.isfinite(n) and -1 <= n <= max(width, height) for n in numbers(drawn))


def test_the_text_of_a_picture_has_every_share():
    drawn = plots.bins_plot("fee", [Bin("below 20", 0.25, 0.5), Bin("20 and more", 0.75, 0.5, 20.0)])
    alternative = re.search(r'aria-label="([^"]*)"', drawn)[1].replace("\N{NO-BREAK SPACE}", " ")
    assert alternative == (
        "Shares of fee in the training set and in the month. below 20: 25.0 % and 50.0 %; 20 and more: 75.0 % and 50.0 %."
    )


def test_calibration_of_a_single_part_is_drawn():
    assert plots.calibration_plot([(0.0, 0.0, 50)]).count("<rect") == 1
