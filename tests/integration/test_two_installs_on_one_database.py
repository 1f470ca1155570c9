"""Two installs on one PostgreSQL server: the second is refused before it locks the first out, and says what to do."""

from __future__ import annotations

import prepared
import psycopg
import pytest

from streamflow.backup.backup import backup
from streamflow.backup.restore import restore
from streamflow.errors import DependencyDown, Refused
from streamflow.postgres.names import quote
from streamflow.registrar.serve import Registrar
from streamflow.schema import claims, prepare, roles
from streamflow.settings import BackupSettings, PromotionSettings

pytestmark = [pytest.mark.postgres, pytest.mark.fault("F38")]

FIRST = {name: f"first-secret-of-{name}" for name in roles.LOGINS}
SECOND = {name: f"second-secret-of-{name}" for name in roles.LOGINS}


@pytest.fixture(scope="module")
def first(module_settings):
    """An install with its roles and tables."""
    admin = of_install(prepared.named(module_settings), "first/streamflow")
    prepare.prepare(admin.database, FIRST)
    yield admin
    prepared.remove(admin, FIRST)


def of_install(settings, install, **fields):
    """Settings of another install on the same server."""
    database = settings.database.model_copy(update={"install": install, **fields})
    return settings.model_copy(update={"database": database})


def can_log_in(settings, passwords):
    login = prepare.as_role(settings.database, "predict", passwords["predict"])
    try:
        psycopg.connect(
            host=login.host, port=login.port, user=login.user, password=login.secret, dbname=login.name
        ).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.parametrize(
    "own", [(), ("name", "mlflow_name"), ("name", "role_prefix")], ids=["all", "roles", "mlflow"]
)
def test_a_second_install_is_refused_whatever_it_shares(first, own):
    other = {name: f"other_{getattr(first.database, name)}" for name in own}
    second = of_install(first, "second/streamflow", **other)
    with pytest.raises(Refused, match="belongs to the install 'first/streamflow'") as refused:
        prepare.prepare(second.database, SECOND)
    assert "database.rolePrefix" in refused.value.hint
    assert "database.install=first/streamflow" in refused.value.hint
    assert can_log_in(first, FIRST)
    assert not can_log_in(first, SECOND)


def test_its_pods_wait_and_its_registrar_does_not_lead(first, monkeypatch):
    second = of_install(first, "second/streamflow")
    with pytest.raises(DependencyDown, match="belongs to the install 'first/streamflow'"):
        prepare.wait(second.database, second.feast.repo, "migrated", 0.0)
    prepare.wait(first.database, first.feast.repo, "migrated", 0.0)
    registrar, led = Registrar(second.backends, PromotionSettings()), []
    monkeypatch.setattr(registrar, "_lead", led.append)
    monkeypatch.setattr(registrar._stopped, "wait", lambda seconds: registrar.stop())
    registrar.run()
    assert not led
    registrar = Registrar(first.backends, PromotionSettings())
    monkeypatch.setattr(registrar, "_lead", lambda connection: (led.append(1), registrar.stop()))
    registrar.run()
    assert led == [1]


def test_the_install_that_replaces_it_goes_on_under_its_name(first):
    prepare.prepare(of_install(first, "first/streamflow").database, SECOND)
    assert can_log_in(first, SECOND)
    prepare.prepare(first.database, FIRST)


def test_a_restored_database_belongs_to_who_restored_it(first, tmp_path):
    """A backup has no claim, so it can be restored into any install."""
    folder = BackupSettings(folder=tmp_path / "backups", artifacts=False)
    backup(first.database, first.mlflow, folder)
    second = of_install(first, "second/streamflow")
    with pytest.raises(Refused, match="belongs to the install"):
        restore(second.backends, folder.folder, replace=True)
    database = first.database
    with prepare.autocommit(database, prepare.MAINTENANCE_DATABASE) as connection:
        for name in (database.name, database.mlflow_name):
            connection.exec_driver_sql(f"COMMENT ON DATABASE {quote(name)} IS NULL")
        connection.exec_driver_sql(f"COMMENT ON ROLE {quote(database.role_prefix + roles.OWNER)} IS NULL")
        restore(second.backends, folder.folder, replace=True)
        with pytest.raises(Refused, match="belongs to the install 'second/streamflow'"):
            claims.check(connection, database)
