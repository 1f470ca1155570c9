import hashlib
from datetime import date
from types import SimpleNamespace

import pytest

from streamflow.drops import files
from streamflow.errors import UsageError

TABLES = [SimpleNamespace(name="users"), SimpleNamespace(name="labels")]


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
    here, there = (files.digest(files.find(TABLES, place)[0]) for place in (folder, other))
    assert here == there
    lines = [
        f"{name}.csv {hashlib.sha256((folder / f'{name}.csv').read_bytes()).hexdigest()}\n"
        for name in ("labels", "users")
    ]
    assert here == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_one_changed_byte_is_another_fingerprint(folder):
    before = files.digest(files.find(TABLES, folder)[0])
    (folder / "users.csv").write_text("user_id\nb\n")
    assert files.digest(files.find(TABLES, folder)[0]) != before


def test_missing_and_unknown_files_are_all_named(folder):
    (folder / "labels.csv").rename(folder / "label.csv")
    found, problems = files.find(TABLES, folder)
    assert [file.name for file in found] == ["users.csv"]
    assert [problem.split(":")[0] for problem in problems] == ["labels.csv", "label.csv"]


def test_checksums_of_the_sender_are_compared(folder):
    right = hashlib.sha256((folder / "users.csv").read_bytes()).hexdigest()
    (folder / files.CHECKSUMS).write_text(f"{right}  users.csv\n{'0' * 64} *labels.csv\n")
    _, problems = files.find(TABLES, folder)
    assert len(problems) == 1 and problems[0].startswith(
        "labels.csv: its sha256 is not the one in SHA256SUMS"
    )


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        files.find(TABLES, tmp_path / "nowhere")


def test_a_drop_id_reads_as_date_number_and_content():
    assert files.drop_id(date(2024, 1, 31), 2, "0123456789abcdef") == "2024-01-31.2-0123456789ab"
