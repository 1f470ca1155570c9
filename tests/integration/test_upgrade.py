"""Upgrade a database by an upgrade's steps: rehearsed on a copy, and the real one migrated last."""

import pytest
import sqlalchemy as sa

from earlier_revisions import undo_complete_scores, undo_partitions, undo_shards
from streamflow.backup import dump as dumps
from streamflow.errors import Busy, StreamFlowError
from streamflow.postgres import catalog
from streamflow.postgres.engine import session, transaction
from streamflow.schema import migrate, prepare, swap
from streamflow.settings import BackupSettings
from streamflow.upgrade import steps
from streamflow.upgrade.ask import Present

pytestmark = pytest.mark.postgres


@pytest.fixture
def earlier(settings, tmp_path):
    """A database at the revision before the newest, on a server without MLflow's database."""
    with transaction(settings.database) as connection:
        undo_complete_scores(connection)
        undo_shards(connection)
        undo_partitions(connection)
        connection.execute(sa.text("DROP SCHEMA monitoring CASCADE"))
        connection.execute(sa.text("DROP INDEX streamflow.scores_by_scoring"))
        connection.execute(sa.text("ALTER TABLE streamflow.job_runs DROP COLUMN start_id"))
        connection.execute(sa.text("DROP TABLE streamflow.job_starts"))
        connection.execute(sa.text("DROP FUNCTION streamflow.sign_start"))
        connection.execute(sa.text("UPDATE streamflow.alembic_version SET version_num = '0016'"))
    database = settings.database.model_copy(update={"mlflow_name": "of_nobody"})
    backup = BackupSettings(folder=tmp_path / "backups", artifacts=False)
    return settings.model_copy(update={"database": database, "backup": backup})


def upgrade(settings, *, dry_run=False):
    def never(*_):
        pytest.fail("MLflow's database is not on this server")

    told = []
    real = steps.Real(lambda: migrate.migrate(settings.database), never, never)
    present = Present(settings.predict.url, "")
    done = steps.upgrade(settings.backends, settings.backup, present, real, told.append, dry_run=dry_run)
    return done, told


def contents(settings):
    """Revision, and every table with its rows."""
    with transaction(settings.database) as connection:
        return migrate.current(connection), dumps.tables(connection)


def databases(settings):
    with session(settings.database, prepare.MAINTENANCE_DATABASE) as connection:
        return catalog.databases(connection)


def test_a_dry_run_migrates_the_copy_alone_and_a_run_the_real_database_too(earlier):
    before = contents(earlier)
    rehearsed, told = upgrade(earlier, dry_run=True)
    assert (rehearsed.from_revision, rehearsed.revision, rehearsed.migrated) == (
        "0016",
        migrate.newest(),
        False,
    )
    assert contents(earlier) == before
    assert "The copy is deleted." in told
    assert any(line.startswith("No predictions were asked for") for line in told)
    done, _ = upgrade(earlier)
    assert (done.revision, done.migrated, done.mlflow) == (migrate.newest(), True, "elsewhere")
    assert contents(earlier)[0] == migrate.newest()
    assert done.backup != rehearsed.backup
    assert dumps.read(done.backup).revision == "0016"


def test_a_migration_that_fails_on_the_copy_leaves_the_real_database_untouched(earlier):
    with transaction(earlier.database) as connection:
        # In the way of the table that the next migration creates.
        connection.execute(sa.text("CREATE TABLE streamflow.job_starts (somebody text)"))
        connection.execute(sa.text("INSERT INTO streamflow.job_starts VALUES ('a row')"))
    before = contents(earlier)
    with pytest.raises(StreamFlowError) as caught:
        upgrade(earlier)
    assert "at this step: migrate the copy" in caught.value.what
    assert "The real databases are unchanged" in caught.value.what
    assert caught.value.details == ('DuplicateTable: relation "job_starts" already exists',)
    assert "--dry-run" in caught.value.hint
    assert contents(earlier) == before
    assert earlier.database.name + swap.RESTORING not in databases(earlier)


def test_mlflows_database_is_not_migrated_while_somebody_uses_it(settings, monkeypatch):
    monkeypatch.setattr(steps, "SESSIONS_SECONDS", 0.1)
    with session(settings.database, settings.database.name) as connection:
        connection.execute(sa.text("SELECT 1"))
        with pytest.raises(Busy, match=f"in use by {settings.database.user}"):
            steps.check_unused(settings.database)
