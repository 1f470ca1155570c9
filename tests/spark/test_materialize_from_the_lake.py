"""Materializations by Spark: the online tables of PostgreSQL's engine, or an error and nothing changed."""

import shutil

import pytest
import sqlalchemy as sa
from histories import MONTHS, History, random_history
from psycopg.errors import CheckViolation
from pyspark.sql import functions

from streamflow.apply import apply
from streamflow.errors import DependencyDown, StreamFlowError
from streamflow.jobs.materialize import materialize
from streamflow.lake import layout
from streamflow.postgres.engine import transaction
from streamflow.repo import definitions
from streamflow.spark import engine as spark_engine

pytestmark = pytest.mark.postgres


@pytest.fixture
def on_spark(settings, lake, spark_settings, spark_session):
    apply(settings)
    return settings.model_copy(update={"engine": "spark", "lake": lake, "spark": spark_settings})


@pytest.fixture
def history(on_spark):
    return History(on_spark.database, definitions.load(on_spark.feast.repo), on_spark.lake.url)


def tables(settings):
    """Contents of the online tables and of the record of materializations, without times of now."""
    repo = definitions.load(settings.feast.repo)
    with transaction(settings.database) as connection:
        selects = {
            view.name: f"SELECT * FROM online.{view.name} ORDER BY user_id" for view in repo.feature_views
        }
        selects["materializations"] = (
            "SELECT materialization_id, feature_view, window_start, window_end, rows, newest_as_of,"
            " materialized_at IS NOT NULL, visible_at IS NOT NULL FROM online.materializations ORDER BY 1"
        )
        return {name: connection.exec_driver_sql(select).all() for name, select in selects.items()}


def everything_in_online(settings):
    with transaction(settings.database) as connection:
        return set(
            connection.exec_driver_sql(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'online'"
            ).scalars()
        )


def emptied(settings):
    with transaction(settings.database) as connection:
        for table in everything_in_online(settings):
            connection.exec_driver_sql(f"TRUNCATE online.{table} RESTART IDENTITY")


def test_the_tables_equal_those_of_postgresqls_engine(on_spark, history):
    on_postgresql = on_spark.model_copy(update={"engine": "postgresql"})
    random_history(3, history)
    before = everything_in_online(on_spark)
    # The second one is older, and must replace nothing; the third one is a correction.
    outcomes = []
    for settings in (on_postgresql, on_spark):
        if settings is on_spark:
            history.leave_postgresql()
        outcome = [materialize(settings, MONTHS[2]), materialize(settings, MONTHS[0]), materialize(settings)]
        outcomes.append((outcome, tables(settings)))
        emptied(settings)
    assert outcomes[0] == outcomes[1]
    assert all(rows for rows in outcomes[1][1].values())
    assert everything_in_online(on_spark) == before


def test_a_task_that_fails_raises_and_changes_nothing(on_spark, history, monkeypatch):
    random_history(4, history)
    history.leave_postgresql()
    materialize(on_spark, MONTHS[0])
    there = everything_in_online(on_spark)

    # A store that fails: PostgreSQL refuses a value in the transaction that copies the rows of a view.
    column = "ALTER TABLE online.payments_agg_90d_fv ALTER COLUMN failed_payments_90d SET DATA TYPE"
    with transaction(on_spark.database) as connection:
        connection.exec_driver_sql("CREATE DOMAIN public.never AS bigint CHECK (VALUE IS NULL)")
        connection.exec_driver_sql(f"{column} public.never USING NULL")
    before = tables(on_spark)
    with pytest.raises(CheckViolation, match="never_check"):
        materialize(on_spark)
    assert tables(on_spark) == before
    with transaction(on_spark.database) as connection:
        connection.exec_driver_sql(f"{column} bigint")

    # A task that fails, in the last view, after the others have copied their rows.
    whole = spark_engine._CopyNode.execute

    def failing(node, context):
        if node.view.name == "support_agg_90d_fv":
            rows = node.get_single_input_value(context)
            rows.data = rows.data.withColumn(
                "support_tickets_90d",
                functions.raise_error(functions.lit("this executor fails")).cast("long"),
            )
        return whole(node, context)

    monkeypatch.setattr(spark_engine._CopyNode, "execute", failing)
    with pytest.raises(DependencyDown, match="Spark could not materialize") as raised:
        materialize(on_spark)
    assert "this executor fails" in str(raised.value.__cause__)
    assert tables(on_spark) == before
    assert everything_in_online(on_spark) == there


def test_rows_that_are_lost_on_the_way_raise(on_spark, history, monkeypatch):
    random_history(5, history)
    history.leave_postgresql()
    checked = spark_engine._check

    def after_a_crash(connection, view, table, copied):
        connection.exec_driver_sql(f"TRUNCATE {table}")
        checked(connection, view, table, copied)

    monkeypatch.setattr(spark_engine, "_check", after_a_crash)
    with pytest.raises(StreamFlowError, match="0 of them are there"):
        materialize(on_spark)
    assert not any(tables(on_spark).values())


def test_a_drop_whose_files_are_gone_is_never_read_half(on_spark, history):
    random_history(6, history)
    history.leave_postgresql()
    with transaction(on_spark.database) as connection:
        number, as_of = connection.execute(
            sa.text("SELECT drop_number, (as_of AT TIME ZONE 'UTC')::date FROM streamflow.drops LIMIT 1")
        ).one()
    shutil.rmtree(layout.of_drop(on_spark.lake.url, "payments_agg_90d", as_of, number))
    with pytest.raises(DependencyDown, match="payments_agg_90d"):
        materialize(on_spark)
    assert not any(tables(on_spark).values())
