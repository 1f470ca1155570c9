"""What became of a Job, and what to do when it was killed or cannot start. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

POD_OF = "batch.kubernetes.io/job-name"
"""Label of a pod with the name of its Job."""
_KILLED = 137
"""Exit code of a container that was ended by SIGKILL."""
_COMES = ("", "ContainerCreating", "PodInitializing")
"""Reasons for which a container waits at every start."""
_DEADLINE = "DeadlineExceeded"
_NO_IMAGE = "Check images.platform, global.imageRegistry and global.imagePullSecrets in the chart's values."
_ADVICE = {
    "OOMKilled": "Raise jobs.{name}.resources.limits.memory in the chart's values.",
    _DEADLINE: "Raise jobs.{name}.deadlineSeconds in the chart's values.",
    "Evicted": "Its node ran short of memory or disk: raise jobs.{name}.resources.requests in the chart's values.",
    "Unschedulable": "No node has room for it: lower jobs.{name}.resources.requests in the chart's values.",
    "ErrImagePull": _NO_IMAGE,
    "ImagePullBackOff": _NO_IMAGE,
    "InvalidImageName": _NO_IMAGE,
    "CreateContainerConfigError": "A Secret or ConfigMap that it reads is missing: see 'kubectl describe pod'.",
}


def outcome(job: Any) -> str:
    """Return "done", the reason why the Job failed, or "" while it is running."""
    condition = _end(job)
    if condition is None:
        return ""
    return "done" if condition.type == "Complete" else f"{condition.reason}: {condition.message}"


def became(job: Any, pods: Sequence[Any]) -> str:
    """Return what became of a Job: `done`, `running`, `failed`, or `waiting` or `killed` with Kubernetes' reason.

    Args:
        job: The Job.
        pods: Pods of this and other Jobs.
    """
    end = _end(job)
    if end is not None and end.type == "Complete":
        return "done"
    if end is not None and end.reason == _DEADLINE:
        return f"killed ({_DEADLINE})"
    own = [pod for pod in pods if (pod.metadata.labels or {}).get(POD_OF) == job.metadata.name]
    for pod in sorted(own, key=lambda pod: pod.metadata.creation_timestamp)[-1:]:
        if why := _killed(pod):
            return f"killed ({why})"
        if end is None and (why := _waits_for(pod)):
            return f"waiting ({why})"
    return "running" if end is None else "failed"


def advice(name: str, said: str) -> str:
    """What to do about what became of a job; "" when its log says more.

    Args:
        name: Name of the job.
        said: What `became` said.
    """
    return _ADVICE.get(said.partition("(")[2].rstrip(")"), "").format(name=name)


def _end(job: Any) -> Any | None:
    """The condition that says how the Job ended; None while it is running."""
    for condition in (job.status and job.status.conditions) or []:
        if condition.status == "True" and condition.type in ("Complete", "Failed"):
            return condition
    return None


def _killed(pod: Any) -> str:
    for container in pod.status.container_statuses or []:
        ended = container.state.terminated
        if ended is not None and ended.exit_code == _KILLED:
            return str(ended.reason)
    # The pod and not its container: evicted, or its node is lost.
    return str(pod.status.reason) if pod.status.phase == "Failed" and pod.status.reason else ""


def _waits_for(pod: Any) -> str:
    """Why the pod does not start; "" when it does."""
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return str(condition.reason)
    for container in [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]:
        waiting = container.state.waiting
        if waiting is not None and (waiting.reason or "") not in _COMES:
            return str(waiting.reason)
    return ""
