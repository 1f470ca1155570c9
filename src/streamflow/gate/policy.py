"""Whether a judged version takes over by itself, or waits for a person. Pure."""

from __future__ import annotations

from typing import Literal

from streamflow.gate.report import GateReport


def takes_over(report: GateReport, policy: Literal["manual", "automatic"], paused: str) -> tuple[bool, str]:
    """Whether the challenger goes to production now, and why.

    Args:
        report: What the gate said.
        policy: Whether what passes is promoted without a person.
        paused: Why automatic promotion is paused; "" when it is not.
    """
    if not report.passed:
        return False, f"the gate refused it: {'; '.join(report.failures)}"
    against = f"against version {report.champion}" if report.champion is not None else "as the first version"
    if policy == "automatic" and paused:
        return False, f"passed the gate {against} and waits: {paused}"
    if policy == "automatic":
        return True, f"passed the gate {against}"
    return False, (
        f"passed the gate {against} and waits for a person: streamflow models promote {report.version} --why …"
    )
