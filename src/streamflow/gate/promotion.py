"""Recipe: take a version one step further; to production only through the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamflow.errors import Refused
from streamflow.model_version.aliases import PROMOTION_ALIASES, STAGING, PromotionAlias
from streamflow.registry import promote as registry
from streamflow.registry import versions
from streamflow.registry.history import Move
from streamflow.registry.transitions import ANY, check_step
from streamflow.settings import Settings

if TYPE_CHECKING:
    from streamflow.gate.decision import GateReport


def promote(
    settings: Settings,
    version: int,
    alias: PromotionAlias,
    *,
    why: str,
    by: str,
    expected: int | None = ANY,
    despite_gate: bool = False,
) -> Move:
    """Promote; the gate is asked before a version goes to production.

    Args:
        despite_gate: Promote even what the gate refuses; the history keeps that.

    Raises:
        NotFound: there is no such version.
        Refused: the gate says no; `details` has its reasons.
        And whatever `registry.promote` raises.
    """
    if alias == STAGING:
        return registry.promote(settings, version, alias, why=why, by=by, expected=expected)
    # Imported when needed: what the gate uses takes seconds to load.
    from streamflow.gate.decision import gate

    versions.get(settings, version)
    aliases = {name: versions.by_alias(settings, name) for name in PROMOTION_ALIASES}
    # What is no step is told before the work of the gate.
    check_step(aliases, version, alias)
    report = gate(settings, version)
    if not report.passed and not despite_gate:
        raise Refused(
            f"The gate refuses version {version}.",
            details=report.failures,
            hint=f"See 'streamflow gate {version}'. Train a better version, or promote with --despite-gate.",
        )
    # What was judged is what is replaced: a champion that changed meanwhile is a conflict.
    return registry.promote(
        settings,
        version,
        alias,
        why=why,
        by=by,
        expected=report.champion if expected == ANY else expected,
        gate=summary(report, despite=not report.passed),
    )


def summary(report: GateReport, *, despite: bool) -> dict[str, Any]:
    """What the history keeps of a report. Pure."""
    return {
        "verdict": "overruled" if despite else report.verdict,
        "report": f"{report.artifact}.json",
        "report_sha256": report.sha256,
        "rules": {rule.name: rule.passed for rule in report.rules},
        "reasons": list(report.failures),
    }
