import hashlib
import os
import re
from datetime import date
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.drops import files, limits
from streamflow.errors import UsageError

TABLES = [SimpleNamespace(name="users"), SimpleNamespace(name="labels")]
MOST = 1 << 30


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "users.csv").write_text("user_id\na\n")
    (tmp_path / "labels.csv").write_text("user_id,churn_label\na,True\n")
    (tmp_path / "README.md").write_text("not a table")
    return tmp_path


def test_the_fingerprint_is_of_the_content_and_not_of_the_place(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("elsewhere")
    for path in folder.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    here, there = (files.digest(files.find(TABLES, place, MOST)[0]) for place in (folder, other))
    assert here == there
    lines = [
        f"{name}.csv {hashlib.sha256((folder / f'{name}.csv').read_bytes()).hexdigest()}\n"
        for name in ("labels", "users")
    ]
    assert here == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_one_changed_byte_is_another_fingerprint(folder):
    before = files.digest(files.find(TABLES, folder, MOST)[0])
    (folder / "users.csv").write_text("user_id\nb\n")
    assert files.digest(files.find(TABLES, folder, MOST)[0]) != before


def test_missing_and_unknown_files_are_all_named(folder):
    (folder / "labels.csv").rename(folder / "label.csv")
    found, problems = files.find(TABLES, folder, MOST)
    assert [file.name for file in found] == ["users.csv"]
    assert [problem.split(":")[0] for problem in problems] == ["labels.csv", "label.csv"]


def test_checksums_of_the_sender_are_compared(folder):
    right = hashlib.sha256((folder / "users.csv").read_bytes()).hexdigest()
    (folder / files.CHECKSUMS).write_text(f"{right}  users.csv\n{'0' * 64} *labels.csv\n")
    _, problems = files.find(TABLES, folder, MOST)
    assert len(problems) == 1 and problems[0].startswith(
        "labels.csv: its sha256 is not the one in SHA256SUMS"
    )


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        files.find(TABLES, tmp_path / "nowhere", MOST)


def test_a_drop_id_reads_as_date_number_and_content():
    assert files.drop_id(date(2024, 1, 31), 2, "0123456789abcdef") == "2024-01-31.2-0123456789ab"


def replace(path, kind, secret):
    path.unlink(missing_ok=True)
    if kind == "a symbolic link":
        path.symlink_to(secret)
    elif kind == "a FIFO":
        os.mkfifo(path)
    else:
        path.mkdir()


@pytest.mark.parametrize("name", ["labels.csv", files.CHECKSUMS])
@pytest.mark.parametrize("kind", ["a symbolic link", "a FIFO", "a folder"])
def test_every_file_of_a_drop_is_a_regular_file(folder, tmp_path_factory, name, kind):
    secret = tmp_path_factory.mktemp("outside") / "secret"
    secret.write_text(f"hunter2,password\n{'0' * 64}  users.csv\n")
    replace(folder / name, kind, secret)
    found, problems = files.find(TABLES, folder, MOST)
    assert problems == [f"{name} is {kind} and not a regular file; put the file itself into the drop."]
    assert name not in [file.name for file in found]


def test_a_link_in_place_of_a_drop_shows_nothing_of_where_it_leads(folder, tmp_path_factory):
    link = tmp_path_factory.mktemp("inbox") / "2024-01-31"
    link.symlink_to(folder)
    found, (problem,) = files.find(TABLES, link, MOST)
    assert found == []
    assert problem.startswith("2024-01-31 cannot be read")


def test_a_checksum_file_has_a_largest_size(folder):
    (folder / files.CHECKSUMS).write_bytes(b"x" * limits.CHECKSUM_BYTES)
    assert files.find(TABLES, folder, MOST)[1] == []
    (folder / files.CHECKSUMS).write_bytes(b"x" * (limits.CHECKSUM_BYTES + 1))
    assert files.find(TABLES, folder, MOST)[1] == [
        "SHA256SUMS is larger than 1,048,576 bytes; is it a list of checksums?"
    ]


def test_the_first_unknown_files_are_named_and_the_others_counted(folder):
    for number in range(limits.SHOWN_NAMES + 7):
        (folder / f"{number:02d}\x1b[2J{'x' * 200}.csv").touch()
    _, problems = files.find(TABLES, folder, MOST)
    assert len(problems) == limits.SHOWN_NAMES + 1
    assert problems[0].startswith("00\\x1b[2Jxxx")
    assert problems[-1] == "7 more CSV files belong to no table."
    assert all(len(problem) < 200 and problem.isprintable() for problem in problems)


def test_a_name_that_is_not_utf8_can_be_reported(folder):
    (folder / os.fsdecode(b"caf\xe9.csv")).touch()
    _, (problem,) = files.find(TABLES, folder, MOST)
    assert problem.startswith("caf\\udce9.csv: there is no table")


def test_a_folder_that_cannot_be_listed_is_a_problem_of_the_drop(folder, monkeypatch):
    monkeypatch.setattr(limits, "ENTRIES", 2)
    assert files.find(TABLES, folder, MOST) == (
        [],
        [f"{folder.name} holds more than 2 files; move those that belong to no table elsewhere."],
    )


@given(sizes=st.lists(st.integers(9, 60), min_size=2, max_size=2), most=st.integers(8, 61))
def test_a_file_is_refused_exactly_when_it_is_larger_than_the_cap(tmp_path_factory, sizes, most):
    folder = tmp_path_factory.mktemp("drop")
    for table, size in zip(TABLES, sizes, strict=True):
        (folder / f"{table.name}.csv").write_bytes(b"user_id\n".ljust(size, b"x"))
    found, problems = files.find(TABLES, folder, most)
    assert [file.size for file in found] == [size for size in sizes if size <= most]
    assert problems == [
        f"{table.name}.csv has {size:,} bytes, more than the {most:,} allowed by"
        " STREAMFLOW_INGEST__MAX_FILE_BYTES; check that it is the right file, or raise the setting."
        for table, size in zip(TABLES, sizes, strict=True)
        if size > most
    ]


def test_a_file_that_is_too_large_is_not_read(folder):
    with (folder / "users.csv").open("r+b") as file:
        # A sparse file: reading it would find a zero byte.
        file.truncate(1 << 40)
    _, (problem,) = files.find(TABLES, folder, MOST)
    assert problem.startswith("users.csv has 1,099,511,627,776 bytes, more than the 1,073,741,824 allowed")


def test_a_file_that_grows_while_it_is_read_has_an_end(folder, monkeypatch):
    read = files.Meter.readinto

    def grow(meter, buffer):
        with (folder / "users.csv").open("ab") as file:
            file.write(b"b\n")
        return read(meter, memoryview(buffer)[:2])

    monkeypatch.setattr(files.Meter, "readinto", grow)
    (folder / "labels.csv").unlink()
    _, (problem,) = files.find(TABLES[:1], folder, 100)
    assert re.match(r"users.csv has \d{3} bytes, more than the 100 allowed", problem)


def test_a_drop_of_hard_links_is_taken(folder, tmp_path_factory):
    """`cp -l` and `rsync --link-dest` make such drops."""
    copy = tmp_path_factory.mktemp("copy")
    for path in folder.iterdir():
        (copy / path.name).hardlink_to(path)
    found, problems = files.find(TABLES, copy, MOST)
    assert [file.name for file in found] == ["users.csv", "labels.csv"] and not problems
