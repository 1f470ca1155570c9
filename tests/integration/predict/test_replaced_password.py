"""predict while the password of its role is replaced: the server first, then the file in the mounted Secret."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from streamflow.postgres.engine import engine

ROLE = "replaced_password"


@pytest.fixture
def role(simulated):
    """A role that predict can work with, whose password is `old`."""

    def execute(statement):
        with engine(simulated.database).begin() as connection:
            connection.exec_driver_sql(statement)

    execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD 'old'")
    execute(f"GRANT {simulated.database.user} TO {ROLE}")
    yield execute
    execute(f"DROP OWNED BY {ROLE}")
    execute(f"DROP ROLE {ROLE}")


def logs_in(simulated, password):
    given = {
        **simulated.database.model_dump(include={"host", "port", "sslmode"}),
        "dbname": simulated.database.name,
    }
    try:
        psycopg.connect(user=ROLE, password=password, **given).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.fault("F34")
def test_a_password_is_replaced_and_no_request_fails(
    simulated, start, users, production, role, tmp_path, verdict
):
    production(simulated, 1)
    file = tmp_path / "password"
    file.write_text("old", encoding="ascii")
    variables = {"STREAMFLOW_DATABASE__USER": ROLE, "STREAMFLOW_DATABASE__PASSWORD_FILE": str(file)}
    with start(simulated, path="/readyz", **variables) as service, ThreadPoolExecutor(1) as pool:
        asking = [True]

        def ask():
            codes = Counter()
            while asking:
                codes[service.predict(users[codes.total() % 20]).status_code] += 1
            return codes

        answers = pool.submit(ask)
        time.sleep(1)
        role(f"ALTER ROLE {ROLE} PASSWORD 'new'")
        time.sleep(1)
        file.write_text("new", encoding="ascii")
        time.sleep(1)
        asking.clear()
        codes = answers.result()
        verdict(requests=codes.total(), failed=codes.total() - codes[200])
        assert set(codes) == {200}
        assert (logs_in(simulated, "old"), logs_in(simulated, "new")) == (False, True)
        role(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'")
        service.until(lambda: service.predict(users[0]).status_code == 200)
