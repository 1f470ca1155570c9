"""What an upgrade that stopped says: what happened, what is as it was, and what to do next."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from streamflow.errors import StreamFlowError

COPY, REAL, REAL_MLFLOW = "copy", "real", "MLflow"
"""Which databases a step works on."""

_AGAIN = "Stay with the present version until the cause is found; --dry-run tries again and changes nothing."


def explained(doing: str, error: Exception, works_on: str, backup: Path | None) -> StreamFlowError:
    """The error of an upgrade that stopped at a step. Pure.

    Args:
        doing: The step, as a progress line names it.
        error: What failed.
        works_on: The databases that the step works on: `COPY`, `REAL` or `REAL_MLFLOW`.
        backup: Folder of the backup that the upgrade took; None before there is one.
    """
    state = {
        COPY: "The real databases are unchanged.",
        REAL: "The migration was rolled back: StreamFlow's tables are unchanged.",
        REAL_MLFLOW: f"StreamFlow's tables are migrated; MLflow's database may not be. The backup is in {backup}.",
    }[works_on]
    lines, hint = _reason(error)
    stopped = StreamFlowError(
        f"The upgrade stopped at this step: {doing}. {state}",
        details=lines,
        hint=hint or _hint(works_on, backup),
    )
    if isinstance(error, StreamFlowError):
        stopped.exit_code = error.exit_code
    return stopped


def _reason(error: Exception) -> tuple[tuple[str, ...], str]:
    """What an error says, without rows of a table; and its advice."""
    if isinstance(error, StreamFlowError):
        return (error.what, *error.details), error.hint
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    # The lines after PostgreSQL's first may quote rows.
    first = (str(cause).strip().splitlines() or [""])[0]
    return (f"{type(cause).__name__}: {first}",), ""


def _hint(works_on: str, backup: Path | None) -> str:
    if works_on == REAL_MLFLOW:
        return f"Run it again; if MLflow's server does not start, restore: streamflow restore {backup} --replace."
    return _AGAIN
