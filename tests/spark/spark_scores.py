"""Scores of Spark beside those of PostgreSQL: snapshots as temporary views, and what a scoring stored."""

import time
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import sqlalchemy as sa
from pyarrow import parquet

from source_rows import add_drop
from streamflow import types
from streamflow.postgres import copied
from streamflow.postgres.engine import transaction
from streamflow.registry.promote import promote
from streamflow.registry.served import served_release
from streamflow.repo import definitions
from streamflow.scoring import run
from streamflow.spark import scoring

FEBRUARY = datetime(2024, 2, 29, tzinfo=UTC)


def promoted(settings, version):
    for alias in ("staging", "production"):
        promote(settings.backends, version, alias, why="a test", by="tests")
    return settings


def with_odd_users(settings):
    """Promote a version of simulated users, and add users of whom some cannot be scored."""
    promoted(settings, 1)
    with transaction(settings.database) as connection:
        newest = add_drop(connection, "odd users", FEBRUARY)
        before = add_drop(connection, "a day before", FEBRUARY - timedelta(days=1))
        repo = definitions.load(settings.feast.repo)
        for table in repo.tables:
            columns = [column.name for column in table.columns]
            users = {f"nulls:{n}": newest for n in range(9)} | {"old": before}
            if table.name == repo.entity_table.name:
                users["no row"] = newest
            for user, number in users.items():
                empty = {"watch_hours_30d"} if user.startswith("nulls") else set()
                chosen = ", ".join("NULL" if column in empty else column for column in columns)
                connection.exec_driver_sql(
                    f"INSERT INTO source.{table.name} (user_id, {', '.join(columns)}, drop_number)"
                    f" SELECT 'odd:{user}', {chosen}, {number} FROM features.{table.snapshots}"
                    f" WHERE as_of = '{FEBRUARY.isoformat()}' LIMIT 1"
                )
    return settings


def register(spark, settings, folder):
    """Write the snapshots of PostgreSQL to Parquet files, and register them as temporary views."""
    repo = definitions.load(settings.feast.repo)
    stamps = {name: pa.timestamp("us", "UTC") for name in ("as_of", "loaded_at")} | {"drop_id": pa.string()}
    for table in repo.tables:
        columns = {c.name: pa.type_for_alias(types.of(c.type).arrow) for c in table.columns}
        with transaction(settings.database) as connection:
            of_all = {repo.join_key: pa.string()} | columns | stamps
            select = f"SELECT {', '.join(of_all)} FROM features.{table.snapshots}"
            parquet.write_table(copied.table(connection, select, of_all), folder / f"{table.name}.parquet")
        spark.read.parquet(str(folder / f"{table.name}.parquet")).createOrReplaceTempView(table.snapshots)


def with_spark(spark, settings, known_at):
    release = served_release(settings.database, settings.mlflow.registered_model)
    world = run.World(definitions.load(settings.feast.repo), "", FEBRUARY, known_at)
    limits = run.Limits(require_newest=True, threads=1, keep=24)
    return scoring.score_every_entity(spark, settings.database, release, world, limits, time.monotonic())


def rows(settings, statement, **parameters):
    with transaction(settings.database) as connection:
        return [tuple(row) for row in connection.execute(sa.text(statement), parameters)]


def scores(settings, number):
    """The bits of the scores."""
    statement = (
        "SELECT entity, float8send(probability), prediction FROM streamflow.scores WHERE scoring_id = :n"
    )
    return {entity: (bytes(bits), positive) for entity, bits, positive in rows(settings, statement, n=number)}


def same(ours, theirs):
    ignored = {"scoring_id", "seconds"}
    return all(getattr(ours, name) == getattr(theirs, name) for name in vars(ours).keys() - ignored)
