"""Backups in an object store, over the S3 protocol: copied whole or not at all, fetched, checked and deleted."""

from __future__ import annotations

import json
import shutil
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from streamflow.backup import backup as backups
from streamflow.backup import dump as dumps
from streamflow.backup import object_store
from streamflow.erasure import listed
from streamflow.errors import DependencyDown, NotFound, Refused, UsageError
from streamflow.postgres.backup_results import BackupResult
from streamflow.postgres.engine import transaction
from streamflow.settings import BackupSettings

pytestmark = pytest.mark.postgres
URL = "s3://safe/streamflow/backups"


@pytest.fixture(scope="module")
def server():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(server, monkeypatch):
    """An empty bucket `safe`."""
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="safe")
    yield client
    for key in keys(client):
        client.delete_object(Bucket="safe", Key=key)
    client.delete_bucket(Bucket="safe")


@pytest.fixture
def made(module_settings, tmp_path):
    """Makes a backup of a real database in a folder of this test; returns its result and the settings."""
    database = module_settings.database.model_copy(update={"mlflow_name": "no_such_database"})

    def make(**options):
        settings = BackupSettings(folder=tmp_path / "backups", artifacts=False, url=URL, **options)
        return settings, backups.backup(database, module_settings.mlflow, settings)

    return make


def keys(client):
    """Keys of all objects in the bucket that are files."""
    found = client.list_objects_v2(Bucket="safe").get("Contents", [])
    return [item["Key"] for item in found]


def names(client):
    """Names of the folders that hold a backup, or a part of one."""
    found = {Path(key).parts for key in keys(client) if key.startswith("streamflow/backups/")}
    return sorted({parts[2] for parts in found if len(parts) > 3})


def named(days):
    """Name of a backup so many days ago."""
    return (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H%M%S.%fZ")


def put(client, name, *files):
    for file in files:
        client.put_object(Bucket="safe", Key=f"streamflow/backups/{name}/{file}", Body=b"{}")


def test_a_backup_comes_back_from_the_store_to_an_empty_disk(bucket, made):
    settings, done = made()
    uploaded = object_store.uploaded(settings, done)
    assert uploaded.url == f"{URL}/{done.folder.name}"
    before = {path.name: path.read_bytes() for path in done.folder.iterdir()}
    shutil.rmtree(settings.folder)
    folder = object_store.fetched(settings, None)
    assert folder == done.folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert dumps.read(folder) is not None
    # As private as the one that was made here: the dumps have the data of every user.
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_nothing_is_copied_without_a_url(bucket, made):
    settings, done = made()
    local = settings.model_copy(update={"url": ""})
    assert object_store.uploaded(local, done) == done
    assert keys(bucket) == []
    assert object_store.fetched(local, None) is None
    assert object_store.fetched(local, Path("elsewhere")) == Path("elsewhere")


def test_the_newest_is_taken_wherever_it_lies_and_one_that_is_here_is_not_copied(bucket, made):
    settings, first = made()
    object_store.uploaded(settings, first)
    _, second = made()
    assert object_store.fetched(settings, None) == second.folder
    object_store.uploaded(settings, second)
    (first.folder / dumps.MANIFEST).write_text("changed here")
    assert object_store.fetched(settings, Path(first.folder.name)) == first.folder
    assert (first.folder / dumps.MANIFEST).read_text() == "changed here"
    shutil.rmtree(second.folder)
    assert object_store.fetched(settings, None) == second.folder
    assert object_store.fetched(settings, first.folder) == first.folder


def test_a_backup_is_named_to_be_fetched(bucket, made):
    settings, first = made()
    object_store.uploaded(settings, first)
    object_store.uploaded(settings, made()[1])
    shutil.rmtree(settings.folder)
    assert object_store.fetched(settings, Path(first.folder.name)) == first.folder
    with pytest.raises(NotFound, match=f"no backup {named(9)[:10]}"):
        object_store.fetched(settings, Path(named(9)))


@pytest.mark.parametrize("position", ["first", "middle", "last"])
def test_a_flipped_byte_in_the_store_is_refused_and_leaves_nothing_here(bucket, made, position):
    settings, done = made()
    object_store.uploaded(settings, done)
    shutil.rmtree(settings.folder)
    (key,) = [key for key in keys(bucket) if key.endswith(".dump")]
    content = bytearray(bucket.get_object(Bucket="safe", Key=key)["Body"].read())
    content[{"first": 0, "middle": len(content) // 2, "last": -1}[position]] ^= 1
    bucket.put_object(Bucket="safe", Key=key, Body=bytes(content))
    with pytest.raises(Refused, match="corrupt or was modified"):
        object_store.fetched(settings, None)
    assert list(settings.folder.iterdir()) == []


def test_only_what_the_manifest_lists_is_copied_and_no_more_than_its_size(bucket, made):
    settings, done = made()
    object_store.uploaded(settings, done)
    shutil.rmtree(settings.folder)
    (key,) = [key for key in keys(bucket) if key.endswith(".dump")]
    content = bucket.get_object(Bucket="safe", Key=key)["Body"].read()
    bucket.put_object(Bucket="safe", Key=key, Body=content + b"x" * (20 << 20))
    put(bucket, done.folder.name, "zzz", "other.dump")
    folder = object_store.fetched(settings, None)
    assert {path.name for path in folder.iterdir()} == {Path(key).name, dumps.MANIFEST, dumps.DIGEST}
    assert (folder / Path(key).name).read_bytes() == content


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"databases": {}}', b'{"file": "../../x", "bytes": 9}']
)
def test_a_manifest_that_is_none_is_refused_and_leaves_nothing_here(bucket, made, content):
    settings, done = made()
    shutil.rmtree(done.folder)
    key = f"streamflow/backups/{done.folder.name}/{dumps.MANIFEST}"
    bucket.put_object(Bucket="safe", Key=key, Body=content)
    with pytest.raises(Refused):
        object_store.fetched(settings, None)
    assert list(settings.folder.iterdir()) == []


def test_a_file_that_is_gone_from_the_store_is_refused(bucket, made):
    settings, done = made()
    object_store.uploaded(settings, done)
    shutil.rmtree(settings.folder)
    (key,) = [key for key in keys(bucket) if key.endswith(".dump")]
    bucket.delete_object(Bucket="safe", Key=key)
    with pytest.raises(Refused) as found:
        object_store.fetched(settings, None)
    assert "is missing" in str(found.value)
    assert list(settings.folder.iterdir()) == []


def test_an_upload_that_is_cut_short_is_no_backup_and_deletes_nothing(bucket, made):
    settings, done = made(keep=1)
    object_store.uploaded(settings, done)
    _, second = made(keep=1)
    # A folder cannot be read as a file, and its name is the last before the manifest.
    (second.folder / "zzz").mkdir()
    with pytest.raises(DependencyDown, match="cannot be used"):
        object_store.uploaded(settings, second)
    assert names(bucket) == [done.folder.name, second.folder.name]
    shutil.rmtree(settings.folder)
    assert object_store.fetched(settings, None) == done.folder
    with pytest.raises(NotFound):
        object_store.fetched(settings, Path(second.folder.name))


def test_so_many_are_kept_and_what_was_abandoned_goes(bucket, made):
    old, older, abandoned, running = named(3), named(5), named(4), named(0.5)
    put(bucket, old, "a.dump", dumps.MANIFEST)
    put(bucket, older, "a.dump", dumps.MANIFEST)
    put(bucket, abandoned, "a.dump")
    put(bucket, running, "a.dump")
    put(bucket, "photos", "a.jpg")
    bucket.put_object(Bucket="safe", Key="streamflow/backups/notes.txt", Body=b"ours")
    bucket.put_object(Bucket="safe", Key="other/2024-01-31/users.csv", Body=b"theirs")
    settings, done = made(keep=2)
    object_store.uploaded(settings, done)
    assert names(bucket) == sorted([old, running, done.folder.name, "photos"])
    assert {"streamflow/backups/notes.txt", "other/2024-01-31/users.csv"} <= set(keys(bucket))


def test_a_store_without_a_backup_says_so(bucket, made):
    settings, done = made()
    shutil.rmtree(done.folder)
    with pytest.raises(NotFound, match=f"There is no backup yet in {URL}"):
        object_store.fetched(settings, None)


@pytest.mark.parametrize("what", [object_store.fetched, object_store.uploaded])
def test_a_url_of_nothing_and_a_store_that_denies_access_name_the_setting(bucket, made, what):
    settings, done = made()
    given = done if what is object_store.uploaded else None
    with pytest.raises(UsageError, match="not the URL of an object store") as wrong:
        what(settings.model_copy(update={"url": "ftp//x"}), given)
    assert "STREAMFLOW_BACKUP__URL" in wrong.value.hint
    if given:
        with pytest.raises(DependencyDown, match="cannot be used") as denied:
            what(settings.model_copy(update={"url": "s3://elsewhere/x"}), given)
        assert "STREAMFLOW_BACKUP__URL" in denied.value.hint
        assert done.folder.is_dir()


def test_the_result_of_an_older_backup_is_still_read(settings):
    from streamflow.postgres import job_results, job_runs
    from streamflow.postgres.job_runs import Ended

    facts = {"folder": "b", "files": {}, "rows": {}, "versions": [], "elsewhere": [], "removed": []}
    with transaction(settings.database) as connection:
        job_runs.record(connection, "backup", Ended("done", facts={**facts, "result_version": 2}), 1.0, None)
        found = job_results.newest(connection, BackupResult)
    assert found is not None and found.url == ""


def test_the_list_of_erasures_outlives_the_disk_and_what_either_place_lacks_is_added(bucket, made, tmp_path):
    def act(number):
        fields = {"erasure_id": f"id-{number}", "recorded_at": f"2026-01-0{number}", "action": "erase"}
        return fields

    listed.write(tmp_path / "backups", [act(1)])
    settings, done = made()
    object_store.uploaded(settings, done)
    shutil.rmtree(settings.folder)
    folder = object_store.fetched(settings, None)
    assert dumps.read(folder).made_at
    assert listed.in_file(settings.folder) == [act(1)]
    (settings.folder / listed.FILE).unlink()
    listed.write(settings.folder, [act(2)])
    object_store.uploaded(settings, done)
    assert listed.in_file(settings.folder) == [act(1), act(2)]
    stored = bucket.get_object(Bucket="safe", Key=f"streamflow/backups/{listed.FILE}")["Body"].read()
    assert json.loads(stored) == [act(1), act(2)]


@pytest.mark.parametrize("content", [b"{", b"{}", b"[1]", b'[{"action": "erase"}]'])
def test_a_list_of_erasures_that_cannot_be_read_stops_a_restore(bucket, made, content):
    settings, done = made()
    object_store.uploaded(settings, done)
    bucket.put_object(Bucket="safe", Key=f"streamflow/backups/{listed.FILE}", Body=content)
    for folder in (None, done.folder):
        with pytest.raises(Refused, match="list of erasures"):
            object_store.fetched(settings, folder)


def test_an_erasure_copies_its_list_at_once_and_says_so_if_the_store_is_away(
    bucket, module_settings, tmp_path
):
    from functools import partial

    from streamflow.apply import apply
    from streamflow.erasure.acts import Asked
    from streamflow.forget import person

    apply(module_settings)
    key = tmp_path / "key"
    key.write_text("k" * 48)
    erasure = module_settings.erasure.model_copy(update={"key_file": key})

    def erased(url, entity):
        settings = BackupSettings(folder=tmp_path / "backups", url=url)
        places = person.places(
            module_settings.database,
            module_settings.mlflow,
            settings,
            erasure,
            partial(object_store.copy_list, settings),
        )
        return person.erase(places, entity, Asked("a request", "ada", ""))

    assert not [each for each in erased(URL, "u1").left if "list" in each]
    stored = bucket.get_object(Bucket="safe", Key=f"streamflow/backups/{listed.FILE}")["Body"].read()
    assert len(json.loads(stored)) == 1
    assert any("list" in each for each in erased("s3://no-such-bucket/x", "u2").left)
