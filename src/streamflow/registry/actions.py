"""Actions and facts of the audit trail by the names that the database stores; hashed rows cannot be renamed."""

from __future__ import annotations

from typing import Final

PROMOTE: Final = "promote"
ROLLBACK: Final = "rollback"

DEMOTE: Final = "demote"
"""The alias stands for no version since."""

RESUME: Final = "resume"
"""Scheduled trainings may promote again, after a rollback or a demotion had paused that."""

EXTERNAL: Final = "outside"
"""A request made in MLflow, by moving the alias or a stage there, or over the API was refused. In rows of earlier
releases: it was moved there, and that was accepted."""

REVERT: Final = "revert"
"""In rows of earlier releases: an external change was undone."""

ABANDON: Final = "abandon"
"""In rows of earlier releases: a move was announced and never done."""

START_TRIAL: Final = "trial"
END_TRIAL: Final = "end trial"

ACKNOWLEDGE: Final = "acknowledge"
"""Rows of the trail were lost, and somebody gave the reason."""

ASKED_BY: Final = "detected"
"""Fact of a move that was asked for in MLflow: whether the alias was moved there, or a stage."""

ASKED_AT: Final = "asked_at"
"""Fact of a move that was asked for in MLflow: when, if MLflow's server records it."""

REQUESTED: Final = "requested"
"""Fact of a refused request: the version that was asked for; None to take away the one that is there."""

REFUSED: Final = "refused"
"""Fact of a refused request: why."""

REQUEST: Final = "request"
"""Fact of a row that answers a request made over the API: its id. With the row, the database marks it answered."""

NOT_BEFORE: Final = "not_before"
"""Fact of an external change in rows of earlier releases: it was made after this time, that of the last look."""

ANCHOR: Final = "anchor"
"""Fact of an acknowledgement: the newest row that was lost, as "number:hash"."""

LOSSES: Final = {ACKNOWLEDGE: ANCHOR}
"""Actions that state a loss of rows, and the fact that names the newest row lost."""
