"""What one entity gets: a probability, or the problem why there is none."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow.model_version.aliases import PRODUCTION
from streamflow.predict.features.read_plan import FeatureRow
from streamflow.predict.models.live_model import Served
from streamflow.predict.problems import Problem


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer for one entity: a probability or a problem, never both.

    Attributes:
        key: The entity.
        served: The release that answered; all outcomes of one batch have the same.
        row: What the online store holds of the entity.
        probability: Probability of the positive class; None with a problem.
        problem: Why there is none.
        alias: Alias of the release: `production`, `canary`, or `challenger` in shadow.
    """

    key: str
    served: Served
    row: FeatureRow
    probability: float | None
    problem: Problem | None
    alias: str = PRODUCTION

    @property
    def prediction(self) -> bool:
        """Whether the probability reaches the contract's threshold."""
        return (self.probability or 0.0) >= self.served.release.contract.threshold
