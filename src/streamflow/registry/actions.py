"""What a row of the audit trail says was done, as the database stores it."""

from __future__ import annotations

from typing import Final

PROMOTE: Final = "promote"
ROLLBACK: Final = "rollback"

EXTERNAL: Final = "outside"
"""An external change: the alias or a stage was moved in MLflow, not through StreamFlow."""

REVERT: Final = "revert"
"""An external change was undone."""

ABANDON: Final = "abandon"
"""A move was announced and never done."""

START_TRIAL: Final = "trial"
END_TRIAL: Final = "end trial"

ACKNOWLEDGE: Final = "acknowledge"
"""Rows of the trail were lost, and somebody gave the reason."""
