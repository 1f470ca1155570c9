"""The report of a month as one HTML page that loads nothing. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import jinja2
from markupsafe import Markup, escape

from streamflow.monitoring.report import feature_words, plots, rounding
from streamflow.monitoring.report.distributions import LEAST_ROWS, bins_of, classes_of
from streamflow.monitoring.report.plots import Point, Series
from streamflow.monitoring.report.sentence import harm_shown, sentence
from streamflow.monitoring.report.verdicts import (
    DRIFTED,
    ESTIMATED,
    NO_DATA,
    REALIZED,
    STABLE,
    TOO_FEW_ROWS,
    Feature,
    Harm,
    Quality,
    Verdicts,
)

MOST_MONTHS = 24
"""Months that tables and plots show, the newest of all."""
_ORDER = {DRIFTED: 0, NO_DATA: 1, TOO_FEW_ROWS: 2, STABLE: 3}
_TOO_SMALL = {"rows": None, "auc": None, "low": None, "high": None, "why": f"fewer than {LEAST_ROWS} rows"}
_DAY = re.compile(r"\b(\d{4}-\d\d-\d\d)\b")
_Row = TypeVar("_Row", Quality, Harm)


@dataclass(frozen=True)
class Month:
    """What is known of a month's quality for one version."""

    as_of: datetime
    version: int
    estimated: Quality | None
    realized: Quality | None

    @property
    def error(self) -> float | None:
        """The estimated AUC minus the realized one; None while one of them is unknown."""
        estimated, realized = (None if item is None else item.auc for item in (self.estimated, self.realized))
        return None if estimated is None or realized is None else estimated - realized


@dataclass(frozen=True)
class Card:
    """A feature with its plot, if there is something to plot, and what is said about it."""

    feature: Feature
    plot: Markup | None
    said: Sequence[str]


def page(verdicts: Verdicts, counted: Callable[[int], str]) -> str:
    """The page. The same verdicts give the same page, to the last byte.

    Args:
        verdicts: Verdicts of the month.
        counted: Writes a number of entities: "7,043 customers".
    """
    months, harms = quality_months(verdicts.qualities), _newest_months(verdicts.harms)
    features = sorted(verdicts.features, key=lambda item: (_ORDER[item.outcome], item.name))
    calibration = _calibration(verdicts.labelled)
    sliced = verdicts.labelled or verdicts.quality(ESTIMATED)
    return _template().render(
        verdicts=verdicts,
        drift=verdicts.drift,
        sentence=sentence(verdicts, counted),
        harm=harm_shown(verdicts)
        or next((item for item in reversed(harms) if item.as_of == verdicts.as_of), None),
        estimated=verdicts.quality(ESTIMATED),
        realized=verdicts.quality(REALIZED),
        missing=_missing([verdicts.quality(ESTIMATED), verdicts.quality(REALIZED)]),
        months=months,
        months_left_out=len({item.as_of for item in verdicts.qualities} - {item.as_of for item in months}),
        quality_plot=_quality_plot(months),
        harms=harms,
        harm_plot=_harm_plot(harms),
        cards=[Card(item, _plot(item), feature_words.about(item)) for item in features],
        sliced=sliced,
        slices=_slices(sliced),
        calibration_plot=plots.calibration_plot(calibration) if calibration else None,
    )


def quality_months(qualities: tuple[Quality, ...]) -> list[Month]:
    """The newest months, each with its estimate and what its labels gave, by version."""
    found: dict[tuple[datetime, int], dict[str, Quality]] = {}
    for item in _newest_months(qualities):
        found.setdefault((item.as_of, item.version), {})[item.basis] = item
    return [
        Month(as_of, version, rows.get(ESTIMATED), rows.get(REALIZED))
        for (as_of, version), rows in sorted(found.items(), key=lambda pair: pair[0])
    ]


def _missing(rows: Sequence[Quality | None]) -> list[str]:
    """Why figures of a month are missing: a sentence for each reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for name, reason in sorted(((row and row.detail.get("why")) or {}).items()):
            basis = "Estimated" if row and row.basis == ESTIMATED else "By labels"
            found.setdefault((basis, reason), []).append(name.replace("_", " "))
    return [
        f"{basis}: no {', '.join(names)} ({reason})." for (basis, reason), names in found.items() if reason
    ]


def _newest_months(rows: tuple[_Row, ...]) -> list[_Row]:
    kept = set(sorted({item.as_of for item in rows})[-MOST_MONTHS:])
    return [item for item in rows if item.as_of in kept]


def _quality_plot(months: Sequence[Month]) -> Markup | None:
    """AUC by month, a line for each version and basis; None without a figure."""
    series = []
    for version in sorted({month.version for month in months}):
        for basis in (ESTIMATED, REALIZED):
            rows = [getattr(month, basis) for month in months if month.version == version]
            points = tuple(
                Point(row.as_of, row.auc, row.auc_low, row.auc_high)
                for row in rows
                if row is not None and row.auc is not None
            )
            series.append(Series(f"version {version}, {basis}", basis, points))
    known = [item for item in series if item.points]
    return plots.months_plot("AUC", known) if known else None


def _harm_plot(harms: Sequence[Harm]) -> Markup | None:
    """Loss by month with its lower bound, and the limit that the bound must not cross; None without a loss."""
    series = [
        Series(
            f"loss, {basis}",
            basis,
            tuple(
                Point(item.as_of, item.loss, item.loss_low, item.loss)
                for item in harms
                if item.basis == basis and item.loss is not None
            ),
        )
        for basis in (ESTIMATED, REALIZED)
    ]
    limits = {item.as_of: item.limit for item in harms if item.limit is not None}
    points = tuple(Point(as_of, limit) for as_of, limit in sorted(limits.items()))
    known = [item for item in (*series, Series("limit", "limit", points)) if item.points]
    return plots.months_plot("Loss", known) if any(item.style != "limit" for item in known) else None


def _plot(feature: Feature) -> Markup | None:
    if bins := bins_of(feature):
        return plots.bins_plot(feature.name, bins)
    classes = classes_of(feature)
    return plots.classes_plot(feature.name, classes) if classes else None


def _calibration(quality: Quality | None) -> list[tuple[float, float, int]]:
    """The parts of the recorded calibration curve that have enough rows: mean score, share of positives, rows."""
    recorded = [] if quality is None else quality.detail.get("calibration_curve") or []
    parts = [(float(part["score"]), float(part["positives"]), int(part["rows"])) for part in recorded]
    return [part for part in parts if part[2] >= LEAST_ROWS]


def _slices(quality: Quality | None) -> list[Mapping[str, Any]]:
    """The recorded slices; one with too few rows has no figures."""
    found = []
    for item in [] if quality is None else quality.detail.get("slices") or []:
        small = item["rows"] < LEAST_ROWS
        found.append({**item, **_TOO_SMALL} if small else item)
    return found


def _unbroken(text: str) -> Markup:
    """The text as HTML, in which no date is broken at the end of a line."""
    day = Markup('<span class="day">{}</span>')
    parts = [day.format(part) if _DAY.fullmatch(part) else escape(part) for part in _DAY.split(text)]
    return Markup("").join(parts)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "amount": lambda value, feature: feature_words.amount(feature, value),
        "count": rounding.count,
        "day": rounding.day,
        "figure": rounding.figure,
        "instant": rounding.instant,
        "metric": rounding.metric,
        "percent": rounding.percent,
        "probability": rounding.probability,
        "signed": rounding.signed,
        "unbroken": _unbroken,
        "words": lambda name: name.replace("_", " "),
    }
    environment.globals |= {"interval": rounding.interval, "nothing": rounding.NOTHING}
    return environment.get_template("report.html")
