"""Materialization writes each entity's newest values, all or none, without disturbing readers."""

import threading
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
import sqlalchemy as sa
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.data_source import DataSource
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Int64

from source_rows import add_drop
from streamflow.apply import apply
from streamflow.errors import NotFound
from streamflow.features.store import open_store
from streamflow.jobs.materialize import materialize
from streamflow.postgres import catalog
from streamflow.postgres.engine import engine, transaction
from streamflow.repo import definitions

JANUARY, FEBRUARY = datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC)
VIEWS = ("subs_profile_fv", "usage_agg_30d_fv", "payments_agg_90d_fv", "support_agg_90d_fv")


def load(settings, as_of: datetime, users: list[str], value: int) -> None:
    """Insert rows into the source tables as a drop would; every numeric column gets `value`."""
    with transaction(settings.database) as connection:
        count = connection.execute(sa.text("SELECT count(*) + 1 FROM streamflow.drops")).scalar_one()
        number = add_drop(connection, f"d{count}", as_of)
        for table in definitions.load(settings.feast.repo).tables:
            columns = [c.name for c in table.columns if c.type in ("int", "float")]
            listed = ", ".join([table.key, *columns, "drop_number"])
            values = ", ".join([":user", *(str(value) for _ in columns), ":number"])
            connection.execute(
                sa.text(f"INSERT INTO source.{table.name} ({listed}) VALUES ({values})"),
                [{"user": user, "number": number} for user in users],
            )


@pytest.fixture
def store(settings) -> FeatureStore:
    apply(settings)
    return open_store(settings.database, settings.feast.repo)


def online(settings, view: str, column: str) -> dict[str, int]:
    with transaction(settings.database) as connection:
        rows = connection.execute(sa.text(f"SELECT user_id, {column} FROM online.{view}"))
        return {row[0]: row[1] for row in rows}


def test_the_newest_drop_wins_and_absent_users_keep_their_older_values(settings, store):
    load(settings, JANUARY, ["a", "b"], 1)
    load(settings, FEBRUARY, ["b", "c"], 2)
    outcome = materialize(settings).views
    assert [view.feature_view for view in outcome] == list(VIEWS)
    assert {view.entities for view in outcome} == {3}
    assert online(settings, "usage_agg_30d_fv", "skips_7d") == {"a": 1, "b": 2, "c": 2}


def test_materializing_an_older_as_of_again_changes_nothing(settings, store):
    load(settings, JANUARY, ["a"], 1)
    load(settings, FEBRUARY, ["a"], 2)
    materialize(settings)
    materialize(settings, JANUARY.date())
    assert online(settings, "payments_agg_90d_fv", "failed_payments_90d") == {"a": 2}


def test_a_correction_of_the_same_as_of_replaces_the_value(settings, store):
    load(settings, JANUARY, ["a"], 1)
    materialize(settings)
    load(settings, JANUARY, ["a"], 5)
    materialize(settings)
    assert online(settings, "payments_agg_90d_fv", "failed_payments_90d") == {"a": 5}


def test_feasts_own_command_ends_in_the_same_tables(settings, store, capsys):
    load(settings, JANUARY, ["a"], 3)
    store.materialize(JANUARY - timedelta(days=1), JANUARY)
    answer = store.get_online_features(
        features=["usage_agg_30d_fv:skips_7d", "subs_profile_fv:plan_stream_tv"],
        entity_rows=[{"user_id": "a"}, {"user_id": "nobody"}],
    ).to_dict()
    assert answer["skips_7d"] == [3, None]
    assert answer["plan_stream_tv"] == [None, None]


def other_view(name: str, source: DataSource) -> FeatureView:
    return FeatureView(
        name=name,
        entities=[Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)],
        ttl=timedelta(days=41),
        schema=[Field(name="skips", dtype=Int64)],
        source=source,
    )


def test_mapped_columns_and_files_are_materialized_together(settings, store, tmp_path):
    with transaction(settings.database) as connection:
        connection.exec_driver_sql(
            'CREATE TABLE features."odd" ("Who" text, "when" timestamptz, "made" timestamptz, "n" bigint)'
        )
        # The newest load of the newest date counts, and a load that is not known yet does not.
        connection.exec_driver_sql(
            "INSERT INTO features.odd VALUES ('a', '2024-01-31', '2024-02-01', 1), ('a', '2024-01-31', '2024-02-02', 2),"
            " ('a', '2024-01-30', '2024-02-03', 3), ('a', '2024-01-31', '9999-01-01', 4)"
        )
    mapped = PostgreSQLSource(
        name="odd",
        table="odd",
        timestamp_field="at",
        created_timestamp_column="known",
        field_mapping={"Who": "user_id", "when": "at", "made": "known", "n": "skips"},
    )
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"user_id": ["b"], "at": [JANUARY], "skips": [5]}).to_parquet(path)
    views = [
        other_view("mapped_fv", mapped),
        other_view("file_fv", FileSource(name="rows", path=str(path), timestamp_field="at")),
    ]
    store.apply(views)
    store.materialize(JANUARY - timedelta(days=1), JANUARY, feature_views=["file_fv", "mapped_fv"])
    assert online(settings, "mapped_fv", "skips") == {"a": 2}
    assert online(settings, "file_fv", "skips") == {"b": 5}


def test_without_a_drop_there_is_nothing_to_materialize(settings, store):
    with pytest.raises(NotFound, match="streamflow ingest"):
        materialize(settings)


def test_no_leftover_tables_and_the_primary_key_stays(settings, store):
    load(settings, JANUARY, ["a"], 1)
    materialize(settings)
    materialize(settings)
    with transaction(settings.database) as connection:
        tables = connection.execute(
            sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'online'")
        ).scalars()
        assert sorted(tables) == sorted([*VIEWS, "materializations"])
        keys = connection.execute(
            sa.text(
                "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
                " WHERE i.indisprimary AND c.relnamespace = 'online'::regnamespace"
            )
        ).scalar_one()
        assert keys == len(VIEWS) + 1


def test_grants_owner_and_comments_of_the_tables_survive(settings, store):
    with transaction(settings.database) as connection:
        described = catalog.comments(connection, "online")
        connection.exec_driver_sql("DROP ROLE IF EXISTS reader_of_online")
        connection.exec_driver_sql("CREATE ROLE reader_of_online")
        connection.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA online TO reader_of_online")
    load(settings, JANUARY, ["a"], 1)
    materialize(settings)
    with transaction(settings.database) as connection:
        assert catalog.comments(connection, "online") == described
        assert all(item.text for item in described)
        for view in VIEWS:
            may = sa.text(f"SELECT has_table_privilege('reader_of_online', 'online.{view}', 'SELECT')")
            assert connection.execute(may).scalar_one()
        connection.exec_driver_sql("DROP OWNED BY reader_of_online")
        connection.exec_driver_sql("DROP ROLE reader_of_online")


@pytest.mark.fault("F13")
def test_a_reader_never_sees_half_of_a_materialization(settings, store):
    """Each drop has one value in all views, so a reader of all four must never see different values."""
    users = [f"u{i}" for i in range(200)]
    load(settings, JANUARY, users, 1)
    materialize(settings)
    seen: set[tuple[int, ...]] = set()
    failures: list[BaseException] = []
    stop = threading.Event()
    statement = sa.text(
        "SELECT DISTINCT s.months_active, u.skips_7d, p.failed_payments_90d, t.support_tickets_90d"
        " FROM online.subs_profile_fv s JOIN online.usage_agg_30d_fv u USING (user_id)"
        " JOIN online.payments_agg_90d_fv p USING (user_id) JOIN online.support_agg_90d_fv t USING (user_id)"
    )

    def read() -> None:
        try:
            while not stop.is_set():
                with engine(settings.database).connect() as connection:
                    seen.update(tuple(row) for row in connection.execute(statement))
        except BaseException as error:
            failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for value in range(2, 6):
            load(settings, JANUARY, users, value)
            materialize(settings)
    finally:
        stop.set()
        reader.join(timeout=30)
    assert not failures
    assert all(len(set(values)) == 1 for values in seen), seen
    assert (5, 5, 5, 5) in seen or (4, 4, 4, 4) in seen
