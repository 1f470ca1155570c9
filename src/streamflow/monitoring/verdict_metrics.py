"""Prometheus metrics of the newest verdicts on drift, quality and harm.

A verdict is about one version, which may have left production since; the alerts compare the label `version` with
`streamflow_model_promoted_timestamp_seconds`. Nothing is exported of what has not been judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from prometheus_client.core import GaugeMetricFamily, Metric

from streamflow.postgres import statements

MOST_FEATURES = 50
"""Features that are exported one by one; of the others, only their number."""
OUTCOMES = ("stable", "drifted", "too_few_rows", "no_data")
_WITH_INTERVAL = ("auc", "log_loss", "brier")
_FIGURES = (*_WITH_INTERVAL, "precision", "recall", "f1")
_SQL = statements.load(Path(__file__).with_name("newest_verdicts.sql"))


def read(connection: sa.Connection, model: str, production: int | None) -> list[Metric]:
    """Read the metrics for one scrape.

    Args:
        connection: Connection to PostgreSQL.
        model: Name of the registered model.
        production: Version in production, if there is one.
    """
    return [
        *_drift(connection, model),
        *_quality(connection, model),
        *_estimate_error(connection, model),
        *_harm(connection, model, production),
    ]


def _drift(connection: sa.Connection, model: str) -> list[Metric]:
    verdict = GaugeMetricFamily(
        "streamflow_drift_verdict",
        "Verdict on the drift of the newest month: 1 for the one that was given, 0 for the others.",
        labels=["name", "version", "verdict"],
    )
    features = GaugeMetricFamily(
        "streamflow_drift_features",
        "Features of that verdict, by outcome.",
        labels=["name", "version", "outcome"],
    )
    judged_at = GaugeMetricFamily(
        "streamflow_drift_judged_timestamp_seconds",
        "When that verdict was given.",
        labels=["name", "version"],
    )
    as_of = GaugeMetricFamily(
        "streamflow_drift_as_of_timestamp_seconds",
        "As-of of the month that it is about.",
        labels=["name", "version"],
    )
    found = connection.execute(sa.text(_SQL["newest_drift"]), {"model": model}).first()
    if found is None:
        return [verdict, features, judged_at, as_of]
    labels = [model, str(found.version)]
    counted = connection.execute(sa.text(_SQL["feature_outcomes"]), {"drift_id": found.drift_id})
    counts: dict[str, int] = {row.outcome: row.features for row in counted}
    for outcome in OUTCOMES:
        verdict.add_metric([*labels, outcome], float(found.verdict == outcome))
        features.add_metric([*labels, outcome], counts.get(outcome, 0))
    judged_at.add_metric(labels, found.judged_at.timestamp())
    as_of.add_metric(labels, found.as_of.timestamp())
    largest = connection.execute(
        sa.text(_SQL["largest_effects"]), {"drift_id": found.drift_id, "most": MOST_FEATURES}
    ).all()
    return [verdict, features, judged_at, as_of, *_features(labels, largest, sum(counts.values()))]


def _features(labels: list[str], largest: Sequence[sa.Row[Any]], features: int) -> list[Metric]:
    """Export single features, at most `MOST_FEATURES`, and how many there are besides."""
    psi = GaugeMetricFamily(
        "streamflow_drift_psi",
        "Population stability index of the features with the largest effects.",
        labels=["name", "version", "feature"],
    )
    expected = GaugeMetricFamily(
        "streamflow_drift_psi_without_drift",
        "Value of `streamflow_drift_psi` to expect at these numbers of rows without any drift.",
        labels=["name", "version", "feature"],
    )
    effect = GaugeMetricFamily(
        "streamflow_drift_effect",
        "Size of their drift: in standard deviations of the training set, or as a difference between shares.",
        labels=["name", "version", "feature"],
    )
    left_out = GaugeMetricFamily(
        "streamflow_drift_features_left_out",
        "Features that the metrics by feature leave out: of more than 50, those with the smallest effects.",
        labels=["name", "version"],
    )
    for row in largest:
        for metric, value in ((psi, row.psi), (expected, row.psi_without_drift), (effect, row.effect)):
            if value is not None:
                metric.add_metric([*labels, row.name], value)
    left_out.add_metric(labels, features - len(largest))
    return [psi, expected, effect, left_out]


def _quality(connection: sa.Connection, model: str) -> list[Metric]:
    estimated = GaugeMetricFamily(
        "streamflow_quality_estimated",
        "Quality of the newest scored month, estimated from the scores alone.",
        labels=["name", "version", "metric"],
    )
    estimated_low = GaugeMetricFamily(
        "streamflow_quality_estimated_low",
        "Lower end of the 95 % interval of `streamflow_quality_estimated`.",
        labels=["name", "version", "metric"],
    )
    estimated_high = GaugeMetricFamily(
        "streamflow_quality_estimated_high",
        "Upper end of the 95 % interval of `streamflow_quality_estimated`.",
        labels=["name", "version", "metric"],
    )
    realized = GaugeMetricFamily(
        "streamflow_quality_realized",
        "Quality of the newest scored month whose labels are known, by these labels.",
        labels=["name", "version", "metric"],
    )
    realized_low = GaugeMetricFamily(
        "streamflow_quality_realized_low",
        "Lower end of the 95 % interval of `streamflow_quality_realized`.",
        labels=["name", "version", "metric"],
    )
    realized_high = GaugeMetricFamily(
        "streamflow_quality_realized_high",
        "Upper end of the 95 % interval of `streamflow_quality_realized`.",
        labels=["name", "version", "metric"],
    )
    as_of = GaugeMetricFamily(
        "streamflow_quality_as_of_timestamp_seconds",
        "As-of of the month that the estimated and the realized quality are about.",
        labels=["name", "version", "basis"],
    )
    families = {
        "estimated": (estimated, estimated_low, estimated_high),
        "realized": (realized, realized_low, realized_high),
    }
    for row in connection.execute(sa.text(_SQL["newest_quality"]), {"model": model}).mappings():
        labels = [model, str(row["version"])]
        as_of.add_metric([*labels, row["basis"]], row["as_of"].timestamp())
        for figure in _FIGURES:
            ends = ("", "_low", "_high") if figure in _WITH_INTERVAL else ("",)
            for family, end in zip(families[row["basis"]], ends, strict=False):
                if row[figure + end] is not None:
                    family.add_metric([*labels, figure], row[figure + end])
    return [*families["estimated"], *families["realized"], as_of]


def _estimate_error(connection: sa.Connection, model: str) -> list[Metric]:
    error = GaugeMetricFamily(
        "streamflow_quality_estimate_error",
        "Estimated minus realized AUC of the newest month that has both.",
        labels=["name", "version"],
    )
    low = GaugeMetricFamily(
        "streamflow_quality_estimate_error_low",
        "The same with the upper end of the 95 % interval of the realized AUC.",
        labels=["name", "version"],
    )
    high = GaugeMetricFamily(
        "streamflow_quality_estimate_error_high",
        "The same with the lower end of the 95 % interval of the realized AUC.",
        labels=["name", "version"],
    )
    for row in connection.execute(sa.text(_SQL["estimate_errors"]), {"model": model}):
        for metric, value in ((error, row.error), (low, row.low), (high, row.high)):
            if value is not None:
                metric.add_metric([model, str(row.version)], value)
    return [error, low, high]


def _harm(connection: sa.Connection, model: str, production: int | None) -> list[Metric]:
    """Export versions judged on the newest month, and the one in production, which a rollback may have brought back."""
    harm = GaugeMetricFamily(
        "streamflow_harm",
        "Whether harm has been shown for the version in any month: 1 if it has, 0 if not.",
        labels=["name", "version", "basis"],
    )
    rows = connection.execute(sa.text(_SQL["harm"]), {"model": model}).all()
    newest: dict[str, datetime] = {}
    for row in rows:
        newest[row.basis] = max(row.as_of, newest.get(row.basis, row.as_of))
    for row in rows:
        if row.version == production or row.as_of == newest[row.basis]:
            harm.add_metric([model, str(row.version), row.basis], float(row.harmful))
    return [harm]
