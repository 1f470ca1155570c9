"""Judge the months whose scores or labels are new, and record their figures."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from streamflow.monitoring.quality import figures as of_month
from streamflow.monitoring.quality import months, read, record
from streamflow.monitoring.quality.figures import Figures, Worth
from streamflow.monitoring.quality.interval import Interval
from streamflow.monitoring.quality.months import ESTIMATED, REALIZED, Task
from streamflow.postgres import clock
from streamflow.postgres.engine import transaction
from streamflow.repo import definitions
from streamflow.settings import DatabaseSettings, MonitoringSettings


def judge(
    database: DatabaseSettings,
    model: str,
    repo: Path,
    settings: MonitoringSettings,
    as_of: date | None = None,
    lake: str = "",
) -> list[tuple[int, datetime, str]]:
    """Estimate and compute the figures of every month that a version scored, unless they are recorded.

    Args:
        database: How to connect to PostgreSQL.
        model: Registered model.
        repo: Folder of the feature repo.
        settings: What predictions are worth.
        as_of: Judge this month alone.
        lake: URL of the lake that has the rows; "" reads them in PostgreSQL.

    Returns:
        Version, as-of and basis of the figures that were recorded, in the order of months.

    Raises:
        DependencyDown: PostgreSQL does not answer.
        UsageError: The feature repo cannot be loaded.
    """
    with transaction(database) as connection:
        known = clock.known_without_stamp(connection, None)
        there = read.recorded(connection, model, known)
    scored = months.of_month(there.scored, as_of)
    found = months.tasks(scored, there.released, there.drops, there.judged)
    if not found:
        return []
    declared = definitions.load(repo)
    worth = Worth(settings.value_of_true_positive, settings.cost_of_false_positive)
    done = []
    for task in sorted(found, key=lambda task: (task.scored.as_of, task.scored.version)):
        with transaction(database) as connection:
            scores = read.scores(connection, declared, task, there.drops, known, lake)
            if task.scored.scoring_id is None and not len(scores.probabilities):
                # The log forgets; what was recorded while it had the answers stays.
                continue
            estimate = of_month.estimated(scores, worth)
            if ESTIMATED in task.bases:
                record.add(connection, task, ESTIMATED, task.scored.known_at, _with_detail(estimate, task))
            if REALIZED in task.bases:
                truth = of_month.learnt(scores) if task.learnt else of_month.realized(scores, worth)
                error = {"estimate_error": of_month.errors(estimate, truth)}
                record.add(connection, task, REALIZED, known, _with_detail(truth, task, error))
        done += [(task.scored.version, task.scored.as_of, basis) for basis in task.bases]
    return done


def _with_detail(figures: Figures, task: Task, more: dict[str, Any] | None = None) -> Figures:
    """The figures with where they come from, and how they compare with the holdout."""
    contract = task.released.contract
    holdout: Interval | None = of_month.reference(getattr(contract, "holdout", None))
    origin = {
        "scores_from": "batch" if task.scored.scoring_id is not None else "log of predictions",
        "scoring_id": task.scored.scoring_id,
        "release": task.released.manifest_sha256,
        "holdout_auc": asdict(holdout) if holdout else None,
        "below_holdout": of_month.below(figures.auc, holdout),
    }
    return replace(figures, detail={**figures.detail, **origin, **(more or {})})
