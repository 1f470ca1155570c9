"""Where jobs run, as the flows see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from streamflow.flows.order import Declared
from streamflow.flows.said import Said

Tell = Callable[[str], None]


class Place(Protocol):
    """This machine, or a namespace of a cluster."""

    def declared(self) -> list[Declared]:
        """The jobs that can be run here."""
        ...

    def run(self, job: Declared, key: str, parameters: Mapping[str, str], tell: Tell) -> Said:
        """Run a job and wait for its end; a run with the same key that was started before is waited for instead.

        Args:
            job: The job.
            key: Names this run of the job, among all runs; letters, digits and hyphens.
            parameters: Environment variables that the job gets in addition.
            tell: Called with each line that the job logs.
        """
        ...
