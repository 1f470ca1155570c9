"""A drop ingested with `engine: spark` has the same rows, ledger and quarantine; its rows are in Parquet files."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime

import boto3
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from moto.server import ThreadedMotoServer
from test_corpus_of_drops import CASES, TAKEN, drop
from test_killed_writers import kill_at

from small_disks import filled, mounted
from streamflow.drops import ledger
from streamflow.errors import DependencyDown, DiskFull, DropRefused, Refused
from streamflow.gate import slices
from streamflow.jobs.ingest import ingest_folder
from streamflow.jobs.materialize import materialize
from streamflow.jobs.monitor import monitor
from streamflow.lake import ledger as lake_ledger
from streamflow.lake import place, read
from streamflow.local.simulate import Simulation, simulate
from streamflow.postgres.engine import transaction
from streamflow.repo import definitions
from streamflow.settings import LakeSettings
from streamflow.snapshots import history, views

pytestmark = pytest.mark.postgres
JANUARY, FEBRUARY = date(2024, 1, 31), date(2024, 2, 29)


def in_lake(settings, url):
    return settings.model_copy(update={"engine": "spark", "lake": LakeSettings(url=str(url))})


def described(settings):
    """The ledger, its files and the quarantine, without what differs between two ingests of the same drop."""
    with transaction(settings.database) as connection:
        drops = [
            (item.drop_id, item.as_of, item.sequence, item.digest, item.accepted, item.quarantined)
            for item in ledger.entries(connection)
        ]
        files = [ledger.files(connection, item[0]) for item in drops]
        return drops, files, ledger.quarantined(connection, most=10_000)


def rows_of(settings, repo, url=None):
    """All rows with their stamps but the load time, by table, from PostgreSQL's views or from the lake."""
    found = {}
    for table in repo.tables:
        if url is None:
            rows = history.read(settings.database, table)
        else:
            lake = place.opened(str(url))
            with transaction(settings.database) as connection:
                drops = lake_ledger.drops(connection, lake, table.name)
            rows = read.history(lake, table, drops)
        found[table.name] = rows.drop_columns(["loaded_at"])
    return found


@pytest.fixture(scope="module")
def repo(module_settings):
    return definitions.load(module_settings.feast.repo)


@pytest.fixture
def tables_of(module_settings):
    """Settings of another database, whose rows are in tables; empty at the beginning of each test."""
    from streamflow.apply import apply

    apply(module_settings)
    yield module_settings
    with transaction(module_settings.database) as connection:
        names = connection.execute(
            sa.text(
                "SELECT c.oid::regclass::text FROM pg_class c"
                " WHERE relnamespace = 'source'::regnamespace AND relkind = 'p'"
            )
        ).scalars()
        for name in names.all():
            connection.exec_driver_sql(f"DROP TABLE {name} CASCADE")
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for name in ("drops", "drop_files", "drop_chain", "quarantine"):
            connection.exec_driver_sql(f"DELETE FROM streamflow.{name}")


@pytest.mark.parametrize("name", ["good", *TAKEN])
def test_both_engines_store_the_same_rows_ledger_and_quarantine(settings, tables_of, repo, tmp_path, name):
    folder = drop("good", tmp_path / "good")
    case = drop(name, tmp_path / "case") if name != "good" else folder
    lake = in_lake(settings, tmp_path / "lake")
    for made in (tables_of, lake):
        first = ingest_folder(made, folder, JANUARY, "a test")
        second = ingest_folder(made, case, FEBRUARY, "a test")
        again = ingest_folder(made, case, FEBRUARY, "a test")
        assert first.changed and second.changed and not again.changed
    assert described(lake) == described(tables_of)
    of_tables, of_lake = rows_of(tables_of, repo), rows_of(lake, repo, tmp_path / "lake")
    assert any(table.num_rows for table in of_tables.values())
    for table, expected in of_tables.items():
        assert of_lake[table].equals(expected), table


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("good", *TAKEN)])
def test_both_engines_refuse_the_same_drops(settings, tables_of, tmp_path, name):
    said = []
    for made in (tables_of, in_lake(settings, tmp_path / "lake")):
        with pytest.raises(DropRefused) as refused:
            ingest_folder(made, drop(name, tmp_path / "case"), JANUARY)
        said.append(str(refused.value))
    assert said[0] == said[1]
    assert not (tmp_path / "lake").exists()


@pytest.fixture
def delivered(settings, tmp_path):
    """Three months of drops."""
    return simulate(settings.feast.repo, tmp_path / "drops", Simulation(users=300, months=3, seed=5))


def test_a_correction_is_a_drop_beside_the_old_one_and_a_known_at_freezes_what_is_read(
    settings, delivered, repo, tmp_path
):
    lake = in_lake(settings, tmp_path / "lake")
    first = ingest_folder(lake, delivered[0].folder, delivered[0].as_of)
    before = rows_of(lake, repo, tmp_path / "lake")
    labels = delivered[0].folder / "labels.csv"
    lines = labels.read_text().splitlines(keepends=True)
    labels.write_text("".join(lines[:-1]))
    second = ingest_folder(lake, delivered[0].folder, delivered[0].as_of)
    assert second.accepted["labels"] == first.accepted["labels"] - 1
    opened, table = place.opened(lake.lake.url), repo.table("labels")
    with transaction(settings.database) as connection:
        frozen = lake_ledger.drops(connection, opened, "labels", known_at=first.loaded_at)
        both = lake_ledger.drops(connection, opened, "labels")
    assert read.history(opened, table, frozen).drop_columns(["loaded_at"]).equals(before["labels"])
    assert read.history(opened, table, both).num_rows == 2 * first.accepted["labels"] - 1
    newest = list(read.newest(opened, table, both, [repo.label.column]))
    assert [part.num_rows for part in newest] == [second.accepted["labels"], 1]


def test_rows_lie_in_the_order_of_their_keys_and_some_keys_are_read_alone(
    settings, delivered, repo, tmp_path
):
    lake = in_lake(settings, tmp_path / "lake")
    ingest_folder(lake, delivered[0].folder, delivered[0].as_of)
    opened, table = place.opened(lake.lake.url), repo.entity_table
    with transaction(settings.database) as connection:
        drops = lake_ledger.drops(connection, opened, table.name)
    keys = read.drop(opened, table, drops[0], [table.key]).column(0).to_pylist()
    assert keys == sorted(keys, key=str.encode)
    some = read.drop(opened, table, drops[0], keys=[keys[7], keys[3], "nobody"])
    assert some.column(table.key).to_pylist() == [keys[3], keys[7]]
    file = next((tmp_path / "lake").rglob("users/**/*.parquet"))
    assert pq.ParquetFile(file).metadata.row_group(0).column(0).compression == "ZSTD"
    assert {path.name[0] for path in (tmp_path / "lake").rglob("*.parquet")} == {"p"}


def test_an_ingest_killed_between_its_files_and_the_commit_leaves_nothing_and_is_repeated(
    settings, delivered, repo, tmp_path, monkeypatch
):
    lake = in_lake(settings, tmp_path / "lake")
    ingest_folder(lake, delivered[0].folder, delivered[0].as_of)
    before = rows_of(lake, repo, tmp_path / "lake"), described(lake)
    monkeypatch.setenv("STREAMFLOW_ENGINE", "spark")
    monkeypatch.setenv("STREAMFLOW_LAKE__URL", str(tmp_path / "lake"))
    command = ["ingest", str(delivered[1].folder), "--as-of", str(delivered[1].as_of)]
    kill_at(settings, "streamflow.quarantine", command)
    left = list((tmp_path / "lake").rglob(f"as_of={delivered[1].as_of}/*/*.parquet"))
    assert len(left) == len(repo.tables)
    assert (rows_of(lake, repo, tmp_path / "lake"), described(lake)) == before
    # Half of what was left, and something else, must not survive.
    left[0].write_bytes(left[0].read_bytes()[:100])
    shutil.copyfile(left[1], left[1].with_name("part-00009.parquet"))
    done = ingest_folder(lake, delivered[1].folder, delivered[1].as_of)
    after = rows_of(lake, repo, tmp_path / "lake")
    assert {name: after[name].num_rows - rows.num_rows for name, rows in before[0].items()} == done.accepted


def test_a_full_disk_of_the_lake_is_named_and_nothing_counts(settings, delivered, tmp_path):
    with mounted(tmp_path / "lake", 2) as disk:
        lake = in_lake(settings, disk)
        with filled(disk, leave=4096), pytest.raises(DiskFull, match="is full"):
            ingest_folder(lake, delivered[0].folder, delivered[0].as_of)
        assert described(lake) == ([], [], [])
        assert ingest_folder(lake, delivered[0].folder, delivered[0].as_of).changed


def test_a_lake_that_cannot_be_written_is_an_error_and_nothing_counts(settings, delivered, tmp_path):
    (tmp_path / "file").write_text("no folder")
    lake = in_lake(settings, tmp_path / "file")
    with pytest.raises(DependencyDown, match=r"The lake .*file cannot be used.*\n.*STREAMFLOW_LAKE__URL"):
        ingest_folder(lake, delivered[0].folder, delivered[0].as_of)
    assert described(lake) == ([], [], [])


def test_lost_files_of_a_drop_are_an_error_and_no_empty_month(settings, delivered, repo, tmp_path):
    lake = in_lake(settings, tmp_path / "lake")
    ingest_folder(lake, delivered[0].folder, delivered[0].as_of)
    shutil.rmtree(tmp_path / "lake" / "labels")
    with pytest.raises(
        DependencyDown, match=r"The rows of labels of the drop 2024-01-31.* are not in the lake"
    ):
        rows_of(lake, repo, tmp_path / "lake")


def test_one_database_has_one_engine(settings, delivered, repo, tmp_path):
    from streamflow.apply import apply

    apply(settings)
    lake = in_lake(settings, tmp_path / "lake")
    ingest_folder(settings, delivered[0].folder, delivered[0].as_of)
    with pytest.raises(Refused, match="ingested with 'engine: postgresql'"):
        ingest_folder(lake, delivered[1].folder, delivered[1].as_of)
    with pytest.raises(Refused, match="ingested with 'engine: postgresql'"):
        rows_of(lake, repo, tmp_path / "lake")
    assert not (tmp_path / "lake").exists()


def test_rows_in_the_lake_are_not_looked_for_in_postgresql(settings, delivered, repo, tmp_path):
    from streamflow.apply import apply

    apply(settings)
    ingest_folder(in_lake(settings, tmp_path / "lake"), delivered[0].folder, delivered[0].as_of)
    with pytest.raises(Refused, match="ingested with 'engine: spark'"):
        ingest_folder(settings, delivered[1].folder, delivered[1].as_of)
    with pytest.raises(Refused, match="ingested with 'engine: spark'"):
        rows_of(settings, repo)
    for recipe in (monitor, materialize):
        with pytest.raises(Refused, match="ingested with 'engine: spark'"):
            recipe(settings)
    now = datetime.now(UTC)
    with (
        pytest.raises(Refused, match="ingested with 'engine: spark'"),
        views.frozen(settings.database, repo, now),
    ):
        pass


def test_the_history_and_the_slices_of_the_gate_are_those_of_the_tables(
    settings, tables_of, delivered, repo, tmp_path
):
    lake = in_lake(settings, tmp_path / "lake")
    for made in (tables_of, lake):
        for item in delivered:
            ingest_folder(made, item.folder, item.as_of)
    as_of, now = datetime(2024, 2, 29, tzinfo=UTC), datetime.now(UTC)
    with views.frozen(tables_of.database, repo, now) as schema, transaction(tables_of.database) as connection:
        select = sa.text(f"SELECT DISTINCT {repo.join_key} FROM {schema}.{repo.entity_table.snapshots}")
        expected = slices.read(connection, repo, schema, as_of, connection.execute(select).scalars().all())
    with transaction(lake.database) as connection:
        assert slices.read_lake(connection, repo, lake.lake.url, as_of, now) == expected
    assert all(len(parts) > 300 for parts in expected.values())
    keys = sorted(expected[repo.slices[0].name])[:5]
    former = history.read(tables_of.database, repo.entity_table, keys)
    found = history.read(lake.database, repo.entity_table, keys, lake=lake.lake.url)
    assert found.drop_columns(["loaded_at"]).equals(former.drop_columns(["loaded_at"]))
    assert found.num_rows > len(keys)


@pytest.fixture
def bucket(monkeypatch):
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    for name, value in {
        "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="lake")
    yield "lake"
    server.stop()


def test_a_lake_in_an_object_store_has_the_same_rows(settings, tables_of, delivered, repo, bucket):
    lake = in_lake(settings, f"s3://{bucket}/rows")
    for made in (tables_of, lake):
        for item in delivered[:2]:
            ingest_folder(made, item.folder, item.as_of)
    expected, found = rows_of(tables_of, repo), rows_of(lake, repo, lake.lake.url)
    assert all(found[name].equals(rows) for name, rows in expected.items())


def test_an_object_store_that_denies_access_is_an_error(settings, delivered, bucket):
    lake = in_lake(settings, "s3://another/rows")
    with pytest.raises(DependencyDown, match="The lake s3://another/rows cannot be used"):
        ingest_folder(lake, delivered[0].folder, delivered[0].as_of)
    assert described(lake) == ([], [], [])
