"""Settings of monitoring: what counts as drift and as harm, and what a prediction is worth."""

from __future__ import annotations

from pydantic import Field

from streamflow.settings.section import Section


class MonitoringSettings(Section):
    """What counts as drift and as harm."""

    smallest_shift: float = Field(0.05, ge=0)
    """Smallest difference of a number's distribution that counts as drift, in standard deviations of the training set."""
    smallest_share: float = Field(0.02, ge=0, le=1)
    """Smallest difference of a share (of a category, of nulls) that counts as drift."""
    blind_shift: float = Field(0.5, gt=0)
    """A month that could not have shown a shift of this many standard deviations has too few rows for a verdict."""
    blind_share: float = Field(0.1, gt=0, le=1)
    """The same for shares."""
    harm_tolerance: float = Field(0.01, ge=0, le=1)
    """Increase of the Brier loss over that of the holdout which is not yet harm."""
    value_of_true_positive: float | None = None
    """What a positive prediction is worth that is right, for the estimated and realized profit; empty for no profit."""
    cost_of_false_positive: float | None = Field(None, ge=0)
    """What a positive prediction costs that is wrong."""
