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

RESTORE: Final = "restore"
"""The databases were replaced by those of a backup. The row moves nothing."""

BACKUP: Final = "backup"
"""Fact of a restore: name of the backup's folder. The facts `made_at` and `manifest_sha256` say which one it is."""

FORMER_HEAD: Final = "former_head"
"""Fact of a restore: newest row of the replaced trail, as "number:hash"; None if it had no rows."""

ANCHOR: Final = "anchor"
"""Fact of an acknowledgement or a restore: newest row that MLflow named before it, as "number:hash". After a total loss
it may be all that is known."""

LOST: Final = "lost"
"""Fact of a restore: rows of the replaced trail that are not in the restored one, oldest first; at most 200."""

LOST_COUNT: Final = "lost_count"
"""Fact of a restore: how many rows of the replaced trail are not in the restored one."""

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

LOSSES: Final = {ACKNOWLEDGE: (ANCHOR,), RESTORE: (FORMER_HEAD, ANCHOR)}
"""Actions that state a loss of rows, and the facts that may name the newest row lost."""
