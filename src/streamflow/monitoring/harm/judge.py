"""Judge the months of the version in production that have no verdict on harm yet, and record the verdicts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from streamflow import log
from streamflow.monitoring.harm import losses, record, unanswered, verdict
from streamflow.monitoring.harm.retrain import InProduction
from streamflow.monitoring.quality import months, read
from streamflow.monitoring.quality.figures import Scores
from streamflow.monitoring.quality.months import REALIZED, Scored, Task
from streamflow.postgres import clock
from streamflow.postgres.engine import transaction
from streamflow.repo import definitions
from streamflow.settings import DatabaseSettings, MonitoringSettings


def judge(
    database: DatabaseSettings, model: str, repo: Path, settings: MonitoringSettings, lake: str = ""
) -> InProduction | None:
    """Judge each month after its training set that the version in production scored as a batch, once.

    Args:
        database: How to connect to PostgreSQL.
        model: Registered model.
        repo: Folder of the feature repo.
        settings: What counts as harm.
        lake: URL of the lake that has the rows; "" reads them in PostgreSQL.

    Returns:
        The version in production, with the newest harm that no training has answered; None without a version.

    Raises:
        DependencyDown: PostgreSQL does not answer.
        UsageError: The feature repo cannot be loaded.
    """
    with transaction(database) as connection:
        production = unanswered.production(connection, model)
        if production is None or not record.may_judge(connection):
            return production
        known_at = clock.known_without_stamp(connection, None)
        there = read.recorded(connection, model, known_at)
        given = record.verdicts(connection, model, production.version)
    scored = [month for month in there.scored if _counts(month, production.version, there)]
    judged = {each.of(production.version) for each in given}
    found = months.tasks(scored, there.released, there.drops, judged)
    if not found:
        return production
    # No verdict is on a slice, so none is read.
    declared = replace(definitions.load(repo), slices=())
    bases = [each.basis for each in given]
    for task in sorted(found, key=lambda task: (task.scored.as_of, task.scored.known_at)):
        with transaction(database) as connection:
            scores = read.scores(connection, declared, task, there.drops, known_at, lake)
            for basis in task.bases:
                bases.append(basis)
                judgement = _judged(task, basis, scores, bases.count(basis), settings.harm_tolerance)
                record.add(connection, task, basis, _read_at(task, basis, known_at), judgement)
    with transaction(database) as connection:
        return unanswered.production(connection, model)


def _counts(month: Scored, version: int, there: read.Recorded) -> bool:
    """Whether a month is judged: its own training set tells nothing, nor does who happened to ask online."""
    released = there.released.get(version)
    return (
        released is not None
        and month.version == version
        and month.scoring_id is not None
        and month.as_of > datetime.fromisoformat(released.contract.as_of)
    )


def _read_at(task: Task, basis: str, known_at: datetime) -> datetime:
    return known_at if basis == REALIZED else task.scored.known_at


def _judged(task: Task, basis: str, scores: Scores, position: int, tolerance: float) -> verdict.Judgement:
    reference = verdict.Reference.of_holdout(task.released.contract.holdout)
    if basis == REALIZED:
        labelled = scores.with_labels()
        found, missing = losses.realized(labelled.probabilities, labelled.labels), "no score has a label"
    else:
        found, missing = losses.estimated(scores.probabilities), "no entity has a score"
    judgement = verdict.judge(reference, found, position, tolerance, missing)
    if judgement.verdict == verdict.HARMFUL:
        log.get(__name__).warning(
            "the version in production does harm",
            version=task.scored.version,
            basis=basis,
            as_of=f"{task.scored.as_of:%Y-%m-%d}",
            why=judgement.why,
        )
    return judgement
