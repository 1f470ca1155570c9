"""Locks that a login holds without a use for them are reported. On a real PostgreSQL, and the rules alone."""

import contextlib

import prepared
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from streamflow.jobs import catalog
from streamflow.monitoring.exporter import metrics
from streamflow.monitoring.foreign_locks import ForeignLock, holders, is_foreign
from streamflow.postgres import locks
from streamflow.postgres.names import quote
from streamflow.schema import prepare, roles

pytestmark = pytest.mark.postgres
MODEL = "churn"
PASSWORDS = {name: f"secret-of-{name}" for name in roles.LOGINS}
LOCKS = sorted(holders(MODEL))


@pytest.fixture(scope="module")
def server(module_settings):
    admin = prepared.named(module_settings)
    prepared.by_the_job(admin, PASSWORDS, lambda _: None)
    yield admin
    prepared.remove(admin, PASSWORDS)


@contextlib.contextmanager
def holding(database, name, function="pg_advisory_lock"):
    engine = sa.create_engine(database.url(), poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT {function}({locks.key(name)})")
        yield
        # Closing the connection would release it a moment later.
        connection.exec_driver_sql("SELECT pg_advisory_unlock_all()")


def reported(server):
    """What the exporter's own login sees."""
    exporter = prepared.as_role(server, PASSWORDS, "exporter").database
    return [
        ForeignLock(sample.labels["lock"], sample.labels["login"])
        for metric in metrics(exporter, MODEL).collect()
        for sample in metric.samples
        if sample.name == "streamflow_foreign_lock"
    ]


@pytest.mark.parametrize("role", sorted(set(roles.LOGINS) - {"mlflow"}))
def test_a_login_is_reported_for_exactly_the_locks_that_its_component_does_not_take(server, role):
    login = prepared.as_role(server, PASSWORDS, role).database
    acts_as = [role, *roles.ROLES[role].acts_as]
    for name in LOCKS:
        with holding(login, name):
            expected = [] if set(acts_as) & holders(MODEL)[name] else [ForeignLock(name, login.user)]
            assert reported(server) == expected
    assert reported(server) == []


def test_waiting_for_a_drop_is_no_foreign_lock(server):
    train = prepared.as_role(server, PASSWORDS, "train").database
    with holding(train, locks.LOADING, "pg_advisory_lock_shared"):
        assert reported(server) == []
    predict = prepared.as_role(server, PASSWORDS, "predict").database
    with holding(predict, locks.LOADING, "pg_advisory_lock_shared"):
        assert reported(server) == [ForeignLock(locks.LOADING, predict.user)]


@contextlib.contextmanager
def member_of(server, role):
    """The login of a person in a group."""
    group, person = (quote(server.database.role_prefix + name) for name in (role, "ada"))
    with prepare.autocommit(server.database, "postgres") as connection:
        connection.exec_driver_sql(f"CREATE ROLE {person} LOGIN PASSWORD 'hers' IN ROLE {group}")
    try:
        yield server.database.model_copy(
            update={"user": server.database.role_prefix + "ada", "password": SecretStr("hers")}
        )
    finally:
        with prepare.autocommit(server.database, "postgres") as connection:
            connection.exec_driver_sql(f"DROP ROLE {person}")


def test_a_person_who_promotes_may_hold_the_promotion_lock_and_no_other(server):
    with member_of(server, "promote") as login:
        with holding(login, locks.of_promotions(MODEL)):
            assert reported(server) == []
        with holding(login, locks.of_job("train")):
            assert reported(server) == [ForeignLock(locks.of_job("train"), login.user)]


def test_a_person_who_reads_may_wait_for_a_drop_and_no_more(server):
    with member_of(server, "read") as login:
        with holding(login, locks.LOADING, "pg_advisory_lock_shared"):
            assert reported(server) == []
        for name in (locks.LOADING, locks.of_promotions(MODEL)):
            with holding(login, name):
                assert reported(server) == [ForeignLock(name, login.user)]


def test_an_administrator_may_hold_every_lock(server):
    with holding(server.database, locks.INGEST):
        assert reported(server) == []


@pytest.mark.parametrize("role", ["owner", "predict"])
def test_no_login_of_ours_can_take_the_right_to_lock_from_others(server, role):
    """Why foreign locks are reported and not prevented. Where this fails, they can be prevented."""
    login = prepared.as_role(server, PASSWORDS, role).database
    engine = sa.create_engine(login.url(), poolclass=sa.NullPool)
    with engine.connect() as connection:
        # A warning, not an error: no privileges could be revoked.
        connection.exec_driver_sql("REVOKE EXECUTE ON FUNCTION pg_advisory_lock(bigint) FROM PUBLIC")
        still = "SELECT has_function_privilege(:role, 'pg_advisory_lock(bigint)', 'EXECUTE')"
        for other in ("predict", "score"):
            name = server.database.role_prefix + other
            assert connection.execute(sa.text(still), {"role": name}).scalar_one()


def test_every_job_that_a_role_runs_has_its_lock():
    assert {locks.of_job(job) for job in catalog.JOBS if job != "restore"} <= set(LOCKS)
    assert len({locks.key(name) for name in LOCKS}) == len(LOCKS)


def test_the_rules_know_the_owner():
    assert not any(is_foreign(name, "ExclusiveLock", ["owner"], MODEL) for name in LOCKS)
