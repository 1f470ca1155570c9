"""Older code runs on a database that newer code migrated, as after `helm rollback`. On a real PostgreSQL."""

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from streamflow.cli.db import app
from streamflow.errors import DependencyDown
from streamflow.postgres.engine import transaction
from streamflow.schema import migrate, prepare

pytestmark = pytest.mark.postgres
LATER = "9999"


def plant(settings, revision):
    with transaction(settings.database) as connection:
        connection.execute(
            sa.text("UPDATE streamflow.alembic_version SET version_num = :revision"), {"revision": revision}
        )


@pytest.fixture
def rolled_back(settings):
    plant(settings, LATER)
    return settings


def test_a_later_revision_is_left_as_it_is(rolled_back):
    assert migrate.migrate(rolled_back.database) == LATER
    with transaction(rolled_back.database) as connection:
        assert migrate.current(connection) == LATER


def test_nobody_waits_for_an_earlier_revision(rolled_back):
    prepare.wait(rolled_back.database, rolled_back.feast.repo, "migrated", 0)
    prepare.stamp(rolled_back.database, rolled_back.feast.repo)
    prepare.wait(rolled_back.database, rolled_back.feast.repo, "applied", 0)


def test_an_earlier_revision_is_still_waited_for(settings):
    plant(settings, "0001")
    with pytest.raises(DependencyDown, match="at revision '0001'"):
        prepare.wait(settings.database, settings.feast.repo, "migrated", 0)


@pytest.mark.parametrize("command", ["migrate", "check"])
def test_the_commands_say_that_the_database_is_newer(rolled_back, command):
    said = CliRunner().invoke(app, [command], catch_exceptions=False)
    assert said.exit_code == 0
    assert f"at revision {LATER}, which a newer version created" in said.stdout
