"""Every statement in every `.sql` file is valid in a migrated database. On a real PostgreSQL."""

import re
from pathlib import Path

import pytest

import streamflow
from streamflow.postgres import statements
from streamflow.postgres.engine import transaction

pytestmark = pytest.mark.postgres
SOURCE = Path(streamflow.__file__).parent
FILES = sorted(path for path in SOURCE.rglob("*.sql") if path.parent.name != "versions")
STATEMENTS = [(file, name) for file in FILES for name in statements.load(file)]
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
        cursor = connection.connection.cursor()
        cursor.execute(f"PREPARE statement AS {numbered(statements.load(file)[name])}")
        cursor.execute("DEALLOCATE statement")


def test_files_were_found():
    assert len(FILES) >= 5
