"""Add figures to `monitoring.quality`, and read them back."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from streamflow.monitoring.quality.figures import Figures
from streamflow.monitoring.quality.interval import Interval
from streamflow.monitoring.quality.months import REALIZED, Task
from streamflow.postgres import statements

_SQL = statements.load(Path(__file__).with_name("queries.sql"))


def may_judge(connection: sa.Connection) -> bool:
    """Whether this login may add figures."""
    return bool(connection.execute(sa.text(_SQL["may_judge"])).scalar_one())


def add(connection: sa.Connection, task: Task, basis: str, known_at: datetime, figures: Figures) -> None:
    """Add the figures of a month; nothing happens if they are there.

    Args:
        connection: Connection to write on.
        task: The month.
        basis: `estimated` or `realized`.
        known_at: Load time up to which rows were read.
        figures: The figures.
    """
    month, labels = task.scored, task.labels if basis == REALIZED else None
    values: dict[str, Any] = {
        "model": task.released.contract.model,
        "version": month.version,
        "basis": basis,
        "as_of": month.as_of,
        "label_as_of": labels.as_of if labels else None,
        "known_at": known_at,
        "drop_id": month.drop_id,
        "label_drop_id": labels.drop_id if labels else "",
        "rows": figures.rows,
        "positives": figures.positives,
        "threshold": task.released.contract.threshold,
        "precision": figures.precision,
        "recall": figures.recall,
        "f1": figures.f1,
        "profit": figures.profit,
        "detail": json.dumps(figures.detail, allow_nan=False),
    }
    for name in ("auc", "log_loss", "brier"):
        found: Interval | None = getattr(figures, name)
        values |= {
            name: found and found.value,
            f"{name}_low": found and found.low,
            f"{name}_high": found and found.high,
        }
    connection.execute(sa.text(_SQL["record"]), values)


def newest(connection: sa.Connection, model: str) -> list[Any]:
    """The rows of `monitoring.quality`: of each month, version and basis the one that was recorded last."""
    return list(connection.execute(sa.text(_SQL["newest_figures"]), {"model": model}))
