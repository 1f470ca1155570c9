"""When a person is to decide about a version, what is asked, and what the answer has the job `promote` do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from streamflow.flows.said import Said
from streamflow.model_version.asked import one_line

PROMOTE: Literal["promote"] = "promote"
LEAVE: Literal["leave at staging"] = "leave at staging"


def is_wanted(policy: str, trained: Said) -> bool:
    """Whether a person is to decide: the training made a version that passed the gate and was not promoted. Pure."""
    facts = trained.facts
    return (
        policy == "manual"
        and facts.get("version") is not None
        and facts.get("gate") == "passed"
        and not facts.get("promoted")
    )


def question(facts: Mapping[str, Any]) -> str:
    """What the form says above its fields, in Markdown. Pure."""
    auc = facts.get("auc")
    measured = f" Its AUC on the holdout is {auc:.4f}." if auc is not None else ""
    return (
        f"Version {facts['version']} passed the gate and waits at staging.{measured} The artifact `streamflow-train`"
        " links to its page in MLflow, which has the gate's report. Shall it be served?"
    )


def parameters(version: int, why: str, by: str, key: str) -> dict[str, str]:
    """What the job `promote` asks the registrar for, as environment variables. Pure.

    Args:
        version: Number of the version.
        why: The reason, for the ledger.
        by: Who decided, as they are named in the form.
        key: The same for the same request, so that it is never made twice.
    """
    return {
        "STREAMFLOW_REQUEST__VERSION": str(version),
        "STREAMFLOW_REQUEST__WHY": one_line(why),
        "STREAMFLOW_REQUEST__BY": f"prefect:{one_line(by)}",
        "STREAMFLOW_REQUEST__KEY": key,
    }
