"""A restore that is killed between any two statements of the swap leaves the former databases or the restored ones."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import replace

import psycopg
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from streamflow.backup import former_trail
from streamflow.backup.backup import backup
from streamflow.cli.db import app
from streamflow.errors import DependencyDown, Refused, StreamFlowError
from streamflow.postgres import locks
from streamflow.postgres.engine import session, transaction
from streamflow.postgres.names import quote
from streamflow.registry import trail
from streamflow.registry.trail import Change
from streamflow.schema import roles, swap
from streamflow.schema.prepare import MAINTENANCE_DATABASE, autocommit
from streamflow.settings import BackupSettings, DatabaseSettings

pytestmark = pytest.mark.postgres

# Counts the statements of the swap, on all connections; at a chosen moment the process kills itself.
KILLED = """
import os, signal, sys
import sqlalchemy as sa
from streamflow.schema import swap
from streamflow.schema.prepare import MAINTENANCE_DATABASE, autocommit
from streamflow.settings import DatabaseSettings

database = DatabaseSettings.model_validate_json(sys.stdin.read())
database = DatabaseSettings(**{**database.model_dump(), "password": os.environ["SECRET"]})
moment, counted = int(sys.argv[1]), -1000

def count(connection, cursor, statement, *arguments):
    global counted
    if "pg_terminate_backend" in statement:
        return
    counted += 1
    if counted == moment:
        os.kill(os.getpid(), signal.SIGKILL)

sa.event.listen(sa.Engine, "before_cursor_execute", count)
sa.event.listen(sa.Engine, "after_cursor_execute", count)
with swap.exclusive(database):
    for name in (database.name, database.mlflow_name):
        with autocommit(database, MAINTENANCE_DATABASE) as connection:
            connection.exec_driver_sql(f'CREATE DATABASE "{name}_restoring" TEMPLATE "{name}_new"')
    counted = 0
    swap.swap(database, [database.name, database.mlflow_name])
    print(counted)
"""


@pytest.fixture
def database(postgres_server):
    """Settings for two databases that do not exist yet."""
    token = uuid.uuid4().hex[:8]
    made = DatabaseSettings(
        port=postgres_server.port,
        user=postgres_server.user,
        password=postgres_server.password,
        name=f"platform_{token}",
        mlflow_name=f"mlflow_{token}",
        sslmode="disable",
    )
    try:
        yield made
    finally:
        with autocommit(made, MAINTENANCE_DATABASE) as connection:
            ends = ("", "_restoring", "_replaced", "_new")
            swap.drop(connection, [name + end for name in both(made) for end in ends])


def both(database):
    return database.name, database.mlflow_name


def create(database, ending, generation):
    """Create both databases with a name ending, and write into each which generation it is of."""
    for name in both(database):
        with autocommit(database, MAINTENANCE_DATABASE) as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {quote(name + ending)} TEMPLATE template0")
        with session(database, name + ending) as connection:
            connection.exec_driver_sql(f"CREATE TABLE generation AS SELECT '{generation}' AS it")


def generations(database):
    """The generation that each database answers with."""
    found = []
    for name in both(database):
        with session(database, name) as connection:
            found.append(connection.exec_driver_sql("SELECT it FROM generation").scalar_one())
    return found


def beside(database):
    with autocommit(database, MAINTENANCE_DATABASE) as connection:
        names = connection.exec_driver_sql("SELECT datname FROM pg_database").scalars().all()
    return sorted({name + end for name in both(database) for end in ("_restoring", "_replaced")} & set(names))


def killed(database, moment):
    """Swap in a process that kills itself at a moment; return how it ended and what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(moment)],
        input=database.model_dump_json(),
        env={**os.environ, "SECRET": database.secret},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode, done.stdout


@pytest.mark.load
def test_a_swap_killed_at_any_statement_leaves_both_databases_old_or_both_new(database):
    create(database, "", "old")
    create(database, "_new", "new")
    moment, seen = 0, []
    while True:
        moment += 1
        code, _ = killed(database, moment)
        # Before anybody cleans up: both answer, and are of one generation.
        answered = until(lambda: generations(database))
        assert len(set(answered)) == 1
        if code == 0:
            break
        assert swap_healed(database)
        assert beside(database) == []
        assert generations(database) == answered
        seen.append(answered[0])
        start_over(database)
    # The query of databases, BEGIN, four renames, COMMIT and two DROPs, each killed before and after.
    assert len(seen) >= 18
    assert seen == sorted(seen, reverse=True), "once swapped, always swapped"
    assert {"old", "new"} == set(seen)


def swap_healed(database):
    """Clean up as the next start does, once the server has noticed that the process is gone."""
    return until(lambda: swap.heal(database) or not beside(database))


def start_over(database):
    for name in both(database):
        with session(database, name) as connection:
            connection.exec_driver_sql("UPDATE generation SET it = 'old'")


def until(question, seconds=30):
    deadline = time.monotonic() + seconds
    while True:
        try:
            if answer := question():
                return answer
        except (StreamFlowError, sa.exc.DBAPIError):
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline
        time.sleep(0.05)


EARLIER = (
    "ALTER DATABASE {p} ALLOW_CONNECTIONS false",
    "ALTER DATABASE {m} ALLOW_CONNECTIONS false",
    "BEGIN;"
    "ALTER DATABASE {p} RENAME TO {p}_replaced; ALTER DATABASE {m} RENAME TO {m}_replaced;"
    "ALTER DATABASE {p}_restoring RENAME TO {p}; ALTER DATABASE {m}_restoring RENAME TO {m}; COMMIT",
    "DROP DATABASE {p}_replaced",
    "DROP DATABASE {m}_replaced",
)


@pytest.mark.parametrize("done", range(len(EARLIER) + 1))
@pytest.mark.parametrize("healed_by", ["migrate", "restore"])
def test_what_a_restore_of_an_earlier_release_left_is_healed(database, done, healed_by):
    cut_short(database, done)
    if done in (1, 2):
        with pytest.raises(DependencyDown, match="refuses connections") as refused, transaction(database):
            pass
        assert "streamflow up" in refused.value.hint
    if healed_by == "migrate":
        run("migrate", database)
    else:
        with swap.exclusive(database):
            pass
    assert generations(database) == (["old"] * 2 if done < 3 else ["new"] * 2)
    assert beside(database) == []


def test_the_migration_job_heals_too(database, tmp_path):
    cut_short(database, 2)
    passwords = {name: f"secret-of-{name}" for name in roles.LOGINS}
    for name, password in passwords.items():
        (tmp_path / f"{name}-password").write_text(password)
    made = database.model_copy(update={"role_prefix": f"{database.name}_"})
    try:
        run("prepare", made, "--passwords", str(tmp_path))
        assert generations(database) == ["old", "old"]
        assert beside(database) == []
    finally:
        with autocommit(database, MAINTENANCE_DATABASE) as connection:
            swap.drop(connection, both(database))
            for name in roles.ROLES:
                connection.exec_driver_sql(f"DROP ROLE IF EXISTS {quote(made.role_prefix + name)}")


def cut_short(database, done):
    """Leave the databases as a restore of an earlier release did, killed after so many steps."""
    create(database, "", "old")
    create(database, "_restoring", "new")
    plain = {"p": database.name, "m": database.mlflow_name}
    with psycopg.connect(
        host="127.0.0.1",
        port=database.port,
        user=database.user,
        password=database.secret,
        dbname=MAINTENANCE_DATABASE,
        autocommit=True,
    ) as connection:
        for statements in EARLIER[:done]:
            for statement in statements.split(";"):
                connection.execute(statement.format(**plain))


def run(command, database, *arguments):
    names = ("host", "port", "user", "name", "mlflow_name", "role_prefix", "sslmode")
    values = {f"STREAMFLOW_DATABASE__{name.upper()}": str(getattr(database, name)) for name in names}
    values["STREAMFLOW_DATABASE__PASSWORD"] = database.secret
    done = CliRunner().invoke(app, [command, *arguments], env=values)
    assert done.exit_code == 0, done.output


def test_a_first_restore_that_was_killed_leaves_nothing(database):
    create(database, "_restoring", "new")
    assert len(swap.heal(database)) == 2
    assert beside(database) == []


def test_the_only_copy_is_never_deleted(database):
    """No restore leaves this, but an administrator may."""
    create(database, "_replaced", "old")
    assert any("is back" in line for line in swap.heal(database))
    assert generations(database) == ["old", "old"]
    assert beside(database) == []


def test_a_database_that_an_administrator_closed_stays_closed(database):
    create(database, "", "old")
    with autocommit(database, MAINTENANCE_DATABASE) as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {quote(database.name)} ALLOW_CONNECTIONS false")
        assert swap.heal(database) == ()
        with pytest.raises(DependencyDown, match="refuses connections"):
            generations(database)
        connection.exec_driver_sql(f"ALTER DATABASE {quote(database.name)} ALLOW_CONNECTIONS true")


def test_a_restore_in_progress_is_left_alone(database):
    create(database, "", "old")
    create(database, "_restoring", "new")
    there = database.model_copy(update={"name": MAINTENANCE_DATABASE})
    with locks.held_if_free(there, locks.of_restore(database.name)) as lock:
        assert lock is not None
        assert swap.heal(database) == ()
        with pytest.raises(Refused, match="Another restore"), swap.exclusive(database):
            pass
        assert len(beside(database)) == 2
    # A login that may not create databases leaves it to one that may.
    with autocommit(database, MAINTENANCE_DATABASE) as connection:
        role = f"{database.name}_guest"
        connection.exec_driver_sql(f"CREATE ROLE {quote(role)} LOGIN PASSWORD 'guest'")
        guest = DatabaseSettings(**{**database.model_dump(), "user": role, "password": "guest"})
        assert swap.heal(guest) == ()
        connection.exec_driver_sql(f"DROP ROLE {quote(role)}")
    assert len(beside(database)) == 2
    assert len(swap.heal(database)) == 2


def test_pools_that_connect_again_at_once_do_not_keep_a_swap_from_ending(database):
    create(database, "", "old")
    ended, errors = threading.Event(), []

    def busy():
        while not ended.is_set():
            try:
                with session(database, database.name) as connection:
                    connection.exec_driver_sql("SELECT pg_sleep(0.01)")
            except (StreamFlowError, sa.exc.DBAPIError) as error:
                errors.append(str(error))

    threads = [threading.Thread(target=busy, daemon=True) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        with swap.exclusive(database):
            create(database, "_restoring", "new")
            swap.swap(database, both(database))
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert generations(database) == ["new", "new"]
    # Nobody was ever told that the database refuses connections.
    assert not [error for error in errors if "refuses connections" in error]


def test_no_row_is_added_to_the_former_trail_after_it_was_read(database):
    """Promoters wait; those that wait are ended with the database before they can write."""
    with autocommit(database, MAINTENANCE_DATABASE) as connection:
        # A copy of a migrated database.
        connection.exec_driver_sql(
            f"CREATE DATABASE {quote(database.name)} TEMPLATE {quote('template_streamflow')}"
        )
        connection.exec_driver_sql(f"CREATE DATABASE {quote(database.mlflow_name)} TEMPLATE template0")
    insert = (
        "INSERT INTO streamflow.promotions (moved_by, model, alias, to_version, action, why)"
        " VALUES ('me', 'm', 'production', 1, 'promote', 'x')"
    )
    with session(database, database.name) as connection:
        connection.exec_driver_sql(insert)
    written = []

    def promote():
        try:
            with session(database, database.name) as connection:
                connection.exec_driver_sql(insert)
            written.append(1)
        except (StreamFlowError, sa.exc.DBAPIError):
            pass

    kept = []
    original = swap.drop
    with pytest.MonkeyPatch.context() as patch, swap.exclusive(database):
        create(database, "_restoring", "new")
        patch.setattr(swap, "drop", lambda connection, names: kept.extend(names))
        with former_trail.unchanged(database, database.name, "m") as former:
            threads = [threading.Thread(target=promote, daemon=True) for _ in range(5)]
            for thread in threads:
                thread.start()
            with autocommit(database, MAINTENANCE_DATABASE) as connection:
                until(lambda: waiting(connection, database.name) == 5)
            swap.swap(database, both(database), last=former.session)
        for thread in threads:
            thread.join()
    assert written == []
    with session(database, database.name + "_replaced") as connection:
        rows = connection.exec_driver_sql("SELECT promotion_id, hash FROM streamflow.promotions").all()
    assert [tuple(row) for row in rows] == [(link.number, link.hash) for link in former.links]
    with autocommit(database, MAINTENANCE_DATABASE) as connection:
        original(connection, kept)


def waiting(connection, name):
    return connection.exec_driver_sql(
        f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND wait_event_type = 'Lock'"
    ).scalar_one()


# Kills itself before a statement, or after it.
KILLED_RESTORE = """
import os, signal, sys
from pathlib import Path
import sqlalchemy as sa
from streamflow import settings as settings_module
from streamflow.backup.restore import restore

when, marker, folder = sys.argv[1:]

def kill(connection, cursor, statement, *arguments):
    if statement.startswith(marker):
        os.kill(os.getpid(), signal.SIGKILL)

sa.event.listen(sa.Engine, f"{when}_cursor_execute", kill)
settings = settings_module.load(database={"mlflow_name": "no_such_database"})
restore(settings.backends, Path(folder), replace=True, by="ada")
"""


@pytest.mark.parametrize(
    ("when", "marker", "restored"),
    [
        ("after", "CREATE DATABASE", False),
        ("after", "LOCK TABLE", False),
        ("before", "BEGIN", False),
        ("before", "COMMIT", False),
        ("after", "COMMIT", True),
        ("after", "DROP DATABASE IF EXISTS", False),
    ],
)
def test_a_killed_restore_is_in_the_trail_exactly_if_its_databases_are_served(
    settings, tmp_path, when, marker, restored
):
    database = settings.database.model_copy(update={"mlflow_name": "no_such_database"})
    folder = tmp_path / "backups"
    backup(database, settings.mlflow, BackupSettings(folder=folder, artifacts=False))
    add = Change("production", None, 1, "promote", "ada", "after the backup")
    with transaction(database) as connection:
        trail.append(connection, settings.mlflow.registered_model, add)
    done = subprocess.run(
        [sys.executable, "-c", KILLED_RESTORE, when, marker, str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert swap_healed(database)
    assert beside(database) == []
    rows = trail.history(database, settings.mlflow.registered_model)
    assert [row.action for row in rows] == (["restore"] if restored else ["promote"])
    if restored:
        assert rows[0].facts["lost_count"] == 1
        assert rows[0].facts["lost"][0]["moved_by"] == "ada"
    # Nothing that the killed process had locked stays locked.
    with transaction(database) as connection:
        trail.append(connection, settings.mlflow.registered_model, replace(add, from_version=None))
