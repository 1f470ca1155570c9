"""The inbox on an object store, over the S3 protocol."""

import shutil
import time
from datetime import date
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from streamflow.drops import inbox, object_store
from streamflow.drops.complete import QUIET_SECONDS
from streamflow.drops.raw_file import FileError
from streamflow.errors import DependencyDown, DropRefused, UsageError
from streamflow.jobs import ingest as job
from streamflow.settings import IngestSettings

GOOD = Path(__file__).parents[1] / "drops" / "good"
JANUARY, FEBRUARY = date(2024, 1, 31), date(2024, 2, 29)


@pytest.fixture(scope="module")
def server():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(server, monkeypatch):
    """A bucket with the drops of two months, and objects beside them that are not part of a drop."""
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="inbox")
    for month in ("2024-01-31", "2024-02-29"):
        for name in ("users.csv", "labels.csv"):
            client.put_object(Bucket="inbox", Key=f"drops/{month}/{name}", Body=f"{month} {name}".encode())
    for other in (
        "drops/notes.txt",
        "drops/2024-02-29/old/users.csv",
        "drops/archive/users.csv",
        "2023-12-31/a.csv",
    ):
        client.put_object(Bucket="inbox", Key=other, Body=b"no part of a drop")
    yield client
    for item in client.list_objects_v2(Bucket="inbox")["Contents"]:
        client.delete_object(Bucket="inbox", Key=item["Key"])
    client.delete_bucket(Bucket="inbox")


def nothing(_seconds):
    """Replace the wait for recent uploads; the uploads of a test are always recent."""


def fetch(url, folder, known, pause=time.sleep, **limits):
    """Copy each drop, as an ingest does one by one, and keep the copies; return the names of the folders."""
    rules = IngestSettings(inbox=url, **limits)
    drops = object_store.RemoteDrops(rules, folder, known, pause)
    names = tuple(sorted(path.name for path in folder.iterdir())) if folder.exists() else ()
    for name in names:
        with drops.copied(folder / name):
            shutil.copytree(folder / name, folder / "kept" / name)
    for path in (folder / "kept").glob("*"):
        path.rename(folder / path.name)
    shutil.rmtree(folder / "kept", ignore_errors=True)
    return names


@pytest.mark.parametrize("url", ["s3://inbox/drops", "s3://inbox/drops/"])
def test_every_drop_is_copied_with_its_time_and_nothing_else(bucket, tmp_path, url):
    assert fetch(url, tmp_path, set(), nothing) == ("2024-01-31", "2024-02-29")
    copied = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.*")}
    assert copied == {
        f"{month}/{name}": f"{month} {name}"
        for month in ("2024-01-31", "2024-02-29")
        for name in ("users.csv", "labels.csv")
    }
    uploaded = bucket.head_object(Bucket="inbox", Key="drops/2024-01-31/users.csv")[
        "LastModified"
    ].timestamp()
    assert (tmp_path / "2024-01-31" / "users.csv").stat().st_mtime == pytest.approx(uploaded, abs=1)
    assert (tmp_path / "2024-01-31").stat().st_mtime == pytest.approx(uploaded, abs=1)


def test_a_date_that_was_taken_is_not_copied_again(bucket, tmp_path):
    assert fetch("s3://inbox/drops", tmp_path, {JANUARY}, nothing) == ("2024-02-29",)
    assert fetch("s3://inbox/drops", tmp_path / "again", {JANUARY, FEBRUARY}, nothing) == ()


def test_a_drop_that_is_still_being_uploaded_is_left_for_the_next_time(bucket, tmp_path):
    waited = []

    def upload(seconds):
        waited.append(seconds)
        bucket.put_object(Bucket="inbox", Key="drops/2024-02-29/subscriptions.csv", Body=b"late")

    assert fetch("s3://inbox/drops", tmp_path, set(), upload) == ("2024-01-31",)
    assert waited == [QUIET_SECONDS]


def test_a_drop_of_long_ago_is_not_waited_for(bucket, tmp_path, monkeypatch):
    now = time.time()
    monkeypatch.setattr(object_store.time, "time", lambda: now + 60)

    def refuse(seconds):
        raise AssertionError(f"waited {seconds} s")

    assert len(fetch("s3://inbox/drops", tmp_path, set(), refuse)) == 2


def test_a_store_that_does_not_let_us_in_is_told_with_the_setting(bucket, tmp_path):
    with pytest.raises(DependencyDown, match="s3://elsewhere/drops") as refused:
        fetch("s3://elsewhere/drops", tmp_path, set())
    assert "STREAMFLOW_INGEST__INBOX" in str(refused.value)


def test_a_url_that_names_no_object_store_is_refused_with_the_setting(tmp_path):
    with pytest.raises(UsageError, match="STREAMFLOW_INGEST__INBOX"):
        fetch("ftp://inbox/drops", tmp_path, set())


def test_what_is_not_of_a_drop_is_not_copied(bucket, tmp_path):
    for name in ("notes.bin", "users.csv/", "SHA256SUMS", "TABLE.CSV"):
        bucket.put_object(Bucket="inbox", Key=f"drops/2024-01-31/{name}", Body=b"x")
    bucket.put_object(Bucket="inbox", Key="drops/2024-02-29/users.csv.part", Body=b"half of it")
    assert fetch("s3://inbox/drops", tmp_path, set(), nothing) == ("2024-01-31",)
    assert sorted(path.name for path in (tmp_path / "2024-01-31").iterdir()) == [
        "SHA256SUMS",
        "TABLE.CSV",
        "labels.csv",
        "users.csv",
    ]


def test_names_that_no_file_may_have_stop_no_other_drop(bucket, tmp_path):
    long = "ü" * 200
    for key in (
        "2024-3-31/users.csv",
        f"2024-03-31/{long}.csv",
        "2024-03-31/..",
        f"2024-{'0' * 300}/users.csv",
    ):
        bucket.put_object(Bucket="inbox", Key=f"drops/{key}", Body=b"x")
    fetch("s3://inbox/drops", tmp_path, set(), nothing)
    drops, problems = inbox.scan(tmp_path)
    assert [folder.name for _, folder in drops] == ["2024-01-31", "2024-02-29", "2024-03-31"]
    assert [problem.split(":")[0] for problem in problems] == [f"2024-{'0' * 55}", "2024-3-31"]
    assert [path.name for path in (tmp_path / "2024-03-31").iterdir()] == ["ü" * 60 + ".csv"]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"max_file_bytes": 99}, "holds labels.csv, which has 100 bytes, more than the 99 allowed by"),
        ({"max_fetch_bytes": 119}, "has 120 bytes, 100 of them in labels.csv: more than the 119 allowed by"),
    ],
)
def test_a_drop_that_is_too_large_is_refused_by_its_listed_size(bucket, tmp_path, monkeypatch, limits, words):
    bucket.put_object(Bucket="inbox", Key="drops/2024-01-31/labels.csv", Body=b"x" * 100)
    monkeypatch.setattr(object_store, "copy", lambda *_: pytest.fail("an object was read"))
    with pytest.raises(FileError) as refused:
        fetch("s3://inbox/drops", tmp_path, {FEBRUARY}, nothing, **limits)
    setting = f"STREAMFLOW_INGEST__{next(iter(limits)).upper()}"
    assert words in str(refused.value) and setting in str(refused.value)


def test_a_drop_as_large_as_allowed_is_copied(bucket, tmp_path):
    bucket.put_object(Bucket="inbox", Key="drops/2024-01-31/labels.csv", Body=b"x" * 100)
    limits = {"max_file_bytes": 100, "max_fetch_bytes": 120}
    assert fetch("s3://inbox/drops", tmp_path, {FEBRUARY}, nothing, **limits) == ("2024-01-31",)
    assert (tmp_path / "2024-01-31" / "labels.csv").stat().st_size == 100


@pytest.mark.parametrize("size", [3, 5 << 20])
def test_an_object_that_changed_since_it_was_listed_is_read_no_further(bucket, tmp_path, size, monkeypatch):
    rules = IngestSettings(inbox="s3://inbox/drops")
    drops = object_store.RemoteDrops(rules, tmp_path, {FEBRUARY}, nothing)
    bucket.put_object(Bucket="inbox", Key="drops/2024-01-31/users.csv", Body=b"x" * size)
    copy, copied = object_store.copy, []
    monkeypatch.setattr(object_store, "copy", lambda *given: copied.append(copy(*given)) or copied[-1])
    with (
        pytest.raises(FileError, match=r"users\.csv, which had 20 bytes"),
        drops.copied(tmp_path / "2024-01-31"),
    ):
        pytest.fail("the drop counts as copied")
    assert max(copied) <= 21
    assert not (tmp_path / "2024-01-31").exists()


@pytest.mark.postgres
def test_one_drop_that_is_too_large_stops_no_other(settings, bucket, monkeypatch):
    for month in ("2024-01-31", "2024-02-29"):
        for path in GOOD.glob("*.csv"):
            bucket.put_object(Bucket="inbox", Key=f"drops/{month}/{path.name}", Body=path.read_bytes())
    bucket.put_object(Bucket="inbox", Key="drops/2024-01-31/labels.csv", Body=b"x" * 200_000)
    now = time.time()
    monkeypatch.setattr(object_store.time, "time", lambda: now + 60)
    rules = IngestSettings(inbox="s3://inbox/drops", max_file_bytes=100_000)
    with pytest.raises(DropRefused) as refused:
        job.ingest(settings.model_copy(update={"ingest": rules}))
    (problem,) = refused.value.details
    assert problem.startswith(
        "2024-01-31 holds labels.csv, which has 200,000 bytes, more than the 100,000 allowed"
    )
    assert "Stored: 2024-02-29.1-" in str(refused.value)


@pytest.mark.postgres
def test_a_drop_later_than_the_date_to_ingest_is_not_copied(settings, bucket, monkeypatch):
    for path in GOOD.glob("*.csv"):
        bucket.put_object(Bucket="inbox", Key=f"drops/2024-01-31/{path.name}", Body=path.read_bytes())
    copy, copied = object_store.copy, []
    monkeypatch.setattr(object_store, "copy", lambda *given: copied.append(given[1]) or copy(*given))
    now = time.time()
    monkeypatch.setattr(object_store.time, "time", lambda: now + 60)
    rules = IngestSettings(inbox="s3://inbox/drops", until=JANUARY)
    assert [drop.as_of for drop in job.ingest(settings.model_copy(update={"ingest": rules})).drops] == [
        JANUARY
    ]
    assert copied and all(path.startswith("inbox/drops/2024-01-31/") for path in copied)
