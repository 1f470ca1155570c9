"""Whether the jobs of a month answer the harm that they have shown."""

from __future__ import annotations

from streamflow.flows.said import Said


def is_answered(policy: str, monitored: Said | None) -> bool:
    """Whether to train again: on harm alone does a training start, and monitoring has just shown some. Pure.

    Args:
        policy: What starts a scheduled training.
        monitored: What the job `monitor` said; None if it is no part of the month.
    """
    return policy == "on_harm" and monitored is not None and monitored.facts.get("harm_id") is not None
