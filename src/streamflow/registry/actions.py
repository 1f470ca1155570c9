"""Actions and facts of the audit trail by the names that the database stores; hashed rows cannot be renamed."""

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

REVERT_TO: Final = "take_back_to"
"""Fact of an external change that is to be reverted: the version that the alias is to point at again."""

NOT_BEFORE: Final = "not_before"
"""Fact of an external change: it was made after this time, that of the last reconciliation."""
