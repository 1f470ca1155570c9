"""Settings of what starts a scheduled training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from streamflow.settings.section import Section


class RetrainSettings(Section):
    """What starts a scheduled training."""

    policy: Literal["every_drop", "on_harm"] = "every_drop"
    """Whether the job `train` trains on every new drop, or only once monitoring has shown that the version in production
    does harm."""
    max_age_days: int | None = Field(None, ge=1)
    """With `on_harm`: days after which a version in production is trained anew on the next drop, harm or not; None for no
    limit."""
