"""Entities of a DataFrame give the features that Feast's own store gives, and leave no table behind."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres import (
    EntitySelectMode,
    PostgreSQLOfflineStore,
    PostgreSQLOfflineStoreConfig,
    PostgreSQLRetrievalJob,
)

from source_rows import add_drop
from streamflow.apply import apply
from streamflow.errors import UsageError
from streamflow.features import copied_job
from streamflow.features.copied_job import CopiedRetrievalJob
from streamflow.features.offline_store import EmbeddingOfflineStore, query_of
from streamflow.features.store import open_store
from streamflow.postgres import catalog
from streamflow.postgres.engine import transaction

MARCH = datetime(2024, 3, 31, tzinfo=UTC)
FEATURES = ["usage_agg_30d_fv:skips_7d", "subs_profile_fv:net_service"]


@pytest.fixture(scope="module")
def store(module_settings):
    """A store with two customers, in two months each."""
    apply(module_settings)
    with transaction(module_settings.database) as connection:
        for month, skips in ((2, 20), (3, 30)):
            as_of = MARCH if month == 3 else datetime(2024, 2, 29, tzinfo=UTC)
            number = add_drop(connection, f"d{month}", as_of)
            for table, column, value in (
                ("usage_agg_30d", "skips_7d", skips),
                ("subscriptions", "net_service", "Fiber optic"),
            ):
                connection.execute(
                    sa.text(
                        f"INSERT INTO source.{table} (user_id, {column}, drop_number)"
                        " VALUES (:user, :value, :number)"
                    ),
                    [{"user": user, "value": value, "number": number} for user in ("a", "it's")],
                )
    return open_store(module_settings.database, module_settings.feast.repo)


@pytest.fixture
def tables(module_settings):
    """The tables of the database; those of before the test are those of afterwards."""

    def every():
        with transaction(module_settings.database) as connection:
            return catalog.every_table(connection)

    before = every()
    yield before
    assert every() == before


ENTITIES = pd.DataFrame(
    {
        "user_id": ["it's", "a", "nobody"],
        "event_timestamp": [MARCH, MARCH - timedelta(days=1), MARCH],
        "weight": [0.5, np.nan, 2.0],
        "number": np.array([2**53 + 1, 1, 0]),
        "100 %": ["ü", None, "\\n"],
    }
)


def test_a_dataframe_leaves_no_table_behind_and_gives_what_feasts_own_store_gives(store, tables, monkeypatch):
    ours = store.get_historical_features(entity_df=ENTITIES, features=FEATURES).to_df()
    assert ours.set_index("user_id")["skips_7d"].to_dict() == {
        "it's": 30,
        "a": 20,
        "nobody": pytest.approx(float("nan"), nan_ok=True),
    }
    stock = PostgreSQLOfflineStoreConfig(
        **store.config.offline_store.model_dump(exclude={"type", "entity_select_mode"}),
        entity_select_mode=EntitySelectMode.temp_table,
    )
    config = store.config.model_copy()
    config._offline_store = stock
    theirs = PostgreSQLOfflineStore.get_historical_features(
        config,
        [store.get_feature_view(name.partition(":")[0]) for name in FEATURES],
        FEATURES,
        ENTITIES,
        store.registry,
        store.project,
    ).to_df()
    frames = [frame.sort_values("user_id", ignore_index=True)[list(ours.columns)] for frame in (ours, theirs)]
    pd.testing.assert_frame_equal(*frames, check_dtype=False)


@pytest.mark.parametrize("missing", ["user_id", "event_timestamp"])
def test_an_error_leaves_no_table_behind(store, tables, missing):
    with pytest.raises((UsageError, Exception), match=missing):
        store.get_historical_features(entity_df=ENTITIES.drop(columns=missing), features=FEATURES).to_df()


def test_a_query_that_fails_leaves_no_table_behind(store, tables):
    wrong = ENTITIES.assign(user_id=[1, 2, 3])
    with pytest.raises(Exception, match="text = bigint"):
        store.get_historical_features(entity_df=wrong, features=FEATURES).to_df()


def test_a_range_of_dates_instead_of_entities_leaves_no_table_behind(store, tables):
    job = store.get_historical_features(
        features=FEATURES[:1], start_date=MARCH - timedelta(days=60), end_date=MARCH
    )
    assert sorted(job.to_df()["skips_7d"]) == [20, 20, 30, 30]


def both_readings(store, query):
    """What a query gives by COPY alone, and what Feast's own job gives."""
    own = PostgreSQLRetrievalJob(query=query, config=store.config, full_feature_names=False)
    with pytest.MonkeyPatch.context() as patched:
        patched.delattr(PostgreSQLRetrievalJob, "_to_arrow_internal")
        ours = CopiedRetrievalJob.like(own).to_arrow()
    return ours, own.to_arrow()


def test_every_value_is_copied_as_feast_reads_it(store):
    """Floats to the last bit, NaN and null told apart, times in UTC, and texts that CSV has to quote."""
    select = """SELECT * FROM (VALUES
        (1::bigint, 2::smallint, 0.1::float8, 0.1::real, true, ''::text, 'a'::varchar,
         timestamptz '2024-03-31 12:00:00.000001+02', date '1969-12-31'),
        (-9223372036854775808, 1, 'NaN', 'NaN', false, E'"\\n\\r,\\\\.', NULL, '1900-01-01 00:00:00+00', '2024-02-29'),
        (9223372036854775807, NULL, '-0', '-Infinity', NULL, 'ü😀', ' ', NULL, NULL),
        (NULL, 0, '5e-324', '1e-45', NULL, NULL, 'NULL', '2262-04-11 23:47:16.854775+00', NULL),
        (0, 0, 'Infinity', '3.4028235e38', NULL, 'NaN', 't', '2024-03-31 12:00:00-07', NULL),
        (0, 0, 2.2250738585072014e-308, 16777217, NULL, ' x ', E'\\t', NULL, NULL),
        (0, 0, NULL, NULL, NULL, 'x', 'x', NULL, NULL))
        AS v (big, small, double, single, flag, text, short, moment, day)"""
    ours, theirs = both_readings(store, select)
    assert ours.schema == theirs.schema
    for name in theirs.column_names:
        assert [repr(value) for value in ours[name].to_pylist()] == [
            repr(value) for value in theirs[name].to_pylist()
        ], name


def test_many_rows_are_copied_in_blocks_and_none_is_lost(store, monkeypatch):
    monkeypatch.setattr(copied_job, "_BLOCK_BYTES", 1000)
    ours, theirs = both_readings(
        store, "SELECT n, nullif(n % 3, 0)::text AS rest FROM generate_series(1, 5000) n"
    )
    assert ours.equals(theirs)
    ours, theirs = both_readings(store, "SELECT nullif(n % 2, 0) AS rest FROM generate_series(1, 5000) n")
    assert ours.equals(theirs)
    assert ours.num_rows == 5000
    ours, theirs = both_readings(store, "SELECT 1 AS a, 'x'::text AS b WHERE false")
    assert ours.equals(theirs)


@pytest.mark.parametrize(
    ("select", "values"),
    [
        ("SELECT 1 AS a, ARRAY[1.5, NULL, 2]::float8[] AS b", [[1.5, None, 2.0]]),
        (r"SELECT 1 AS a, '\x00ff'::bytea AS b", [b"\x00\xff"]),
    ],
    ids=["list", "bytes"],
)
def test_a_result_that_csv_cannot_give_is_read_as_feast_reads_it(store, select, values):
    own = PostgreSQLRetrievalJob(query=select, config=store.config, full_feature_names=False)
    ours = CopiedRetrievalJob.like(own).to_arrow()
    assert ours.equals(own.to_arrow())
    assert ours["b"].to_pylist() == values


def test_values_of_every_type_reach_postgresql_as_they_are(module_settings):
    frame = pd.DataFrame(
        {
            "event_timestamp": [datetime(2024, 3, 31, 12)],
            "infinite": [float("inf")],
            "flag": pd.array([None], dtype="boolean"),
            "list": [[1, 2]],
            "bytes": [b"\x00\xff"],
            "day": [MARCH.date()],
            "kind": pd.Categorical(["x"]),
            "nothing": [None],
        }
    )
    with transaction(module_settings.database) as connection:
        connection.exec_driver_sql("SET LOCAL TimeZone = 'Asia/Tokyo'")
        row = connection.exec_driver_sql(query_of(frame), execution_options={"no_parameters": True}).one()
    assert row.event_timestamp == datetime(2024, 3, 31, 12, tzinfo=UTC)
    assert row[1:] == (float("inf"), None, [1, 2], b"\x00\xff", MARCH.date(), "x", None)


def test_the_feature_repo_uses_it(store):
    assert store.config.offline_store.type.rpartition(".")[2] == EmbeddingOfflineStore.__name__
