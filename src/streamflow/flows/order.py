"""The order of the jobs of a month, which `after` in their declarations gives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import yaml

from streamflow.errors import NotFound, UsageError


@dataclass(frozen=True)
class Declared:
    """What the conductor needs to know about a job.

    Attributes:
        name: Name of the job, such as `train`.
        summary: What it does, in one sentence.
        after: Jobs that come before it.
        on_demand: Whether no schedule starts it.
        retries: How often the conductor repeats a run that was killed or found a dependency down.
        deadline_seconds: Longest time that a run may take.
    """

    name: str
    summary: str
    after: tuple[str, ...] = ()
    on_demand: bool = False
    retries: int = 0
    deadline_seconds: float = 3600.0


def of_folder(folder: Path) -> list[Declared]:
    """Read the declarations of a folder such as `k8s-jobs`.

    Raises:
        NotFound: There is none.
    """
    found = [_declared(path) for path in sorted(folder.expanduser().glob("*.yaml"))]
    if not found:
        raise NotFound(
            f"There is no declaration of a job in the folder '{folder}'.",
            hint="Name the project's folder k8s-jobs in STREAMFLOW_PREFECT__JOBS_FOLDER.",
        )
    return found


def _declared(path: Path) -> Declared:
    read = yaml.safe_load(path.read_text(encoding="utf-8"))
    return Declared(
        path.stem,
        read["summary"],
        tuple(read.get("after", ())),
        bool(read.get("onDemand")),
        int(read["retries"]),
        float(read["deadlineSeconds"]),
    )


def of_a_month(declared: Iterable[Declared]) -> list[Declared]:
    """The jobs that make up a month, in their order: those with an `after`, and those that these come after. Pure.

    Raises:
        UsageError: A job comes after one that is not there, or after itself.
    """
    jobs = {job.name: job for job in declared if not job.on_demand}
    chained = [job for job in jobs.values() if job.after]
    for job in chained:
        for name in job.after:
            if name not in jobs:
                raise UsageError(
                    f"The job '{job.name}' comes after '{name}', which is no scheduled job.",
                    hint="Correct its 'after'.",
                )
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for job in sorted(chained, key=lambda job: job.name):
        sorter.add(job.name, *job.after)
    try:
        return [jobs[name] for name in sorter.static_order()]
    except CycleError as error:
        circle: Sequence[str] = error.args[1]
        raise UsageError(
            f"These jobs come after one another in a circle: {' - '.join(circle)}.",
            hint="Correct their 'after'.",
        ) from None
