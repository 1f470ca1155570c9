"""The answer for one entity: a probability, or a problem."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow.http.problems import Problem
from streamflow.model_version.aliases import PRODUCTION
from streamflow.predict.features.read_plan import FeatureRow
from streamflow.predict.models.live_model import Served


@dataclass(frozen=True, slots=True)
class Outcome:
    """A probability or a problem, never both.

    Attributes:
        key: Key of the entity.
        served: The release that answered.
        row: The entity's feature values.
        probability: Probability of the positive class; None with a problem.
        problem: Why there is no probability; None with one.
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
