"""Rows of the tables of verdicts, as the job `monitor` adds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from streamflow.postgres.engine import transaction
from streamflow.settings import Settings

_DRIFT: Mapping[str, Any] = {
    "known_at": "2024-06-01+00",
    "drop_id": "d1",
    "position": 1,
    "alpha": 0.03,
    "rows": 7000,
    "reference_as_of": "2024-01-31+00",
    "reference_known_at": "2024-02-01+00",
    "reference_rows": 7000,
}
_FEATURE: Mapping[str, Any] = {"kind": "number", "alpha": 0.001, "rows": 7000, "reference_rows": 7000}
_QUALITY: Mapping[str, Any] = {"known_at": "2024-06-01+00", "drop_id": "d1", "rows": 7000, "threshold": 0.3}
_HARM: Mapping[str, Any] = {
    "known_at": "2024-06-01+00",
    "drop_id": "d1",
    "position": 1,
    "alpha": 0.03,
    "rows": 7000,
    "tolerance": 0.01,
}


def drift(settings: Settings, features: Mapping[str, Mapping[str, Any]] | None = None, **values: Any) -> None:
    """Add a verdict on drift, and the verdicts on its features by name."""
    with transaction(settings.database) as connection:
        number = _insert(connection, settings, "drift", {**_DRIFT, **values}, "drift_id")
        for name, feature in (features or {}).items():
            row = {**_FEATURE, "drift_id": number, "name": name, **feature}
            _write(connection, "drift_features", row, "drift_id")


def quality(settings: Settings, **values: Any) -> None:
    """Add the estimated or realized quality of a month."""
    with transaction(settings.database) as connection:
        _insert(connection, settings, "quality", {**_QUALITY, **values}, "quality_id")


def harm(settings: Settings, **values: Any) -> None:
    """Add a verdict on harm."""
    with transaction(settings.database) as connection:
        _insert(connection, settings, "harm", {**_HARM, **values}, "harm_id")


def _insert(
    connection: sa.Connection, settings: Settings, table: str, row: Mapping[str, Any], key: str
) -> int:
    return _write(connection, table, {"model": settings.mlflow.registered_model, "version": 3, **row}, key)


def _write(connection: sa.Connection, table: str, row: Mapping[str, Any], key: str) -> int:
    columns, values = (", ".join(names) for names in (row, [f":{name}" for name in row]))
    statement = sa.text(f"INSERT INTO monitoring.{table} ({columns}) VALUES ({values}) RETURNING {key}")
    return int(connection.execute(statement, dict(row)).scalar_one())
