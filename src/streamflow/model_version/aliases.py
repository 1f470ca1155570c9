"""Aliases of the registered model: two for promotion and two for trials."""

from __future__ import annotations

from typing import Final, Literal

PRODUCTION: Final = "production"
"""Version that the predict service serves."""

STAGING: Final = "staging"
"""Version that waits to be promoted to production."""

CANARY: Final = "canary"
"""Version on trial that answers requests for a share of the entities."""

CHALLENGER: Final = "challenger"
"""Version on trial that scores requests in shadow; clients never receive its predictions."""

PromotionAlias = Literal["production", "staging"]
TrialAlias = Literal["canary", "challenger"]

PROMOTION_ALIASES: Final[tuple[str, ...]] = (PRODUCTION, STAGING)
TRIAL_ALIASES: Final[tuple[str, ...]] = (CANARY, CHALLENGER)
ALL_ALIASES: Final[tuple[str, ...]] = (*PROMOTION_ALIASES, *TRIAL_ALIASES)
