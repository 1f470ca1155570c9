"""Of entities of one time, our join gives the rows of Feast's own: any histories, ages, ties and absent values."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from feast import Entity, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres import PostgreSQLOfflineStore
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Int64, String
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from streamflow.apply import apply
from streamflow.features import one_time_join
from streamflow.features.copied_job import CopiedRetrievalJob
from streamflow.features.offline_store import EmbeddingOfflineStore
from streamflow.features.one_time_join import EntitiesAt
from streamflow.features.store import open_store
from streamflow.postgres.engine import transaction

pytestmark = pytest.mark.postgres
MARCH = datetime(2024, 3, 31, 2, 30, tzinfo=UTC)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
TTLS = (None, timedelta(0), timedelta(seconds=1), DAY, 41 * DAY, timedelta(days=1.5, microseconds=999_999))
# At, a tick beside, and far from the edges: the entities' time, and that time less each age.
TIMES = [
    *sorted({MARCH - age + shift for age in filter(None, TTLS) for shift in (-TICK, TICK, 0 * DAY)}),
    *(MARCH - 1.5 * DAY, MARCH - 60 * DAY, MARCH - TICK, MARCH, MARCH + TICK, MARCH + DAY),
]
CREATED = (None, MARCH - 90 * DAY, MARCH, MARCH + TICK, MARCH + 400 * DAY)
KEYS = ("a", "it's", 'B "', "", "ä", None)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(KEYS),
        st.sampled_from([*TIMES, None]),
        st.sampled_from(CREATED),
        st.integers(0, 3) | st.none(),
    ),
    max_size=14,
)
USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)


def view(name, table, ttl, created):
    """A view of a table whose columns have other names than the features."""
    source = PostgreSQLSource(
        name=f"{name}_source",
        table=table,
        timestamp_field="at",
        created_timestamp_column=created,
        field_mapping={"n": f"{name}_number"},
    )
    fields = [Field(name="user_id", dtype=String), Field(name=f"{name}_number", dtype=Int64)]
    return FeatureView(name=name, entities=[USER], ttl=ttl, schema=fields, source=source)


@pytest.fixture(scope="module")
def store(module_settings):
    apply(module_settings)
    with transaction(module_settings.database) as connection:
        for table in ("first", "second"):
            connection.exec_driver_sql(
                f"CREATE TABLE public.{table} (user_id text, at timestamptz, came timestamptz, n bigint)"
            )
    return open_store(module_settings.database, module_settings.feast.repo, db_schema="public")


def fill(database, table, rows):
    with transaction(database) as connection:
        connection.exec_driver_sql(f"TRUNCATE public.{table}")
        if rows:
            connection.exec_driver_sql(f"INSERT INTO public.{table} VALUES (%s, %s, %s, %s)", rows)


def entities_of(keys):
    listed = ", ".join("(NULL)" if key is None else "('" + key.replace("'", "''") + "')" for key in keys)
    moment = f"TIMESTAMPTZ '{MARCH.isoformat()}'"
    return f"SELECT k::text AS user_id, {moment} AS event_timestamp, true AS label FROM (VALUES {listed}) AS v (k)"


def both(store, views, keys, *, full=False):
    """What our join and Feast's own give, each as rows without an order, with the names of their columns."""
    references = [f"{view.name}:{feature.name}" for view in views for feature in view.features]
    select = entities_of(keys)
    found = []
    for theirs in (False, True):
        own = EntitiesAt(select, timestamp="event_timestamp", moment=MARCH, others=("user_id", "label"))
        job = (PostgreSQLOfflineStore if theirs else EmbeddingOfflineStore).get_historical_features(
            store.config, views, references, select if theirs else own, store.registry, store.project, full
        )
        assert ("__entity_row_unique_id" in job.to_sql()) is theirs
        table = (CopiedRetrievalJob.like(job) if theirs else job).to_arrow()
        names = sorted(table.column_names)
        found.append((names, table.schema.field, Counter(map(str, table.select(names).to_pylist()))))
    return found


@pytest.mark.filterwarnings("ignore:pandas only supports SQLAlchemy")
@examples(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    first=ROWS,
    second=ROWS,
    keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=6),
    ttls=st.tuples(st.sampled_from(TTLS), st.sampled_from(TTLS)),
    created=st.booleans(),
    full=st.booleans(),
)
# A tie, a correction that came late, and the newest row without the time at which it came.
@example([("a", MARCH, MARCH, n) for n in (1, 1, 2)], [], ["a", "a"], (DAY, None), True, False)
@example(
    [("a", MARCH, MARCH, 1), ("a", MARCH, CREATED[-1], 2)],
    [("a", MARCH, None, 3)],
    ["a"],
    TTLS[:2],
    True,
    True,
)
def test_rows_are_those_of_feasts_own_join(module_settings, store, first, second, keys, ttls, created, full):
    fill(module_settings.database, "first", first)
    fill(module_settings.database, "second", second)
    views = [
        view("one", "first", ttls[0], "came"),
        view("two", "second", ttls[1], "came" if created else None),
    ]
    ours, theirs = both(store, views, keys, full=full)
    assert ours[0] == theirs[0]
    assert [ours[1](name) for name in ours[0]] == [theirs[1](name) for name in ours[0]]
    assert ours[2] == theirs[2]


def test_a_view_without_a_key_is_joined_by_feast(store):
    whole = FeatureView(
        name="whole",
        entities=[],
        ttl=DAY,
        schema=[Field(name="n", dtype=Int64)],
        source=PostgreSQLSource(name="whole_source", table="first", timestamp_field="at"),
    )
    entities = EntitiesAt("SELECT 1", timestamp="event_timestamp", moment=MARCH, others=())
    arguments = (store.config, [whole], ["whole:n"], entities, store.registry, store.project)
    view_context = one_time_join.job(*arguments, full_feature_names=False)
    assert view_context is None
