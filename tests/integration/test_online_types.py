"""Arrays, sets, maps, structs, JSON, UUIDs and numerics come back from the online store as they were written."""

import json
import math
import uuid
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from feast import Entity, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values
from feast.types import (
    Array,
    Bool,
    Bytes,
    Decimal,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    ScalarMap,
    Set,
    String,
    Struct,
    TimeUuid,
    UnixTimestamp,
    Uuid,
    ZonedTimestamp,
)
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from store_config import store_config

from streamflow.errors import UsageError
from streamflow.features.online_store import WideOnlineStore
from streamflow.features.online_values import UnstorableValueError
from streamflow.postgres.engine import transaction

DAY = datetime(2024, 1, 31, tzinfo=UTC)
KEY = EntityKey(join_keys=["user_id"], entity_values=[Value(string_val="u")])

INT32, INT64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
SECONDS = st.integers(-62_135_596_800, 253_402_300_799)
FINITE = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)
SCALAR = {
    Int32: INT32,
    Int64: INT64,
    Float32: st.floats(width=32, allow_nan=False),
    Float64: st.floats(allow_nan=False),
    Bool: st.booleans(),
    String: TEXT,
    Bytes: st.binary(max_size=8),
    UnixTimestamp: SECONDS.map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    Uuid: st.uuids(),
    TimeUuid: st.builds(uuid.uuid1, st.integers(0, 2**48 - 1), st.integers(0, 2**14 - 1)),
    Decimal: st.decimals(
        allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=6
    ),
}
IN_JSON = st.none() | st.booleans() | INT64 | FINITE | TEXT
LISTS = st.one_of(*(st.lists(kind, min_size=1, max_size=3) for kind in (st.booleans(), INT64, FINITE, TEXT)))
MAPS = st.recursive(
    st.dictionaries(TEXT, IN_JSON | LISTS, max_size=3),
    lambda inner: st.dictionaries(TEXT, inner | st.lists(inner, min_size=1, max_size=2), max_size=3),
    max_leaves=6,
)
DOCUMENTS = st.recursive(
    IN_JSON,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
CASES = {
    **{f"array of {dtype}": (Array(dtype), st.lists(kind, max_size=3)) for dtype, kind in SCALAR.items()},
    **{f"set of {dtype}": (Set(dtype), st.sets(kind, max_size=3)) for dtype, kind in SCALAR.items()},
    "uuid": (Uuid, SCALAR[Uuid]),
    "numeric": (Decimal, SCALAR[Decimal]),
    "map": (Map, MAPS),
    "struct": (Struct({"name": String, "n": Int64}), st.fixed_dictionaries({"name": TEXT, "n": INT64})),
    "json": (Json, DOCUMENTS.map(json.dumps)),
    "array of maps": (Array(Map), st.lists(MAPS, max_size=2)),
    "array of structs": (
        Array(Struct({"n": Int64})),
        st.lists(st.fixed_dictionaries({"n": INT64}), max_size=2),
    ),
    "array of json": (Array(Json), st.lists(DOCUMENTS.map(json.dumps), max_size=2)),
    "array of arrays": (Array(Array(Int64)), st.lists(st.lists(INT64, max_size=3), max_size=3)),
}


def view(*schema: Field) -> FeatureView:
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    source = PostgreSQLSource(name="kinds", table="kinds", timestamp_field="as_of")
    made = FeatureView(name="kinds_fv", entities=[user], schema=list(schema), source=source)
    made.entity_columns = [Field(name="user_id", dtype=String)]
    return made


KINDS = view(*(Field(name=name, dtype=dtype) for name, (dtype, _) in CASES.items()))


@pytest.fixture(scope="module")
def ours(module_settings):
    setup = store_config(module_settings.database, "streamflow.features.online_store.WideOnlineStore")
    store = WideOnlineStore()
    store.update(setup, [], [KINDS], [], [], partial=False)
    return store, setup


def written(ours, values):
    """What is read after the entity's row was written."""
    store, setup = ours
    store.online_write_batch(setup, KINDS, [(KEY, values, DAY, DAY)], progress=None)
    ((_, found),) = store.online_read(setup, KINDS, [KEY])
    return found


def plain(value):
    """A value in a form in which 1, 1.0 and True differ."""
    found = feast_value_type_to_python_type(value)
    return repr(sorted(found, key=repr)) if isinstance(found, set) else repr(_sorted(found))


def _sorted(item):
    if isinstance(item, dict):
        return {name: _sorted(item[name]) for name in sorted(item)}
    return [_sorted(value) for value in item] if isinstance(item, list) else item


@hypothesis_settings(max_examples=40)
@given(st.fixed_dictionaries({name: st.none() | kind for name, (_, kind) in CASES.items()}))
def test_values_come_back_as_they_were_written(ours, row):
    values = {
        name: python_values_to_proto_values([row[name]], dtype.to_value_type())[0]
        for name, (dtype, _) in CASES.items()
    }
    found = written(ours, values)
    assert {name: plain(value) for name, value in found.items()} == {
        name: plain(value) for name, value in values.items()
    }
    # What is stored in columns of their types comes back in Feast's exact types, too.
    exact = [name for name in CASES if name.startswith(("array of", "set of")) and row[name] is not None]
    assert {name: found[name].WhichOneof("val") for name in exact} == {
        name: values[name].WhichOneof("val") for name in exact
    }


def test_columns_have_the_types_of_postgresql(ours, module_settings):
    with transaction(module_settings.database) as connection:
        rows = connection.execute(
            sa.text(
                "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
                " WHERE attrelid = 'online.kinds_fv'::regclass AND attnum > 0"
            )
        )
        found = dict(rows.all())
    assert found["array of Float32"] == "real[]"
    assert found["array of UnixTimestamp"] == "timestamp with time zone[]"
    assert found["set of String"] == "text[]"
    assert (found["uuid"], found["numeric"]) == ("uuid", "numeric")
    assert {found[name] for name in ("map", "struct", "json", "array of arrays")} == {"jsonb"}
    assert {found[name] for name in ("array of maps", "array of structs", "array of json")} == {"jsonb[]"}


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("map", {"a": -math.inf}, "JSON has no -inf"),
        ("map", {"a": [math.inf]}, "JSON has no inf"),
        ("map", {"a": b"x"}, "type bytes"),
        ("map", {"a": DAY}, "type unix_timestamp"),
        ("map", {"a\0": 1}, "NUL"),
        ("json", '{"a": "\\u0000"}', "NUL"),
        ("json", '"\\ud800"', "surrogate"),
        ("json", "NaN", "JSON has no nan"),
        ("array of String", ["a\0"], "NUL"),
    ],
)
def test_a_value_that_would_be_changed_is_refused_and_nothing_is_written(ours, name, value, why):
    before = written(ours, {"map": Value()})
    refused = python_values_to_proto_values([value], CASES[name][0].to_value_type())[0]
    with pytest.raises(UnstorableValueError, match=why) as error:
        written(ours, {name: refused})
    assert error.value.http_status_code() == 422
    store, setup = ours
    ((_, after),) = store.online_read(setup, KINDS, [KEY])
    assert after == before


def test_a_moment_that_pandas_has_as_nat_is_null(ours):
    nat = -(2**63)
    found = written(ours, {"array of UnixTimestamp": Value(unix_timestamp_list_val={"val": [0, nat]})})
    assert list(found["array of UnixTimestamp"].unix_timestamp_list_val.val) == [0, nat]


@pytest.mark.parametrize("dtype", [ZonedTimestamp, ScalarMap], ids=str)
def test_a_type_without_a_column_type_is_refused_by_name(ours, dtype):
    store, setup = ours
    with pytest.raises(UsageError, match=str(dtype)):
        store.update(setup, [], [view(Field(name="other", dtype=dtype))], [], [], partial=False)
