"""The gate's report on a version: what was decided, why, from which facts and under which limits."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from streamflow.gate.facts import Facts
from streamflow.gate.rules import Rule, judge
from streamflow.settings import PromotionSettings

PASSED, FAILED, OVERRULED = "passed", "failed", "overruled"
_FOLDER = "gate"
_NO_LIMITS = {
    "registrar_port",
    "api_port",
    "api_keys_file",
    "signing_key_file",
    "head_file",
    "head_config_map",
}
"""Settings of promotions that say where the registrar's ports and files are."""


@dataclass(frozen=True)
class GateReport:
    """What the gate says about a version.

    Attributes:
        model: Registered model.
        version: The version that is judged.
        champion: The version it was judged against; None when nothing is in production.
        verdict: `passed` or `failed`.
        judged_at: When, ISO 8601.
        rules: Every rule with its reason.
        facts: What the rules looked at.
        limits: The settings they used.
        artifact: Path of the report below the version's run, without a suffix.
    """

    model: str
    version: int
    champion: int | None
    verdict: str
    judged_at: str
    rules: tuple[Rule, ...]
    facts: dict[str, Any]
    limits: dict[str, Any]
    artifact: str

    @property
    def text(self) -> str:
        """The report as it is stored: JSON."""
        return json.dumps(asdict(self), indent=2)

    @property
    def sha256(self) -> str:
        """Digest of the stored report; the audit trail has it too."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def passed(self) -> bool:
        """Whether every rule passed."""
        return self.verdict == PASSED

    @property
    def failures(self) -> tuple[str, ...]:
        """Reasons of the rules that failed."""
        return tuple(f"{rule.name}: {rule.reason}" for rule in self.rules if not rule.passed)

    def summary(self, *, despite: bool = False) -> dict[str, Any]:
        """What the audit trail says of the report.

        Args:
            despite: The version is promoted although the gate refused it.
        """
        return {
            "verdict": OVERRULED if despite else self.verdict,
            "report": f"{self.artifact}.json",
            "report_sha256": self.sha256,
            "rules": {rule.name: rule.passed for rule in self.rules},
            "reasons": list(self.failures),
        }


def report_on(facts: Facts, limits: PromotionSettings, model: str, now: datetime) -> GateReport:
    """Apply the rules to the facts. Pure.

    Args:
        facts: The facts about the version.
        limits: The limits to apply.
        model: Registered model.
        now: Time of the judgement, UTC.
    """
    rules = judge(facts, limits)
    against = f"against-{facts.champion}" if facts.champion is not None else "first"
    return GateReport(
        model=model,
        version=facts.version,
        champion=facts.champion,
        verdict=PASSED if all(rule.passed for rule in rules) else FAILED,
        judged_at=now.isoformat(timespec="seconds"),
        rules=rules,
        facts=_as_json(facts),
        limits=limits.model_dump(mode="json", exclude=_NO_LIMITS),
        # A version that is judged again gets another report; the audit trail names the one that counted.
        artifact=f"{_FOLDER}/version-{facts.version}-{against}-{now:%Y%m%dT%H%M%S.%fZ}",
    )


def _as_json(facts: Facts) -> dict[str, Any]:
    """The facts as JSON values, without the contract, which is a file of the version already."""
    fields = asdict(facts)
    del fields["contract"]
    document: dict[str, Any] = json.loads(json.dumps(fields, default=str))
    return document
