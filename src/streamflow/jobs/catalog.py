"""The jobs by name: what `streamflow jobs exec NAME`, and so each CronJob, does.

A job is one name in five places: `k8s-jobs/NAME.yaml`, `jobs/NAME.py`, a line here, `jobs.NAME` in the
chart's values, and the label of its metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from streamflow.errors import NotFound
from streamflow.settings import Settings

Recipe = Callable[[Settings], object]


def _ingest(settings: Settings) -> object:
    from streamflow.jobs.ingest import ingest

    return ingest(settings)


def _materialize(settings: Settings) -> object:
    from streamflow.jobs.materialize import materialize

    return materialize(settings)


def _train(settings: Settings) -> object:
    from streamflow.jobs import train as retrain

    return retrain.retrain(settings)


def _score(settings: Settings) -> object:
    from streamflow.jobs.score import score_what_is_new

    return score_what_is_new(settings)


def _parity(settings: Settings) -> object:
    from streamflow.jobs.parity import parity

    return parity(settings)


def _monitor(settings: Settings) -> object:
    from streamflow.jobs.monitor import monitor

    return monitor(settings)


def _audit(settings: Settings) -> object:
    from streamflow.jobs.audit import audit

    return audit(settings)


def _backup(settings: Settings) -> object:
    from streamflow.jobs.backup import backup

    return backup(settings)


def _restore(settings: Settings) -> object:
    from streamflow.jobs.restore import restore

    return restore(settings)


# Imported when called: Feast and MLflow take seconds to load.
JOBS: Mapping[str, Recipe] = {
    "ingest": _ingest,
    "materialize": _materialize,
    "train": _train,
    "score": _score,
    "parity": _parity,
    "monitor": _monitor,
    "audit": _audit,
    "backup": _backup,
    "restore": _restore,
}


def recipe(name: str) -> Recipe:
    """The recipe of a job.

    Raises:
        NotFound: there is no such job.
    """
    try:
        return JOBS[name]
    except KeyError:
        raise NotFound(f"There is no job '{name}'.", hint=f"Jobs: {', '.join(JOBS)}.") from None
