"""Scoring and the gate read a history of any length as a plain model does, and the newest month at its own price."""

import math
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings, strategies

from source_rows import add_drop
from streamflow.apply import apply
from streamflow.features.training_set import feature_schema
from streamflow.gate import slices
from streamflow.model_version.contract import Contract
from streamflow.postgres.engine import transaction
from streamflow.repo import definitions
from streamflow.repo.declarations import Slice
from streamflow.repo.parts import part
from streamflow.scoring import read
from streamflow.scoring.read import Shard
from streamflow.settings import FeastSettings
from streamflow.snapshots import views
from streamflow.times import midnight

pytestmark = pytest.mark.postgres
REPO = Path(__file__).parents[1] / "other_repo"
FIRST = date(2024, 1, 31)
KEYS = ("T-0001", "T-0002", "T-0003", "T-0004")
TABLES = {
    "turbines": ("rotor_m, foundation, moorings", "{0}, 'land', NULL"),
    "sensors": ("vibration_mm_s, hot_starts, icing", "{0}, {0}, true"),
}
SLICE = Slice("foundation", "turbines", "foundation")

# A drop: the number of its date, and for each table the keys that it has with their values. Dates repeat: corrections.
drops = strategies.lists(
    strategies.tuples(
        strategies.integers(0, 4),
        strategies.fixed_dictionaries(
            {
                table: strategies.dictionaries(strategies.sampled_from(KEYS), strategies.integers(0, 9))
                for table in TABLES
            }
        ),
    ),
    max_size=7,
)


def as_of(number):
    """The date of a number; dates 10 days apart lie on the edges of the views' time to live."""
    return midnight(FIRST + timedelta(days=10 * number))


def loaded_at(position):
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=position)


@pytest.fixture(scope="module")
def platform(module_settings):
    adapted = module_settings.model_copy(update={"feast": FeastSettings(repo=REPO)})
    apply(adapted)
    return adapted


@pytest.fixture(scope="module")
def contract(platform):
    repo = definitions.load(platform.feast.repo)
    features, of_views = feature_schema(repo)
    return Contract("m", "s", repo.join_key, features, of_views, 0.5, {}, "e", "", "", "")


def sliced(repo):
    return replace(repo, slices=(SLICE,))


def store(connection, history):
    """Load drops in their order; nothing is kept of what was there before."""
    connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
    connection.exec_driver_sql("DELETE FROM source.turbines; DELETE FROM source.sensors")
    connection.exec_driver_sql("DELETE FROM streamflow.drops")
    for position, (number, tables) in enumerate(history):
        drop = add_drop(connection, f"drop {position}", as_of(number), loaded_at(position))
        for table, rows in tables.items():
            columns, values = TABLES[table]
            for key, value in sorted(rows.items()):
                connection.exec_driver_sql(
                    f"INSERT INTO source.{table} (turbine_id, {columns}, drop_number)"
                    f" VALUES ('{key}', {values.format(value)}, {drop})"
                )


def newest_rows(history, table, until, known):
    """Number of the date and value of each key's newest row: of one date, of the last drop that was loaded."""
    found = {}
    for number, tables in sorted(history[:known], key=lambda drop: drop[0]):
        if number <= until:
            found |= {key: (number, value) for key, value in tables[table].items()}
    return found


def expected(history, until, known):
    """What is read: per key the values of both views and the as-of of their rows, in descending order of keys."""
    design, strain = (newest_rows(history, table, until, known) for table in ("turbines", "sensors"))
    return [
        (key, *(of_view.get(key, (None, None)) for of_view in (design, strain)))
        for key in sorted(design, reverse=True)
    ]


def rows_of(chunks):
    for chunk in chunks:
        for at, key in enumerate(chunk.keys.to_pylist()):
            values = [
                None if absent[at] else column[at]
                for column, absent in zip(chunk.columns, chunk.absent, strict=True)
            ]
            yield key, values, [stamps[at] for stamps in chunk.stamps]


def found(rows):
    """Rows of `rows_of` as `expected` has them."""
    for key, (rotor, _, _, vibration, starts, _), stamps in rows:
        assert vibration == starts
        numbers = [None if math.isnan(s) else round((s - as_of(0).timestamp()) / 864_000) for s in stamps]
        yield key, (numbers[0], rotor), (numbers[1], vibration)


def latest_of(history, table, until, known):
    numbers = [number for number, tables in history[:known] if number <= until and tables[table]]
    return as_of(max(numbers)).timestamp() if numbers else math.nan


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    history=drops, until=strategies.integers(0, 4), data=strategies.data(), count=strategies.integers(1, 3)
)
def test_every_entitys_newest_row_is_read_whatever_the_history(
    platform, contract, history, until, data, count
):
    """Corrections, late drops, keys that come and go, tables without rows; and any split of the months."""
    repo = definitions.load(platform.feast.repo)
    known = data.draw(strategies.integers(0, len(history)))
    with transaction(platform.database) as connection:
        store(connection, history)
    known_at = loaded_at(known) - timedelta(microseconds=1)
    with (
        views.frozen(platform.database, repo, known_at) as schema,
        transaction(platform.database) as connection,
    ):
        newest = read.newest_as_of(connection, repo, contract, schema, as_of(until))
        others = tuple(
            data.draw(strategies.sampled_from([as_of(n).timestamp() for n in range(5)])) for _ in newest
        )
        result = {}
        for split in (newest, others):
            rows = []
            for index in range(count):
                shard = Shard(index, count)
                select = read.statement(repo, contract, schema, as_of(until), split, shard)
                with closing(read.chunks(connection, contract, select, 3)) as chunks:
                    rows += found(rows_of(chunks))
            result[split] = sorted(rows, reverse=True) if count > 1 else rows
        parts = slices.read(connection, sliced(repo), schema, as_of(until), KEYS[1:])[SLICE.name]
    wanted = expected(history, until, known)
    assert list(map(str, newest)) == [str(latest_of(history, table, until, known)) for table in TABLES]
    assert all(rows == wanted for rows in result.values())
    held = newest_rows(history, "turbines", until, known)
    assert parts == {key: part(SLICE, "land") for key in KEYS[1:] if key in held}


USERS = 3000
BLOCKS = (
    "SELECT sum(pg_stat_get_xact_blocks_fetched(c.oid)) FROM pg_class c"
    " WHERE c.relnamespace = 'source'::regnamespace AND c.relname LIKE :table"
)


@contextmanager
def counted(connection, table, found):
    """Append the blocks of a source table and its months that are read meanwhile.

    The server's count includes what earlier transactions of the connection read within the same second.
    """
    before, after = (connection.execute(sa.text(BLOCKS), {"table": f"{table}%"}).scalar_one() for _ in "ab")
    assert before == after, "the count changes nothing that it counts"
    yield
    after = connection.execute(sa.text(BLOCKS), {"table": f"{table}%"}).scalar_one()
    found.append(int(after - before))


def months_of_many(connection, count):
    """Months of as many turbines, which are the same in each."""
    connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
    connection.exec_driver_sql(
        "DELETE FROM source.turbines; DELETE FROM source.sensors; DELETE FROM streamflow.drops"
    )
    for number in range(count):
        drop = add_drop(connection, f"month {number}", as_of(number), loaded_at(number))
        for table, (columns, values) in TABLES.items():
            connection.exec_driver_sql(
                f"INSERT INTO source.{table} (turbine_id, {columns}, drop_number)"
                f" SELECT to_char(n, 'FM\"T-\"0000'), {values.format(1)}, {drop} FROM generate_series(1, {USERS}) AS n"
            )
    # As ingest does.
    connection.exec_driver_sql("ANALYZE source.turbines, source.sensors, streamflow.drops")


def read_by(platform, contract, count, table):
    """Blocks of a table that the newest month of some costs: its newest as-of, the slices, the rows that are scored."""
    repo = definitions.load(platform.feast.repo)
    with transaction(platform.database) as connection:
        months_of_many(connection, count)
    at, found = as_of(count - 1), []
    with views.frozen(platform.database, repo, loaded_at(count)) as schema:
        with transaction(platform.database) as connection, counted(connection, table, found):
            newest = read.newest_as_of(connection, repo, contract, schema, at)
        with transaction(platform.database) as connection, counted(connection, table, found):
            keys = [f"T-{n:04}" for n in range(1, USERS + 1)]
            (parts,) = slices.read(connection, sliced(repo), schema, at, keys).values()
            assert len(parts) == USERS
        with transaction(platform.database) as connection, counted(connection, table, found):
            select = read.statement(repo, contract, schema, at, newest)
            chunks = list(read.chunks(connection, contract, select, USERS))
            assert sum(len(chunk.keys) for chunk in chunks) == USERS
    return found


@pytest.mark.parametrize("table", TABLES)
def test_a_long_history_costs_the_newest_month_nothing(platform, contract, table):
    """But for the keys of the entity table: somebody may be known from an old month alone."""
    few, many = (read_by(platform, contract, count, table) for count in (2, 20))
    month = USERS // 200
    assert few[2] >= month
    for short, long in list(zip(few, many, strict=True))[: 2 if table == "turbines" else 3]:
        assert long - short <= 2
