"""Decide whether a training starts: for a new drop, for harm that was shown, or for the age of the version. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from streamflow.settings import RetrainSettings

ANSWERS = "answers_harm"
"""Fact of the audit trail: the verdict that the training of a version answers. A statement in `queries.sql` reads it."""


@dataclass(frozen=True)
class Harm:
    """A verdict that the version in production does harm, which no training has answered.

    Attributes:
        harm_id: Number of the verdict.
        basis: `estimated` or `realized`.
        as_of: Month that was judged.
        loss: Mean loss of the month.
        loss_low: Lower bound of its expected loss.
        reference_high: Upper bound of the expected loss on the holdout.
        tolerance: Increase over it that is not yet harm.
    """

    harm_id: int
    basis: str
    as_of: datetime
    loss: float
    loss_low: float
    reference_high: float
    tolerance: float

    def facts(self) -> dict[str, Any]:
        """The verdict as a fact of the audit trail."""
        return {ANSWERS: {**self.__dict__, "as_of": self.as_of.date().isoformat()}}


@dataclass(frozen=True)
class InProduction:
    """The version in production.

    Attributes:
        version: Number of the version.
        trained_at: When it was trained; None if that is not recorded.
        now: The time of the database.
        harm: Newest verdict that it does harm and that no training has answered; None without one.
    """

    version: int
    trained_at: datetime | None
    now: datetime
    harm: Harm | None = None


@dataclass(frozen=True)
class Start:
    """Whether a training starts.

    Attributes:
        trains: Whether it does.
        why: The reason; empty if every new drop starts one.
        harm: The verdict that it answers; None if something else starts it.
    """

    trains: bool
    why: str = ""
    harm: Harm | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What the audit trail keeps of the verdict; empty without one."""
        return self.harm.facts() if self.harm else {}

    def because(self, text: str) -> str:
        """A sentence about the training, with the reason for it."""
        return f"{text}, because {self.why}" if self.why else text


def decide(rules: RetrainSettings, production: InProduction | None, *, new_drop: bool) -> Start:
    """Decide whether a training starts.

    Args:
        rules: What starts a training.
        production: The version in production; None without one.
        new_drop: Whether there is a drop that no training knew.
    """
    if rules.policy == "on_harm" and production is not None and production.harm is not None:
        # Also without a new drop: a person may have trained on it, and discarded the version.
        return Start(trains=True, why=_said(production.version, production.harm), harm=production.harm)
    if not new_drop:
        return Start(trains=False, why="no drop is new since the last training")
    if rules.policy == "every_drop":
        return Start(trains=True)
    if production is None:
        return Start(trains=True, why="no version is in production")
    if rules.max_age_days is not None and production.trained_at is not None:
        age = production.now - production.trained_at
        if age > timedelta(days=rules.max_age_days):
            return Start(
                trains=True,
                why=f"version {production.version} was trained {age.days} days ago, more than"
                f" STREAMFLOW_RETRAIN__MAX_AGE_DAYS={rules.max_age_days}",
            )
    return Start(
        trains=False, why=f"a drop is new, but monitoring shows no new harm by version {production.version}"
    )


def _said(version: int, harm: Harm) -> str:
    return (
        f"version {version} does harm: its {harm.basis} loss as of {harm.as_of:%Y-%m-%d} is at least {harm.loss_low:.4f},"
        f" more than {harm.reference_high + harm.tolerance:.4f} (verdict {harm.harm_id})"
    )
