"""Invented verdicts of monitoring: a version over some months, with a feature of each outcome."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import sqlalchemy as sa

from streamflow.monitoring.report.verdicts import Drift, Feature, Harm, Quality, Verdicts

MODEL, VERSION = "streamflow_churn", 3
TRAINED = datetime(2023, 12, 31, tzinfo=UTC)
ROWS, REFERENCE_ROWS = 7_032, 6_991


def month(number):
    """The last day of the month so many months after December 2023."""
    years, rest = divmod(number + 12, 12)
    return datetime(2023 + years, rest + 1, 1, tzinfo=UTC) - timedelta(days=1)


def judged(number):
    return month(number) + timedelta(days=1, hours=2, microseconds=123_456)


def drift(number, verdict="stable", **changes):
    made = Drift(
        drift_id=number,
        as_of=month(number),
        known_at=judged(number) - timedelta(minutes=5),
        drop_id=f"9f2c{number:04x}",
        position=number,
        alpha=0.05 * 6 / (np.pi * number) ** 2,
        verdict=verdict,
        why="",
        rows=ROWS,
        reference_as_of=TRAINED,
        reference_known_at=TRAINED + timedelta(hours=3),
        reference_rows=REFERENCE_ROWS,
        judged_at=judged(number),
    )
    return replace(made, **changes)


def feature(name, outcome="stable", kind="number", **changes):
    detail = changes.pop("detail", None)
    if detail is None and kind == "number":
        detail = {
            "bins": {
                "edges": [18.25, 20, 25.5, 44.9, 58.15, 70.35, 79.4, 85.6, 94.3, 103, 118.75],
                "reference": [0.1] * 10,
                "current": [0.081, 0.092, 0.095, 0.1, 0.098, 0.103, 0.1, 0.104, 0.112, 0.115],
            },
            "absence": None,
            "why": "",
        }
    elif detail is None:
        detail = {
            "classes": ["month-to-month", "two years", "one year"],
            "reference": [0.55, 0.24, 0.21],
            "current": [0.52, 0.26, 0.22],
            "absence": {"reference": 0.01, "current": 0.013, "p_value": 0.11, "outcome": "stable"},
            "why": "",
        }
    made = Feature(
        name=name,
        kind=kind,
        outcome=outcome,
        p_value={"stable": 0.24, "drifted": 3.1e-9}.get(outcome),
        alpha=0.00051,
        effect={"stable": 0.021, "drifted": 0.143}.get(outcome),
        smallest_detectable=0.092 if outcome in ("stable", "drifted") else None,
        psi=0.0103 if outcome in ("stable", "drifted") else None,
        psi_without_drift=0.0026 if outcome in ("stable", "drifted") else None,
        rows=ROWS,
        reference_rows=REFERENCE_ROWS,
        detail=detail,
    )
    return replace(made, **changes)


def quality(number, basis="estimated", version=VERSION, **changes):
    auc = 0.842 - 0.002 * number + (0.006 if basis == "realized" else 0)
    label = basis == "realized"
    made = Quality(
        version=version,
        basis=basis,
        as_of=month(number),
        label_as_of=month(number + 1) if label else None,
        known_at=judged(number + label) - timedelta(minutes=5),
        drop_id=f"9f2c{number:04x}",
        label_drop_id=f"9f2c{number + 1:04x}" if label else "",
        rows=ROWS,
        positives=1_869 if label else None,
        threshold=0.3125,
        auc=auc,
        auc_low=auc - 0.011,
        auc_high=auc + 0.0105,
        log_loss=0.421,
        log_loss_low=0.409,
        log_loss_high=0.433,
        brier=0.1371,
        brier_low=0.131,
        brier_high=0.143,
        precision=0.53,
        recall=0.77,
        f1=0.628,
        profit=12_345.5,
        detail={
            "scores_from": "batch",
            "release": "3f9a0c",
            "calibration_curve": [
                {"score": score, "positives": share, "rows": 703}
                for score, share in ((0.02, 0.018), (0.1, 0.12), (0.3, 0.27), (0.62, 0.66))
            ],
            "slices": [
                part("contract", "month-to-month", 3_875, 0.771),
                part("contract", "two years", 4, 0.6),
                part("tenure", "0 to 12", 40, None, "one class"),
            ],
            "holdout_auc": {"value": 0.851, "low": 0.838, "high": 0.864},
            "unlabelled": 12,
            "why": {},
        }
        if label
        else {},
        judged_at=judged(number + label),
    )
    return replace(made, **changes)


def part(slice_, value, rows, auc, why=""):
    low, high = (None, None) if auc is None else (auc - 0.015, auc + 0.015)
    return {"slice": slice_, "value": value, "rows": rows, "auc": auc, "low": low, "high": high, "why": why}


def harm(number, verdict="not_shown", basis="estimated", **changes):
    made = Harm(
        basis=basis,
        as_of=month(number),
        known_at=judged(number) - timedelta(minutes=5),
        drop_id=f"9f2c{number:04x}",
        label_drop_id=f"9f2c{number + 1:04x}" if basis == "realized" else "",
        position=number,
        alpha=0.0125 * 6 / (np.pi * number) ** 2,
        rows=ROWS,
        loss=0.1371 + 0.001 * number,
        loss_low=0.1301 + 0.001 * number,
        reference_loss=0.1342,
        reference_high=0.1401,
        tolerance=0.01,
        verdict=verdict,
        why="",
        judged_at=judged(number + (basis == "realized")),
    )
    return replace(made, **changes)


FEATURES = (
    feature("contract", "stable", "category"),
    feature("internet_service", "drifted", "category", effect=0.061, since=month(1)),
    feature("monthly_fee", "drifted"),
    feature("plan_stream_tv", "no_data", "category", detail={"why": "the month has no values"}),
    feature("score"),
    feature("watch_hours_30d", "too_few_rows", detail={"why": "3 values"}),
)


def verdicts(months=6, labelled=None, **changes):
    """Verdicts up to the last of some months; labels come a month later."""
    labelled = months - 1 if labelled is None else labelled
    made = Verdicts(
        model=MODEL,
        version=VERSION,
        as_of=month(months),
        drifts=tuple(drift(n, "drifted" if n >= months - 1 else "stable") for n in range(1, months + 1)),
        features=tuple(
            replace(item, since=month(max(months - 1, 1)) if item.outcome == "drifted" else None)
            for item in FEATURES
        ),
        qualities=tuple(
            quality(n, basis)
            for n in range(1, months + 1)
            for basis in ("estimated", "realized")
            if basis == "estimated" or n <= labelled
        ),
        harms=tuple(
            harm(n, basis=basis)
            for n in range(1, months + 1)
            for basis in ("estimated", "realized")
            if basis == "estimated" or n <= labelled
        ),
    )
    return replace(made, **changes)


def insert(connection, made):
    """Record verdicts in `monitoring.*`, as the commands that judge do."""
    named = {"model": made.model, "version": made.version}
    for item in made.drifts:
        row = {key: value for key, value in asdict(item).items() if key not in ("drift_id", "judged_at")}
        drift_id = _insert(connection, "drift", named | row, "RETURNING drift_id")
        features = made.features if item is made.drift else _of_drifted(made, item)
        for one in features:
            row = {key: value for key, value in asdict(one).items() if key != "since"}
            _insert(connection, "drift_features", {"drift_id": drift_id} | row)
    for table, rows in (("quality", made.qualities), ("harm", made.harms)):
        for item in rows:
            _insert(connection, table, named | {k: v for k, v in asdict(item).items() if k != "judged_at"})


def _of_drifted(made, item):
    return [one for one in made.features if one.outcome == "drifted" and one.since <= item.as_of]


def _insert(connection, table, row, returning=""):
    row = {key: json.dumps(value) if isinstance(value, dict) else value for key, value in row.items()}
    names = ", ".join(f'"{name}"' for name in row)
    places = ", ".join("CAST(:detail AS jsonb)" if name == "detail" else f":{name}" for name in row)
    statement = f"INSERT INTO monitoring.{table} ({names}) VALUES ({places}) {returning}"
    found = connection.execute(sa.text(statement), row)
    return found.scalar_one() if returning else None


def judged_by_now(connection):
    """When the newest verdict was recorded."""
    return connection.execute(sa.text("SELECT max(judged_at) FROM monitoring.harm")).scalar_one()
