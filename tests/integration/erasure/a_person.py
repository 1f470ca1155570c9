"""A person with a distinctive key and value, and small helpers of the tests that erase them."""

import csv

import sqlalchemy as sa

from streamflow.forget import person
from streamflow.postgres.engine import transaction

PERSON = "0000-QXZWV"
FEE = "61.23456"


def name_person(folder, row, **changes):
    """Rename the user on a line of `users.csv` to the distinctive person, in every file of a drop."""
    with (folder / "users.csv").open() as file:
        former = list(csv.DictReader(file))[row]["user_id"]
    for path in folder.glob("*.csv"):
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        for item in rows:
            if item["user_id"] == former:
                item["user_id"] = PERSON
                item.update({name: value for name, value in changes.items() if name in item})
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def places(settings):
    return person.places(settings.database, settings.mlflow, settings.backup, settings.erasure)


def scalar(settings, statement, **values):
    with transaction(settings.database) as connection:
        return connection.execute(sa.text(statement), values).scalar()


def run(settings, statement, **values):
    with transaction(settings.database) as connection:
        connection.execute(sa.text(statement), values)


def run_untriggered(settings, statement, **values):
    """Run a statement without triggers."""
    with transaction(settings.database) as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.execute(sa.text(statement), values)
