"""The flow `streamflow-month`: the jobs of a month one after the other, each as one task."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import date
from uuid import UUID

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from streamflow import settings as settings_module
from streamflow.errors import NotFound, StreamFlowError
from streamflow.flows import alive, approval, automations, chosen, form, harm, kept, order, pages
from streamflow.flows.order import Declared
from streamflow.flows.places import Place
from streamflow.flows.said import Said

INGEST, TRAIN, PROMOTE, SCORE, MONITOR = "ingest", "train", "promote", "score", "monitor"
_RETRY_SECONDS = 10
_WAIT_SECONDS = 5.0


class JobFailedError(StreamFlowError):
    """A job ended without success.

    Attributes:
        said: What it said.
    """

    def __init__(self, job: str, said: Said) -> None:
        super().__init__(
            f"The job '{job}' ended as '{said.outcome}': {said.why}",
            hint="Its log is that of the task. Mend the cause, then retry this flow run: it goes on with this job.",
        )
        self.said = said


def _title() -> str:
    as_of = runtime.flow_run.parameters.get("as_of")
    return (
        f"month {as_of}" if as_of else f"what is due, {runtime.flow_run.scheduled_start_time:%Y-%m-%d %H:%M}"
    )


@flow(name="streamflow-month", flow_run_name=_title, persist_result=False)
def month(as_of: date | None = None, *, ask: bool = True) -> None:
    """Ingest what is in the inbox, materialize it, train, score, monitor, each only if there is something new.

    Where monitoring shows harm that is to be answered by a training, it trains and scores once more.

    Where the policy of promotions is `manual`, a version that passes the gate then waits for a person's approval,
    who gives it in the form of this flow run. It is promoted, and all users are scored again.

    Args:
        as_of: Newest month to ingest, as the date of its drop; later drops wait in the inbox. Empty takes them all.
        ask: Whether to wait for an approval; without it, the version stays at staging.
    """
    settings = settings_module.load()
    with alive.marked(settings.home, str(runtime.flow_run.id)):
        place = chosen.place(settings.home, settings.prefect)
        _conduct(place, settings.promotion.policy, settings.retrain.policy, as_of, ask=ask)


def _conduct(place: Place, policy: str, retrain: str, as_of: date | None, *, ask: bool) -> None:
    declared = {job.name: job for job in place.declared()}
    dated = {"STREAMFLOW_INGEST__UNTIL": as_of.isoformat()} if as_of else {}
    month_key = as_of.isoformat() if as_of else "due"
    said = {
        job.name: _task(job)(job, f"{month_key}-{job.name}", dated if job.name == INGEST else {})
        for job in order.of_a_month(declared.values())
    }
    if harm.is_answered(retrain, said.get(MONITOR)):
        # Otherwise harm that this month's drop shows would be answered a month later.
        for name in (TRAIN, SCORE):
            said[name] = _task(declared[name])(declared[name], f"{month_key}-{name}-harm", {})
    trained = said.get(TRAIN)
    if not ask or trained is None or not approval.is_wanted(policy, trained):
        return
    version = int(trained.facts["version"])
    decided = form.ask(approval.question(trained.facts))
    get_run_logger().info("%s decided about version %s: %s", decided.by, version, decided.decision)
    if not decided.is_promotion:
        return
    asked = approval.parameters(version, decided.why, decided.by, f"prefect-{runtime.flow_run.id}")
    for name, parameters in ((PROMOTE, asked), (SCORE, {})):
        if name not in declared:
            raise NotFound(
                f"There is no job '{name}'.", hint="Upgrade StreamFlow's jobs, then retry this run."
            )
        _task(declared[name])(declared[name], f"{month_key}-{name}-approved", parameters)


def _task(job: Declared):  # type: ignore[no-untyped-def]  # Prefect's types of tasks depend on their parameters.
    return _run.with_options(
        name=job.name,
        description=job.summary,
        task_run_name=job.name,
        retries=job.retries,
        retry_delay_seconds=_RETRY_SECONDS,
    )


def _is_worth_repeating(_task: object, _run: object, state: object) -> bool:
    """Whether a failed job may succeed the next time: what was refused would be refused again."""
    error = state.result(raise_on_failure=False)  # type: ignore[attr-defined]
    return not isinstance(error, JobFailedError) or error.said.outcome in ("failed", "killed")


@task(cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=_is_worth_repeating)
def _run(job: Declared, key: str, parameters: Mapping[str, str]) -> Said:
    """Run one job, unless this flow run did so before it was interrupted.

    Args:
        job: The job.
        key: Names its run within the flow run.
        parameters: Environment variables that the job gets in addition.

    Raises:
        JobFailedError: The job did not succeed.
    """
    # Read here: what is passed to a task may be shown in Prefect.
    settings = settings_module.load()
    root = UUID(str(runtime.flow_run.root_flow_run_id or runtime.flow_run.id))
    said = kept.find(root, key)
    if said is None:
        place = chosen.place(settings.home, settings.prefect)
        said = _until_free(place, job, f"{root}-{key}", parameters)
        if said.outcome == "done":
            kept.keep(root, key, said)
            automations.told_month(list(said.facts.get("drops", ())) if job.name == INGEST else [])
    else:
        get_run_logger().info("This run did the job before it was interrupted.")
    create_markdown_artifact(
        key=f"streamflow-{job.name}", markdown=pages.page(job, said, settings.mlflow), description=job.summary
    )
    if said.outcome != "done":
        raise JobFailedError(job.name, said)
    return said


def _until_free(place: Place, job: Declared, key: str, parameters: Mapping[str, str]) -> Said:
    """Run a job; while another run of it is at work, wait and run it again."""
    logger = get_run_logger()
    deadline, attempt = time.monotonic() + job.deadline_seconds, 0
    while True:
        said = place.run(job, f"{key}-{attempt}" if attempt else key, parameters, logger.info)
        if said.outcome != "busy" or time.monotonic() > deadline:
            return said
        attempt += 1
        time.sleep(_WAIT_SECONDS)
