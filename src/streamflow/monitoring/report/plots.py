"""Plots of a report as inline SVG: distributions, figures by month, calibration. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from markupsafe import Markup

from streamflow.monitoring.report import rounding, svg
from streamflow.monitoring.report.distributions import Bin

WIDTH = 320.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 10.0, 10.0, 24.0
_NARROW = 6.8
"""Width of a character of a tick, about."""
_SHORT = 30.0
_LEAST_SHARE = 0.001
"""A scale of shares goes at least so far."""


@dataclass(frozen=True)
class Point:
    """A figure of a month, with its interval where it has one."""

    at: datetime
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """Figures of one kind.

    Attributes:
        name: What they are.
        style: `estimated`, `realized` or `limit`: a class of the style sheet.
        points: The figures, in the order of months.
    """

    name: str
    style: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class _Frame:
    """The part of a picture that a plot fills, and the values at its edges."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    height: float

    def x(self, value: float) -> float:
        span = self.x_high - self.x_low
        part = (value - self.x_low) / span if span else 0.5
        return _LEFT + part * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        part = (value - self.y_low) / (self.y_high - self.y_low)
        return self.height - _BOTTOM - part * (self.height - _TOP - _BOTTOM)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers around a range, at most so many and at least two."""
    largest = max(abs(low), abs(high))
    if high - low < 1e-9 * max(largest, 1e-3):
        margin = max(largest / 10, 1e-3)
        low, high = low - margin, high + margin
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (power * factor for factor in (1, 2, 2.5, 5, 10, 20, 25, 50)):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < most:
            return [number * step for number in range(first, last + 1)]
    return [low, high]


def bins_plot(name: str, bins: Sequence[Bin]) -> Markup:
    """The shares of a number's bins: the training set beside the month."""
    height = 170.0
    marks = ticks(0, max(_LEAST_SHARE, *(max(item.reference, item.current) for item in bins)))
    frame = _Frame(0, len(bins), 0, marks[-1], height)
    wide = frame.x(1) - frame.x(0)
    drawn = _grid(frame, marks, _tick_percent)
    for number, item in enumerate(bins):
        left = frame.x(number) + wide * 0.08
        for offset, share, style in (
            (0, item.reference, "reference"),
            (wide * 0.42, item.current, "current"),
        ):
            drawn.append(
                svg.bar(left + offset, frame.y(share), wide * 0.42, frame.y(0) - frame.y(share), style)
            )
    drawn.append(svg.line(_LEFT, frame.y(0), WIDTH - _RIGHT, frame.y(0), "axis"))
    free = 0.0
    for number, item in enumerate(bins):
        label = "" if item.low is None else rounding.figure(item.low)
        half = len(label) * _NARROW / 2
        at = min(frame.x(number), WIDTH - half)
        if label and at - half >= free:
            drawn.append(svg.line(frame.x(number), frame.y(0), frame.x(number), frame.y(0) + 3, "axis"))
            drawn.append(svg.text(label, at, height - 10, "middle"))
            free = at + half + 6
    return svg.picture(WIDTH, height, _described(name, bins), *drawn)


def classes_plot(name: str, bins: Sequence[Bin]) -> Markup:
    """The shares of a category's classes: the training set above the month."""
    each, wide = 36.0, WIDTH - 2
    most = max(_LEAST_SHARE, *(max(item.reference, item.current) for item in bins))
    drawn = []
    for number, item in enumerate(bins):
        top = number * each
        shares = f"{rounding.percent(item.reference)} → {rounding.percent(item.current)}"
        room = int((wide - len(shares) * _NARROW - 8) / _NARROW)
        drawn.append(svg.text(svg.shortened(item.label, room), 1, top + 12, class_="label"))
        drawn.append(svg.text(shares, wide, top + 12, "end"))
        drawn.append(svg.bar(1, top + 17, wide * item.reference / most, 6, "reference"))
        drawn.append(svg.bar(1, top + 24, wide * item.current / most, 6, "current"))
    return svg.picture(WIDTH, len(bins) * each, _described(name, bins), *drawn)


def months_plot(what: str, series: Sequence[Series]) -> Markup:
    """Figures by month with their intervals; a month that is missing interrupts the line."""
    height = 210.0
    points = [point for item in series for point in item.points]
    values = [
        value for point in points for value in (point.value, point.low, point.high) if value is not None
    ]
    marks = ticks(min(values), max(values))
    days = sorted({point.at for point in points})
    frame = _Frame(_day(days[0]), _day(days[-1]), marks[0], marks[-1], height)
    drawn = _grid(frame, marks, lambda value: f"{value:.4g}")
    pause = _usual_pause(days)
    for item in series:
        for part in _unbroken(item.points, pause):
            drawn += _interval(frame, part, item.style)
    for item in series:
        drawn += [_line(frame, part, item.style) for part in _unbroken(item.points, pause)]
        if item.style != "limit":
            drawn += [_dot(frame.x(_day(p.at)), frame.y(p.value), item.style) for p in item.points]
    drawn += _month_labels(frame, days)
    said = "; ".join(f"{item.name}: {', '.join(map(_said, item.points))}" for item in series)
    return svg.picture(WIDTH, height, f"{what} by month. {said}.", *drawn)


def calibration_plot(parts: Sequence[tuple[float, float, int]]) -> Markup:
    """Mean scores against shares of positives; on the diagonal, scores mean what they say."""
    height = 250.0
    marks = ticks(0, max(_LEAST_SHARE, *(max(score, share) for score, share, _ in parts)))
    frame = _Frame(0, marks[-1], 0, marks[-1], height)
    drawn = _grid(frame, marks, _tick_percent)
    drawn.append(svg.line(frame.x(0), frame.y(0), frame.x(marks[-1]), frame.y(marks[-1]), "line limit"))
    drawn.append(
        svg.polyline([(frame.x(score), frame.y(share)) for score, share, _ in parts], "line realized")
    )
    drawn += [_dot(frame.x(score), frame.y(share), "realized") for score, share, _ in parts]
    drawn += [
        svg.text(_tick_percent(mark), frame.x(mark), height - 10, "end" if mark == marks[-1] else "middle")
        for mark in marks
    ]
    said = "; ".join(
        f"mean score {rounding.percent(score)}, positives {rounding.percent(share)}, {rows:,} rows"
        for score, share, rows in parts
    )
    return svg.picture(WIDTH, height, f"Calibration: {said}.", *drawn)


def _grid(frame: _Frame, marks: Sequence[float], written: Callable[[float], str]) -> list[Markup]:
    drawn = []
    for mark in marks:
        drawn.append(svg.line(_LEFT, frame.y(mark), WIDTH - _RIGHT, frame.y(mark), "grid"))
        drawn.append(svg.text(written(mark), _LEFT - 5, frame.y(mark) + 4, "end"))
    return drawn


def _tick_percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def _interval(frame: _Frame, part: Sequence[Point], style: str) -> list[Markup]:
    known = [(frame.x(_day(p.at)), p.low, p.high) for p in part if p.low is not None and p.high is not None]
    if not known:
        return []
    if len(known) == 1:
        # A band would have no width.
        ((x, low, high),) = known
        return [svg.line(x, frame.y(low), x, frame.y(high), f"whisker {style}")]
    above = [(x, frame.y(high)) for x, _, high in known]
    below = [(x, frame.y(low)) for x, low, _ in reversed(known)]
    return [svg.area(above + below, f"band {style}")]


def _line(frame: _Frame, part: Sequence[Point], style: str) -> Markup:
    points = [(frame.x(_day(point.at)), frame.y(point.value)) for point in part]
    if style == "limit" and len(points) == 1:
        # A single limit has no dot, and would not be seen.
        ((x, y),) = points
        points = [(max(x - _SHORT, _LEFT), y), (min(x + _SHORT, WIDTH - _RIGHT), y)]
    return svg.polyline(points, f"line {style}")


def _dot(x: float, y: float, style: str) -> Markup:
    if style == "realized":
        return svg.bar(x - 3, y - 3, 6, 6, f"dot {style}")
    return svg.element("circle", cx=x, cy=y, r=3.5, class_=f"dot {style}")


def _month_labels(frame: _Frame, days: Sequence[datetime]) -> list[Markup]:
    """As many dates as there is room for, the last one first."""
    drawn, free = [], math.inf
    half = len("2024-01-31") * _NARROW / 2
    for at in reversed(days):
        x = min(max(frame.x(_day(at)), _LEFT - 12 + half), WIDTH - half)
        if x + half <= free:
            drawn.append(svg.text(rounding.day(at), x, frame.height - 6, "middle"))
            free = x - half - 8
    return drawn


def _unbroken(points: Sequence[Point], pause: float) -> list[list[Point]]:
    parts: list[list[Point]] = []
    for point in points:
        if parts and _day(point.at) - _day(parts[-1][-1].at) <= pause:
            parts[-1].append(point)
        else:
            parts.append([point])
    return parts


def _usual_pause(days: Sequence[datetime]) -> float:
    """Days between neighbours above which a month is missing."""
    pauses = sorted(_day(after) - _day(before) for before, after in pairwise(days))
    return pauses[(len(pauses) - 1) // 2] * 1.5 if pauses else math.inf


def _day(at: datetime) -> float:
    return at.timestamp() / 86_400


def _said(point: Point) -> str:
    inside = rounding.interval(point.low, point.high)
    return f"{rounding.day(point.at)} {rounding.metric(point.value)}" + (f" ({inside})" if inside else "")


def _described(name: str, bins: Sequence[Bin]) -> str:
    shares = "; ".join(
        f"{item.label}: {rounding.percent(item.reference)} and {rounding.percent(item.current)}"
        for item in bins
    )
    return f"Shares of {name} in the training set and in the month. {shares}."
