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
)

from source_rows import add_drop
from streamflow.apply import apply
from streamflow.errors import UsageError
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
