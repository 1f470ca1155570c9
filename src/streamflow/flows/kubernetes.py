"""Jobs as Jobs of Kubernetes, from the CronJobs' own templates: with their images, accounts, passwords and limits."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Mapping

from streamflow import log
from streamflow.cluster.jobs import Cluster, manual_job
from streamflow.cluster.outcomes import outcome
from streamflow.errors import DependencyDown
from streamflow.flows.order import Declared
from streamflow.flows.places import Tell
from streamflow.flows.said import Said, of_lines, told

BY = "prefect"
_SUFFIX_LENGTH = 12
_UNANSWERED_SECONDS = 600.0
"""Longest time that the API server may be away while a Job runs."""


class Kubernetes:
    """Runs jobs in the namespace of this pod.

    Args:
        release: Helm release whose jobs these are; None if the namespace has one.
        poll_seconds: Interval between two looks at a Job.
    """

    def __init__(self, release: str | None, poll_seconds: float) -> None:
        self._cluster = Cluster(release=release)
        self._poll_seconds = poll_seconds

    def declared(self) -> list[Declared]:
        """The jobs of the release. What fails is repeated by Kubernetes, as the Job says."""
        return [Declared(job.name, job.summary, job.after) for job in self._cluster.jobs()]

    def run(self, job: Declared, key: str, parameters: Mapping[str, str], tell: Tell) -> Said:
        """Create a Job and wait for its end, or for the end of one that was created with this key and did not fail.

        Raises:
            NotFound: The release has no such job.
            DependencyDown: The API server does not answer for ten minutes.
        """
        cron_job = self._cluster.cron_job(job.name)
        for attempt in itertools.count():
            made = manual_job(cron_job, BY, suffix(key, attempt), parameters)
            name = str(made.metadata.name)
            found = self._cluster.find(name)
            if found is None:
                self._cluster.create(made)
            if found is None or outcome(found) in ("", "done"):
                break
        tell(f"Job {name} in namespace {self._cluster.namespace}")
        how = self._ended(name)
        lines = self._cluster.log_lines(name)
        for line in lines:
            tell(told(line))
        if how is None:
            return Said("killed", why=f"Job {name} was deleted before it ended.")
        said = of_lines(lines)
        if said.outcome == "killed":
            # The log of a node that is lost is lost too; Kubernetes still says how the Job ended.
            return Said("killed", why=f"Job {name}: {how}." if how != "done" else said.why)
        return said

    def _ended(self, name: str) -> str | None:
        """Wait for the end of a Job; return its outcome, None if it is gone."""
        answered = time.monotonic()
        while True:
            try:
                found = self._cluster.find(name)
            except DependencyDown:
                if time.monotonic() - answered > _UNANSWERED_SECONDS:
                    raise
                log.get(__name__).warning("the API server does not answer", job=name)
            else:
                answered = time.monotonic()
                if found is None or (how := outcome(found)):
                    return None if found is None else how
            time.sleep(self._poll_seconds)


def suffix(key: str, attempt: int) -> str:
    """The end of a Job's name, the same for the same key and attempt. Pure."""
    return hashlib.sha256(f"{key} {attempt}".encode()).hexdigest()[:_SUFFIX_LENGTH]
