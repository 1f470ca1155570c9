"""Aliases of the registered model: the version that serves, the one that waits, and those on trial."""

from __future__ import annotations

from typing import Final, Literal

PRODUCTION: Final = "production"
"""The version that predict serves."""

STAGING: Final = "staging"
"""The version that waits to be promoted to production."""

CANARY: Final = "canary"
"""On trial: answers a share of the entities."""

CHALLENGER: Final = "challenger"
"""On trial: scored in shadow, never answered."""

PromotionAlias = Literal["production", "staging"]
TrialAlias = Literal["canary", "challenger"]

PROMOTION_ALIASES: Final[tuple[str, ...]] = (PRODUCTION, STAGING)
TRIAL_ALIASES: Final[tuple[str, ...]] = (CANARY, CHALLENGER)
ALL_ALIASES: Final[tuple[str, ...]] = (*PROMOTION_ALIASES, *TRIAL_ALIASES)
