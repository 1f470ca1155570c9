"""Every statement in every `.sql` file is valid in a migrated database. On a real PostgreSQL."""

import re
from pathlib import Path

import pytest

import streamflow
from streamflow.postgres import statements
from streamflow.postgres.engine import session, transaction

pytestmark = pytest.mark.postgres
SOURCE = Path(streamflow.__file__).parent
FILES = sorted(path for path in SOURCE.rglob("*.sql") if path.parent.name != "versions")
MLFLOW = SOURCE / "backup" / "mlflow.sql"
"""Statements about MLflow's own tables."""

STATEMENTS = [(file, name) for file in FILES for name in statements.load(file) if file != MLFLOW]
_PARAMETER = re.compile(r"(?<![:\w]):(\w+)")


def numbered(statement):
    """The statement with PostgreSQL's parameters ($1) instead of SQLAlchemy's (:name)."""
    names = list(dict.fromkeys(_PARAMETER.findall(statement)))
    return _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", statement)


@pytest.mark.parametrize(
    ("file", "name"), STATEMENTS, ids=[f"{file.parent.name}-{name}" for file, name in STATEMENTS]
)
def test_postgresql_can_prepare_a_statement(module_settings, file, name):
    with transaction(module_settings.database) as connection:
        prepare(connection, statements.load(file)[name])


@pytest.mark.stack
def test_postgresql_can_prepare_the_statements_about_mlflow(module_settings, mlflow_server):
    with session(module_settings.database, module_settings.database.mlflow_name) as connection:
        for statement in statements.load(MLFLOW).values():
            prepare(connection, statement)


def prepare(connection, statement):
    cursor = connection.connection.cursor()
    cursor.execute(f"PREPARE statement AS {numbered(statement)}")
    cursor.execute("DEALLOCATE statement")


def test_files_were_found():
    assert len(FILES) >= 5
