"""Processes reconnect after the password of their role, and its file in the mounted Secret, have changed."""

import asyncio
import uuid

import pytest
import sqlalchemy as sa

from streamflow.errors import DependencyDown
from streamflow.http.problems import ProblemError
from streamflow.postgres.engine import transaction
from streamflow.postgres.names import quote
from streamflow.predict.features.connections import Connection
from streamflow.settings import DatabaseSettings

pytestmark = pytest.mark.postgres


@pytest.fixture
def role(settings, tmp_path):
    """Settings of a new role whose password is in a file."""
    name, file = f"rotated_{uuid.uuid4().hex[:8]}", tmp_path / "password"
    file.write_text("old")
    with transaction(settings.database) as connection:
        connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN PASSWORD 'old'")
    yield DatabaseSettings(**settings.database.model_dump() | {"user": name, "password_file": file})
    with transaction(settings.database) as connection:
        connection.exec_driver_sql(f"DROP ROLE {name}")


def rotate(settings, role):
    """Change the role's password and end its connections; the file still has the old password."""
    with transaction(settings.database) as connection:
        connection.exec_driver_sql(f"ALTER ROLE {quote(role.user)} PASSWORD 'new'")
        connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = :user"),
            {"user": role.user},
        )


@pytest.mark.fault("F34")
def test_predicts_lane_reconnects_with_the_new_password(settings, role):
    async def ask(connection):
        return (await connection.fetch("SELECT current_user::text", timeout=5))[0][0]

    async def through_a_rotation():
        connection = Connection(role)
        try:
            first = await ask(connection)
            rotate(settings, role)
            with pytest.raises(ProblemError, match="InvalidPassword"):
                await ask(connection)
            role.password_file.write_text("new")
            return first, await ask(connection)
        finally:
            connection.drop()

    assert asyncio.run(through_a_rotation()) == (role.user, role.user)


@pytest.mark.fault("F34")
def test_a_file_that_is_gone_is_a_database_that_cannot_be_read(role):
    role.password_file.unlink()
    with pytest.raises(ProblemError, match="cannot be read"):
        asyncio.run(Connection(role).fetch("SELECT 1", timeout=5))


@pytest.mark.fault("F34")
def test_jobs_and_the_exporter_log_in_with_the_new_password(settings, role):
    with transaction(role) as connection:
        connection.exec_driver_sql("SELECT 1")
    rotate(settings, role)
    with pytest.raises(DependencyDown, match="does not let"), transaction(role):
        pass
    role.password_file.write_text("new")
    with transaction(role) as connection:
        assert connection.exec_driver_sql("SELECT current_user").scalar_one() == role.user
