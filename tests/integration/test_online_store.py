"""The online store returns the same values as Feast's own PostgreSQL store, for every type."""

import asyncio
import signal
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
import sqlalchemy as sa
from feast import Entity, FeatureStore, FeatureView, Field, PushSource, StreamFeatureView, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.infra.online_stores.postgres_online_store.postgres import PostgreSQLOnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp
from store_config import store_config

from streamflow.apply import apply
from streamflow.features.online_store import MayNotWriteError, WideOnlineStore, database_settings
from streamflow.local import home, postgres, processes
from streamflow.postgres import catalog
from streamflow.postgres.engine import engine, transaction

DAY = datetime(2024, 1, 31, tzinfo=UTC)
SCHEMA = [
    Field(name="int32", dtype=Int32),
    Field(name="int64", dtype=Int64),
    Field(name="float32", dtype=Float32),
    Field(name="float64", dtype=Float64),
    Field(name="bool", dtype=Bool),
    Field(name="text", dtype=String),
    Field(name="bytes", dtype=Bytes),
    Field(name="moment", dtype=UnixTimestamp),
]
VALUES = {
    "int32": Value(int32_val=-7),
    "int64": Value(int64_val=2**53 + 1),
    "float32": Value(float_val=0.1),
    "float64": Value(double_val=29.14104464084511),
    "bool": Value(bool_val=False),
    "text": Value(string_val="Fiber 'optic' \\ \t ü"),
    "bytes": Value(bytes_val=b"\x00\xff"),
    "moment": Value(unix_timestamp_val=1_706_659_200),
}


def view(schema: list[Field] = SCHEMA) -> FeatureView:
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    source = PostgreSQLSource(name="things_snapshots", table="things_snapshots", timestamp_field="as_of")
    made = FeatureView(name="things_fv", entities=[user], schema=schema, source=source, ttl=timedelta(days=1))
    made.entity_columns = [Field(name="user_id", dtype=String)]
    return made


def key(user_id: str) -> EntityKey:
    return EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=user_id)])


@pytest.fixture
def ours(settings):
    store, setup = (
        WideOnlineStore(),
        store_config(settings.database, "streamflow.features.online_store.WideOnlineStore"),
    )
    store.update(setup, [], [view()], [], [], partial=False)
    return store, setup


def test_values_come_back_like_from_feasts_own_store(settings, ours):
    stock, stock_setup = PostgreSQLOnlineStore(), store_config(settings.database, "postgres")
    stock.update(stock_setup, [], [view()], [], [], partial=False)
    absent = {name: Value() for name in VALUES}
    rows = [(key("full"), VALUES, DAY, DAY), (key("empty"), absent, DAY, None)]
    answers = []
    for store, setup in (ours, (stock, stock_setup)):
        store.online_write_batch(setup, view(), rows, progress=None)
        # Names the features, because Feast's own store fails without a list of them.
        asked = [key("full"), key("nobody"), key("empty")]
        answers.append(store.online_read(setup, view(), asked, list(VALUES)))
    stock._conn.close()
    mine, theirs = answers
    assert [values for _, values in mine] == [values for _, values in theirs]
    assert [at.astimezone(UTC) if at else None for at, _ in mine] == [
        at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC) if at else None for at, _ in theirs
    ]


def test_only_the_requested_features_are_read(ours):
    store, setup = ours
    store.online_write_batch(setup, view(), [(key("u"), VALUES, DAY, DAY)], progress=None)
    ((_, values),) = store.online_read(setup, view(), [key("u")], ["bool"])
    assert values == {"bool": Value(bool_val=False)}


def test_an_older_row_never_replaces_a_newer_one(ours):
    store, setup = ours
    newer, older = {**VALUES, "int64": Value(int64_val=2)}, {**VALUES, "int64": Value(int64_val=1)}
    store.online_write_batch(setup, view(), [(key("u"), newer, DAY, DAY)], progress=None)
    store.online_write_batch(setup, view(), [(key("u"), older, DAY - timedelta(days=1), DAY)], progress=None)
    store.online_write_batch(setup, view(), [(key("u"), older, DAY, DAY - timedelta(days=1))], progress=None)
    ((at, values),) = store.online_read(setup, view(), [key("u")], ["int64"])
    assert values == {"int64": Value(int64_val=2)}
    assert at == DAY


def test_of_several_rows_of_one_entity_in_a_batch_the_newest_stays(ours):
    store, setup = ours
    batch = [
        (key("u"), {**VALUES, "int64": Value(int64_val=n)}, DAY - timedelta(days=abs(3 - n)), DAY)
        for n in range(6)
    ]
    store.online_write_batch(setup, view(), batch, progress=None)
    ((_, values),) = store.online_read(setup, view(), [key("u")], ["int64"])
    assert values == {"int64": Value(int64_val=3)}


def test_the_same_entity_may_be_asked_for_twice(ours):
    store, setup = ours
    store.online_write_batch(setup, view(), [(key("u"), VALUES, DAY, DAY)], progress=None)
    first, second = store.online_read(setup, view(), [key("u"), key("u")])
    assert first == second and first[1] is not None


def test_a_new_feature_widens_the_table_and_keeps_its_rows(ours):
    store, setup = ours
    store.online_write_batch(setup, view(), [(key("u"), VALUES, DAY, DAY)], progress=None)
    wider = view([*SCHEMA, Field(name="later", dtype=Int64)])
    store.update(setup, [], [wider], [], [], partial=False)
    ((_, values),) = store.online_read(setup, wider, [key("u")], ["int64", "later"])
    assert values == {"int64": VALUES["int64"], "later": Value()}


def test_the_table_of_a_removed_view_is_dropped(settings, ours):
    store, setup = ours
    store.update(setup, [view()], [], [], [], partial=False)
    with transaction(settings.database) as connection:
        assert connection.execute(sa.text("SELECT to_regclass('online.things_fv')")).scalar_one() is None


def test_asynchronous_reads_and_writes_are_those_of_feasts_other_callers(ours):
    store, setup = ours
    rows = [(key(f"u{n}"), {**VALUES, "int64": Value(int64_val=n)}, DAY, DAY) for n in range(20)]

    async def all_at_once():
        await asyncio.gather(
            *(store.online_write_batch_async(setup, view(), [row], progress=None) for row in rows)
        )
        return await asyncio.gather(*(store.online_read_async(setup, view(), [row[0]]) for row in rows))

    found = asyncio.run(all_at_once())
    assert found == [store.online_read(setup, view(), [row[0]]) for row in rows]
    assert [values["int64"].int64_val for ((_, values),) in found] == list(range(20))


def test_a_login_that_may_only_read_is_told_so(settings, ours):
    store, setup = ours
    reader = f"{settings.database.name}_reader"
    with transaction(settings.database) as connection:
        connection.exec_driver_sql(f"CREATE ROLE {reader} LOGIN PASSWORD 'p'")
        connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA online TO {reader}")
        connection.exec_driver_sql(f"GRANT SELECT ON online.things_fv TO {reader}")
    setup.online_store.user, setup.online_store.password = reader, "p"
    try:
        with pytest.raises(MayNotWriteError, match="things_fv") as error:
            store.online_write_batch(setup, view(), [(key("u"), VALUES, DAY, DAY)], progress=None)
        assert error.value.http_status_code() == 403
        assert store.online_read(setup, view(), [key("u")]) == [(None, None)]
    finally:
        engine(database_settings(setup.online_store)).dispose()
        with transaction(settings.database) as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {reader}")
            connection.exec_driver_sql(f"DROP ROLE {reader}")


def test_a_stream_view_that_lists_its_key_is_pushed_to_and_read(settings, tmp_path, monkeypatch):
    # Feast warns of stream feature views, except in its own tests.
    monkeypatch.setenv("IS_TEST", "True")
    setup = store_config(settings.database, "streamflow.features.online_store.WideOnlineStore")
    setup.registry_config = {"path": str(tmp_path / "registry.db")}
    batch = PostgreSQLSource(name="clicks", table="clicks", timestamp_field="as_of")
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    clicks = StreamFeatureView(
        name="clicks_fv",
        entities=[user],
        schema=[Field(name="user_id", dtype=Int64), Field(name="pages", dtype=Array(String))],
        source=PushSource(name="clicks_push", batch_source=batch),
    )
    store = FeatureStore(config=setup)
    store.apply([user, clicks])
    store.apply([user, clicks])
    with transaction(settings.database) as connection:
        found = catalog.columns(connection, "online", ["clicks_fv"])["clicks_fv"]
    assert (found["user_id"], found["pages"]) == ("bigint", "text[]")

    frame = pd.DataFrame({"user_id": [7, 8], "pages": [["a", "b"], []], "as_of": [DAY, DAY]})
    store.push("clicks_push", frame)
    asked = {"features": ["clicks_fv:pages"], "entity_rows": [{"user_id": 7}, {"user_id": 8}, {"user_id": 9}]}
    answer = store.get_online_features(**asked).to_dict()
    assert answer == {"user_id": [7, 8, 9], "pages": [["a", "b"], [], None]}
    assert asyncio.run(store.get_online_features_async(**asked)).to_dict() == answer


def test_reads_go_on_through_six_restarts_of_postgresql(tmp_path, settings):
    database = settings.database
    with home.choosing_ports():
        server = postgres.Server(
            folder=tmp_path / "data",
            port=home.free_port(15600),
            user=database.user,
            password=database.secret,
            log=tmp_path / "postgres.log",
        )
        postgres.create(server)
        process = postgres.start(server)
    setup = store_config(settings.database, "streamflow.features.online_store.WideOnlineStore")
    setup.online_store.port, setup.online_store.database = server.port, "postgres"
    store = WideOnlineStore()
    try:
        with transaction(elsewhere(settings, server).database) as connection:
            connection.exec_driver_sql("CREATE SCHEMA online")
        store.update(setup, [], [view()], [], [], partial=False)
        store.online_write_batch(setup, view(), [(key("u"), VALUES, DAY, DAY)], progress=None)
        for _ in range(6):
            # SIGQUIT is PostgreSQL's immediate shutdown: connections break, as when a node is lost.
            processes.stop(process, first=signal.SIGQUIT, grace_seconds=30)
            process = postgres.start(server)
            for _ in range(20):
                ((at, values),) = store.online_read(setup, view(), [key("u")], ["int64"])
                assert (at, values) == (DAY, {"int64": VALUES["int64"]})
    finally:
        engine(elsewhere(settings, server).database).dispose()
        postgres.shut_down(process)


def elsewhere(settings, server):
    moved = settings.database.model_copy(update={"port": server.port, "name": "postgres"})
    return settings.model_copy(update={"database": moved})


def test_definitions_are_applied_again_beside_somebody_who_reads(settings, monkeypatch):
    """An apply that waited for a reader would block later readers: predict would stop at every upgrade."""
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=2s")
    apply(settings)
    with transaction(settings.database) as reader:
        reader.exec_driver_sql("SELECT * FROM online.subs_profile_fv")
        apply(settings)
