"""Random bitemporal histories: the same drops as rows of PostgreSQL's source tables and as files of a lake."""

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from source_rows import add_drop
from streamflow import types
from streamflow.lake import layout
from streamflow.postgres.engine import transaction
from streamflow.times import midnight

MONTHS = (date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 31), date(2024, 5, 31))
USERS = [f"user-{number}" for number in range(40)] + ["ü-é", "Z", "a", "A b"]


class History:
    """Drops of both engines, with the ledger that they share."""

    def __init__(self, database, repo, lake_url):
        self.database, self.repo, self.lake_url = database, repo, lake_url
        self.loaded = []

    def load(self, as_of, loaded_at, rows):
        """Load a drop: the rows of each table, as dictionaries without nulls."""
        with transaction(self.database) as connection:
            name = f"{as_of}.{len(self.loaded)}"
            number = add_drop(connection, name, midnight(as_of), loaded_at)
            for table in self.repo.tables:
                made = [
                    {column: row.get(column) for column in table.column_names} for row in rows[table.name]
                ]
                if made:
                    listed = ", ".join(table.column_names)
                    values = ", ".join(f":{column}" for column in table.column_names)
                    connection.execute(
                        sa.text(
                            f"INSERT INTO source.{table.name} ({listed}, drop_number) VALUES ({values}, {number})"
                        ),
                        made,
                    )
                write(self.lake_url, table, as_of, number, made)
                connection.execute(
                    sa.text(
                        "INSERT INTO streamflow.drop_files VALUES (:drop, :table, 'f', 's', 1, :n, :n, 0)"
                    ),
                    {"drop": name, "table": table.name, "n": len(made)},
                )
        self.loaded.append(loaded_at)
        return number

    def leave_postgresql(self):
        """Leave the rows in the lake alone: what reads one engine's rows refuses to see those of the other."""
        with transaction(self.database) as connection:
            held = connection.exec_driver_sql(
                "SELECT relname FROM pg_class WHERE relnamespace = 'source'::regnamespace AND relkind = 'r'"
            ).scalars()
            for name in held.all():
                connection.exec_driver_sql(f'DROP TABLE source."{name}"')


def write(lake_url, table, as_of, number, rows):
    """Write the rows of a drop as the lake has them."""
    folder = Path(layout.of_drop(lake_url, table.name, as_of, number))
    folder.mkdir(parents=True)
    declared = {table.key: "string"} | {c.name: types.of(c.type).arrow for c in table.columns}
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in declared.items()])
    # Two files, as a writer may split a drop.
    for part in (0, 1):
        pq.write_table(
            pa.Table.from_pylist(rows[part::2], schema), folder / f"part-{part}.parquet", compression="zstd"
        )


def random_history(seed, history):
    """Load months in any order, corrections among them; people come and go, values are missing."""
    chance = random.Random(seed)
    at = datetime(2024, 2, 1, tzinfo=UTC)
    drops = [*MONTHS, *chance.choices(MONTHS, k=4)]
    chance.shuffle(drops)
    for as_of in drops:
        at += timedelta(microseconds=chance.randrange(1, 10**12))
        history.load(as_of, at, {table.name: _rows(chance, table) for table in history.repo.tables})
    return history


def _rows(chance, table):
    users = chance.sample(USERS, chance.randrange(len(USERS) // 2, len(USERS)))
    return [{table.key: user} | {c.name: _value(chance, c) for c in table.columns} for user in users]


def _value(chance, column):
    if column.null and chance.random() < 0.1:
        return None
    if column.categories:
        return chance.choice(column.categories)
    return {
        "int": lambda: chance.choice([0, chance.randrange(10**6), 2**53 + 1]),
        "float": lambda: chance.choice([0.0, chance.random(), chance.random() * 1e-300, 0.1]),
        "bool": lambda: chance.random() < 0.5,
        "string": lambda: chance.choice(["", "x", 'a "quoted", text', "ß\n"]),
        "date": lambda: date(2020, 1, 1) + timedelta(chance.randrange(1000)),
    }[column.type]()
