"""The step at which a person decides about a version, where the policy of promotions is `manual`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from prefect import suspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from streamflow.flows.said import Said

KEY = "approval"
PROMOTE: Literal["promote"] = "promote"


class Approval(RunInput):
    """The form."""

    decision: Literal["promote", "leave at staging"] = Field(description="What becomes of the version.")
    why: str = Field(min_length=1, max_length=1000, description="The reason, for the ledger of promotions.")
    by: str = Field(min_length=1, max_length=100, description="Who decides, for the ledger of promotions.")


def is_wanted(policy: str, trained: Said) -> bool:
    """Whether a person is to decide: the training made a version that passed the gate and was not promoted. Pure."""
    facts = trained.facts
    return (
        policy == "manual"
        and facts.get("version") is not None
        and facts.get("gate") == "passed"
        and not facts.get("promoted")
    )


def ask(trained: Said) -> Approval:
    """Suspend the flow run until somebody fills in the form; its process ends, and a new one goes on with the answer."""
    described = Approval.with_initial_data(description=question(trained.facts))
    # A time limit would fail a run that waits for somebody who is on holiday; 'None' is no limit.
    answer: Approval = suspend_flow_run(wait_for_input=described, timeout=None, key=KEY)
    return answer


def question(facts: Mapping[str, Any]) -> str:
    """What the form says above its fields, in Markdown. Pure."""
    auc = facts.get("auc")
    measured = f" It has an AUC of {auc:.4f} on the holdout." if auc is not None else ""
    return (
        f"Version {facts['version']} passed the gate and waits at staging: {facts.get('why', '')}.{measured}"
        " The artifact `streamflow-train` links to its page in MLflow. Is it to be served?"
    )


def parameters(version: int, approval: Approval, key: str) -> dict[str, str]:
    """What the job `promote` is to ask the registrar for, as environment variables. Pure."""
    return {
        "STREAMFLOW_REQUEST__VERSION": str(version),
        "STREAMFLOW_REQUEST__WHY": approval.why,
        "STREAMFLOW_REQUEST__BY": f"prefect:{approval.by}",
        "STREAMFLOW_REQUEST__KEY": key,
    }
