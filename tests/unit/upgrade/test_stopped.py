"""What an upgrade that stopped says."""

from pathlib import Path

import sqlalchemy as sa

from streamflow.errors import Busy, DependencyDown, StreamFlowError
from streamflow.upgrade.stopped import COPY, REAL, REAL_MLFLOW, explained

BACKUP = Path("backups/today")


def test_an_error_keeps_its_words_its_advice_and_its_exit_code():
    error = DependencyDown("MLflow does not answer.", hint="Start it.", details=("refused",))
    stopped = explained("migrate the copy", error, COPY, None)
    assert (
        stopped.what
        == "The upgrade stopped at this step: migrate the copy. The real databases are unchanged."
    )
    assert stopped.details == ("MLflow does not answer.", "refused")
    assert (stopped.hint, stopped.exit_code) == ("Start it.", 4)
    assert StreamFlowError.exit_code == 1


def test_a_statement_that_failed_is_told_without_rows():
    error = sa.exc.ProgrammingError("…", None, Exception('relation "x" exists\nDETAIL:  Key (user_id)=(A)'))
    stopped = explained("migrate the copy", error, COPY, None)
    assert stopped.details == ('Exception: relation "x" exists',)
    assert "--dry-run" in stopped.hint
    assert stopped.exit_code == 1


def test_it_says_what_of_the_real_databases_is_as_it_was():
    assert "rolled back" in explained("migrate", StreamFlowError("x"), REAL, BACKUP).what
    stopped = explained("migrate", StreamFlowError("x"), REAL_MLFLOW, BACKUP)
    assert f"The backup is in {BACKUP}" in stopped.what
    assert f"streamflow restore {BACKUP} --replace" in stopped.hint
    assert explained("migrate", Busy("x", hint="Stop it."), REAL_MLFLOW, BACKUP).hint == "Stop it."
