"""Jobs and ConfigMaps on a cluster: list CronJobs, start one, follow its log. No other module talks to Kubernetes."""

from __future__ import annotations

import contextlib
import copy
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from streamflow.cluster.outcomes import POD_OF, advice, became, outcome
from streamflow.errors import DependencyDown, NotFound, StreamFlowError, UsageError

JOB_LABEL = "streamflow.io/job"
RELEASE_LABEL = "app.kubernetes.io/instance"
SUMMARY = "streamflow.io/summary"
AFTER = "streamflow.io/after"
_NAME_LENGTH = 63
_POLL_SECONDS = 1.0
_TIMEOUT_SECONDS = 5.0
_NONE = MappingProxyType(dict[str, str]())
# Phases of a pod in which its log can be read.
_STARTED = ("Running", "Succeeded", "Failed")


@dataclass(frozen=True)
class ClusterJob:
    """A job of the platform and its CronJob.

    Attributes:
        name: Name of the job, such as `train`.
        object_name: Name of the CronJob object.
        schedule: Schedule and time zone.
        suspended: Whether the schedule is suspended.
        summary: What the job does.
        release: Helm release that the CronJob belongs to.
        last_started: When the schedule last started the job.
        last_succeeded: When a scheduled run last succeeded.
        running: Number of Jobs that are running now.
        last_run: What became of the newest Job; see `became`. Empty if none is left.
        after: Jobs that come before it.
    """

    name: str
    object_name: str
    schedule: str
    suspended: bool
    summary: str
    release: str
    last_started: datetime | None
    last_succeeded: datetime | None
    running: int
    last_run: str = ""
    after: tuple[str, ...] = ()


class Cluster:
    """The jobs in one namespace of a cluster, by default that of this pod or else of the kubeconfig.

    Attributes:
        namespace: Namespace to work in.
        release: Helm release to work with; None for all in the namespace.
    """

    def __init__(
        self, namespace: str | None = None, context: str | None = None, release: str | None = None
    ) -> None:
        from kubernetes import client, config

        try:
            config.load_incluster_config()
            self.namespace = namespace or _own_namespace()
        except config.ConfigException:
            try:
                config.load_kube_config(context=context)
                _, active = config.list_kube_config_contexts()
            except (config.ConfigException, OSError) as error:
                raise DependencyDown(
                    "No cluster is configured: there is no kubeconfig, and this is not a pod.",
                    hint="Set KUBECONFIG, or name a context with --context.",
                ) from error
            self.namespace = namespace or active["context"].get("namespace") or "default"
        self.release = release
        self._batch, self._core = client.BatchV1Api(), client.CoreV1Api()

    def jobs(self) -> list[ClusterJob]:
        """The platform's jobs, sorted by Helm release and name.

        Raises:
            DependencyDown: The API server does not answer.
        """
        found = _ask(
            self._batch.list_namespaced_cron_job,
            self.namespace,
            label_selector=selector(JOB_LABEL, self.release),
        )
        runs = _ask(
            self._batch.list_namespaced_job,
            self.namespace,
            label_selector=selector(JOB_LABEL, self.release),
        ).items
        pods = _ask(self._core.list_namespaced_pod, self.namespace, label_selector=POD_OF).items
        newest = {
            (_release(run), run.metadata.labels[JOB_LABEL]): run
            for run in sorted(runs, key=lambda run: run.metadata.creation_timestamp)
        }
        jobs = [as_job(item) for item in found.items]
        with_runs = [
            replace(job, last_run=became(newest[place], pods)) if place in newest else job
            for job in jobs
            for place in [(job.release, job.name)]
        ]
        return sorted(with_runs, key=lambda job: (job.release, job.name))

    def cron_job(self, name: str) -> Any:
        """The CronJob object of a job.

        Raises:
            NotFound: There is no such job in the namespace.
            UsageError: Several Helm releases in the namespace have the job.
        """
        cron_jobs = _ask(
            self._batch.list_namespaced_cron_job,
            self.namespace,
            label_selector=selector(f"{JOB_LABEL}={name}", self.release),
        ).items
        if not cron_jobs:
            of = f" of release '{self.release}'" if self.release else ""
            raise NotFound(
                f"There is no job '{name}'{of} in namespace '{self.namespace}'.",
                hint="List them with 'streamflow jobs list'; choose the namespace with --namespace.",
            )
        refuse_several(name, self.namespace, cron_jobs)
        return cron_jobs[0]

    def start(self, name: str, by: str) -> str:
        """Start a job now, from its CronJob; return the name of the new Job.

        Args:
            name: Name of the job.
            by: Who starts it; becomes part of the Job's name and an annotation.

        Raises:
            NotFound: There is no such job in the namespace.
            UsageError: Several Helm releases in the namespace have the job.
        """
        return self.create(manual_job(self.cron_job(name), by, secrets.token_hex(3)))

    def create(self, job: Any) -> str:
        """Create a Job; return its name."""
        return str(_ask(self._batch.create_namespaced_job, self.namespace, job).metadata.name)

    def find(self, job_name: str) -> Any | None:
        """A Job by the name of its object; None if there is none."""
        try:
            return _ask(self._batch.read_namespaced_job, job_name, self.namespace)
        except NotFound:
            return None

    def log_lines(self, job_name: str) -> list[str]:
        """What the pods of a Job have logged until now, oldest pod first."""
        lines: list[str] = []
        for pod in self._pods(job_name):
            if pod.status.phase in _STARTED:
                with contextlib.suppress(StreamFlowError):  # The node of a pod may be lost, with its log.
                    lines += self._log(pod.metadata.name, follow=False)
        return lines

    def newest(self, name: str) -> str:
        """Name of a job's newest Job.

        Raises:
            NotFound: The job has not run, or its Jobs were cleaned up.
            UsageError: Several Helm releases in the namespace have run the job.
        """
        found = _ask(
            self._batch.list_namespaced_job,
            self.namespace,
            label_selector=selector(f"{JOB_LABEL}={name}", self.release),
        ).items
        if not found:
            raise NotFound(
                f"No run of '{name}' is left in namespace '{self.namespace}'.",
                hint=f"Start one with 'streamflow jobs run {name}'.",
            )
        refuse_several(name, self.namespace, found)
        return str(max(found, key=lambda item: item.metadata.creation_timestamp).metadata.name)

    def follow(self, job_name: str, timeout_seconds: float) -> Iterator[str]:
        """Yield the log lines of a Job's pods until the Job ends.

        Raises:
            StreamFlowError: The Job failed, or did not end in time.
        """
        deadline = time.monotonic() + timeout_seconds
        seen: set[str] = set()
        while True:
            # A Job starts another pod for each retry.
            for pod in self._pods(job_name):
                if pod.metadata.name not in seen and pod.status.phase in _STARTED:
                    seen.add(pod.metadata.name)
                    yield from self._log(pod.metadata.name)
            job = _ask(self._batch.read_namespaced_job, job_name, self.namespace)
            verdict = outcome(job)
            if verdict == "done":
                return
            said = became(job, self._pods(job_name))
            help_ = advice((job.metadata.labels or {}).get(JOB_LABEL, "NAME"), said)
            if verdict:
                how = f"was {said}" if said.startswith("killed") else "failed"
                raise StreamFlowError(f"Job {job_name} {how}: {verdict}", hint=help_ or "See its log above.")
            if help_ and said not in seen:
                seen.add(said)
                yield f"Job {job_name} is {said}. {help_}"
            if time.monotonic() > deadline:
                raise StreamFlowError(
                    f"Job {job_name} has not ended after {timeout_seconds:.0f} s.",
                    hint=f"It goes on; look with 'kubectl describe job {job_name}'.",
                )
            time.sleep(_POLL_SECONDS)

    def config_map(self, name: str) -> dict[str, str]:
        """The data of a ConfigMap.

        Raises:
            DependencyDown: The API server does not answer.
            NotFound: There is no such ConfigMap in the namespace.
        """
        found = _ask(
            self._core.read_namespaced_config_map, name, self.namespace, _request_timeout=_TIMEOUT_SECONDS
        )
        return dict(found.data or {})

    def write_config_map(self, name: str, data: Mapping[str, str]) -> None:
        """Set keys of an existing ConfigMap; other keys stay.

        Raises:
            DependencyDown: The API server does not answer.
            NotFound: There is no such ConfigMap in the namespace.
        """
        _ask(
            self._core.patch_namespaced_config_map,
            name,
            self.namespace,
            {"data": dict(data)},
            _request_timeout=_TIMEOUT_SECONDS,
        )

    def _pods(self, job_name: str) -> list[Any]:
        selector = f"{POD_OF}={job_name}"
        pods = _ask(self._core.list_namespaced_pod, self.namespace, label_selector=selector).items
        return sorted(pods, key=lambda pod: pod.metadata.creation_timestamp)

    def _log(self, pod: str, *, follow: bool = True) -> Iterator[str]:
        response = _ask(
            self._core.read_namespaced_pod_log,
            pod,
            self.namespace,
            container="job",
            follow=follow,
            _preload_content=False,
        )
        for line in response:
            yield line.decode(errors="replace").rstrip("\n")


def selector(job: str, release: str | None) -> str:
    """Extend a label selector to one Helm release, unless `release` is None. Pure."""
    return f"{job},{RELEASE_LABEL}={release}" if release else job


def refuse_several(name: str, namespace: str, found: Sequence[Any]) -> None:
    """Check that all objects of a job belong to one Helm release. Pure.

    Raises:
        UsageError: They belong to several; the message names them.
    """
    releases = sorted({_release(item) for item in found})
    if len(releases) > 1:
        raise UsageError(
            f"{len(releases)} releases in namespace '{namespace}' have a job '{name}': {', '.join(releases)}.",
            hint="Choose one with --release.",
        )


def _release(item: Any) -> str:
    return str((item.metadata.labels or {}).get(RELEASE_LABEL, ""))


def as_job(item: Any) -> ClusterJob:
    """Convert a CronJob object of the API. Pure."""
    zone = f" {item.spec.time_zone}" if item.spec.time_zone else ""
    return ClusterJob(
        name=item.metadata.labels[JOB_LABEL],
        object_name=item.metadata.name,
        schedule=f"{item.spec.schedule}{zone}",
        suspended=bool(item.spec.suspend),
        summary=(item.metadata.annotations or {}).get(SUMMARY, ""),
        release=_release(item),
        last_started=item.status.last_schedule_time if item.status else None,
        last_succeeded=item.status.last_successful_time if item.status else None,
        running=len((item.status and item.status.active) or []),
        after=tuple(filter(None, (item.metadata.annotations or {}).get(AFTER, "").split(","))),
    )


def manual_job(cron_job: Any, by: str, suffix: str, more_variables: Mapping[str, str] = _NONE) -> Any:
    """Make the Job that `kubectl create job --from=cronjob/…` would, annotated with who started it. Pure."""
    from kubernetes import client

    template = copy.deepcopy(cron_job.spec.job_template)
    if more_variables:
        (container,) = template.spec.template.spec.containers
        added = [client.V1EnvVar(name=name, value=value) for name, value in sorted(more_variables.items())]
        container.env = [*(container.env or []), *added]
    metadata = cron_job.metadata
    annotations = dict(template.metadata.annotations or {}) if template.metadata else {}
    return client.V1Job(
        api_version="batch/v1",
        kind="Job",
        metadata=client.V1ObjectMeta(
            name=job_object_name(metadata.name, by, suffix),
            labels=dict(template.metadata.labels or {}) if template.metadata else {},
            annotations=annotations | {"cronjob.kubernetes.io/instantiate": "manual", "streamflow.io/by": by},
            owner_references=[
                client.V1OwnerReference(
                    api_version="batch/v1", kind="CronJob", name=metadata.name, uid=metadata.uid
                )
            ],
        ),
        spec=template.spec,
    )


def job_object_name(cron_job: str, by: str, suffix: str) -> str:
    """Make a Job's name, at most 63 characters, from the user's: `streamflow-train-ada-1f2e3d`. Pure."""
    who = re.sub(r"[^a-z0-9]+", "-", by.lower()).strip("-")[:12].strip("-") or "manual"
    tail = f"-{who}-{suffix}"
    return cron_job[: _NAME_LENGTH - len(tail)].rstrip("-") + tail


def _ask(call: Any, *arguments: Any, **options: Any) -> Any:
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        return call(*arguments, **options)
    except ApiException as error:
        if error.status in (401, 403):
            raise StreamFlowError(
                f"The cluster refused the request: {error.reason}.",
                hint="Ask for the right to see and create Jobs, or to read and change the ConfigMap.",
            ) from error
        if error.status == 404:
            raise NotFound(f"The cluster has no such object: {arguments[0]}.") from error
        raise StreamFlowError(f"The cluster answered {error.status}: {error.reason}.") from error
    except HTTPError as error:
        raise DependencyDown(
            "The API server does not answer.", hint="Check KUBECONFIG, and that the cluster runs."
        ) from error


def _own_namespace() -> str:
    return Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read_text(encoding="utf-8").strip()
