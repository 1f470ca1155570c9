"""Recipe: repeat a run inside the image that it was made in, as a Job on the cluster.

The Job is that of the train schedule with another image and another command: the same role, volumes, network rules
and resources. Its log ends with the JSON document of `streamflow reproduce RUN --json`.
"""

from __future__ import annotations

import copy
import json
import secrets
from collections.abc import Callable
from typing import Any

from streamflow.cluster.jobs import JOB_LABEL, Cluster, manual_job
from streamflow.errors import NotFound, StreamFlowError, UsageError
from streamflow.mlflow_api.transport import registry, tags_of
from streamflow.model_version import tags as version_tags
from streamflow.settings import MlflowSettings

TRAIN = "train"
REPRODUCE = "reproduce"
_CONTAINER = "job"


def reproduce_in_image(
    cluster: Cluster,
    run_id: str,
    image: str,
    by: str,
    *,
    timeout_seconds: float,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Start the Job, follow it, and return its document: verdict, exit_code and layers.

    Args:
        cluster: Cluster and namespace to run in.
        run_id: Run to repeat.
        image: Image to run.
        by: Who asks for it.
        timeout_seconds: Longest time to wait.
        tell: Called with each line of the Job's log.

    Raises:
        NotFound: The cluster has no train schedule.
        StreamFlowError: The Job ended without a verdict.
    """
    job = reproduce_job(cluster.cron_job(TRAIN), run_id, image, by, secrets.token_hex(3))
    name = cluster.create(job)
    lines: list[str] = []
    failure: StreamFlowError | None = None
    try:
        for line in cluster.follow(name, timeout_seconds):
            lines.append(line)
            tell(line)
    except StreamFlowError as error:
        # A run that differs exits with 1, so its Job fails; the verdict in the log counts.
        failure = error
    document = verdict_in(lines)
    if document is None:
        raise StreamFlowError(
            f"Job {name} ended without a verdict" + (f": {failure.what}" if failure else "."),
            hint=f"Look at its log and its pod: kubectl -n {cluster.namespace} describe job {name}",
        )
    return document


def recorded_image(mlflow: MlflowSettings, run_id: str) -> str:
    """The image that a run was made in.

    Raises:
        NotFound: There is no such run.
        UsageError: It was not made in an image.
        DependencyDown: MLflow does not answer.
    """
    with registry(mlflow) as client:
        try:
            tags = tags_of(client.run(run_id))
        except NotFound as error:
            raise NotFound(f"There is no run {run_id}.", hint="See 'streamflow models list'.") from error
    image = tags.get(version_tags.ENV_IMAGE, "")
    if not image:
        raise UsageError(
            f"Run {run_id} was not made in an image.",
            hint="Name one with --image, or reproduce it here: omit --in-image.",
        )
    return image


def reproduce_job(cron_job: Any, run_id: str, image: str, by: str, suffix: str) -> Any:
    """The train schedule's Job with the image and the command of a reproduction. Pure.

    It is tried once, and has a label of its own so that it does not count as a training.
    """
    job = manual_job(cron_job, by, suffix)
    job.metadata.name = job.metadata.name.replace(f"-{TRAIN}-", f"-{REPRODUCE}-", 1)
    job.metadata.labels = {**job.metadata.labels, JOB_LABEL: REPRODUCE}
    job.spec = copy.deepcopy(job.spec)
    job.spec.backoff_limit = 0
    job.spec.pod_failure_policy = None
    for container in job.spec.template.spec.containers:
        if container.name == _CONTAINER:
            container.image = image
            container.command = ["streamflow", "reproduce", run_id, "--json"]
            for variable in container.env or []:
                if variable.name == "STREAMFLOW_BUILD__IMAGE":
                    variable.value = image
    return job


def verdict_in(lines: list[str]) -> dict[str, Any] | None:
    """The last JSON document with a verdict among the lines of a log; None without one. Pure."""
    text = "\n".join(lines)
    decoder = json.JSONDecoder()
    for start in reversed([i for i, c in enumerate(text) if c == "{" and (i == 0 or text[i - 1] == "\n")]):
        try:
            document, _ = decoder.raw_decode(text, start)
        except ValueError:
            continue
        if "verdict" in document and "exit_code" in document:
            return dict(document)
    return None
