from datetime import date

import pytest

from streamflow.drops.inbox import as_of, dated_folders, opened, scan
from streamflow.drops.quoting import shown
from streamflow.errors import UsageError
from streamflow.settings import IngestSettings


def test_numbered_folders_are_months_after_the_first(tmp_path):
    for name in ("month_001", "month_000", "notes", "2023-12-31", ".2024-05-31.x.part"):
        (tmp_path / name).mkdir()
    (tmp_path / "2024-03-31").touch()
    assert [(when, folder.name) for when, folder in dated_folders(tmp_path)] == [
        (date(2023, 12, 31), "2023-12-31"),
        (date(2024, 1, 31), "month_000"),
        (date(2024, 2, 29), "month_001"),
    ]
    assert dated_folders(tmp_path, date(2025, 3, 31))[-1][0] == date(2025, 4, 30)


@pytest.mark.parametrize(
    "name",
    [
        "2024-3-31",
        "2024-02-30",
        "2024-13-01",
        "0000-01-01",
        "24-03-31",
        "2024-03-31 ",
        "2024-03-31\n",
        "2024_03_31",
        "2024-03",
        "20240331",
        "31.03.2024",
        "٢٠٢٤-٠٣-٣١",
        "month_12",
        "month_0001",
        "Month 3",
    ],
)
def test_a_name_almost_like_a_date_is_reported_and_stops_no_other(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / "2024-01-31").mkdir()
    drops, (problem,) = scan(tmp_path)
    assert [folder.name for _, folder in drops] == ["2024-01-31"]
    assert problem.startswith(f"{shown(name)}: this is not the date of a drop")
    with pytest.raises(UsageError, match="Not every drop"):
        dated_folders(tmp_path)


@pytest.mark.parametrize(
    "name", ["notes", "2024", "2024-01-31.bak", "2024-01-31.part", ".2024-1-31", "_2024-1-31", "lost+found"]
)
def test_a_name_unlike_a_date_is_ignored(tmp_path, name):
    (tmp_path / name).mkdir()
    assert scan(tmp_path) == ([], [])


def test_a_symbolic_link_is_no_drop(tmp_path):
    (tmp_path / "inbox").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "inbox" / "2024-01-31").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "inbox" / "2024-02-29").symlink_to(tmp_path / "nowhere")
    (tmp_path / "inbox" / "latest").symlink_to(tmp_path / "elsewhere")
    drops, problems = scan(tmp_path / "inbox")
    assert drops == []
    assert [problem.split(";")[0] for problem in problems] == [
        "2024-01-31: this is a symbolic link",
        "2024-02-29: this is a symbolic link",
    ]


def test_two_folders_of_one_date_are_both_left_out(tmp_path):
    for name in ("month_000", "2024-01-31", "month_001"):
        (tmp_path / name).mkdir()
    drops, problems = scan(tmp_path)
    assert [folder.name for _, folder in drops] == ["month_001"]
    assert problems == [
        "2024-01-31, month_000: all of these are the drop of 2024-01-31; keep one of them, or ingest each with"
        " --as-of."
    ]


def test_an_inbox_that_is_no_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    for root in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(UsageError, match="There is no folder"):
            scan(root)


def test_an_inbox_may_be_a_file_url(tmp_path):
    (tmp_path / "a b").mkdir()
    rules = IngestSettings(inbox=(tmp_path / "a b").as_uri())
    with opened(rules, set()) as (folder, _):
        assert folder == tmp_path / "a b"


def test_a_folder_without_a_date_needs_one(tmp_path):
    (tmp_path / "2024-01-31").mkdir()
    assert as_of(tmp_path / "2024-01-31") == date(2024, 1, 31)
    (tmp_path / "2024-1-31").mkdir()
    for folder in (tmp_path, tmp_path / "2024-1-31"):
        with pytest.raises(UsageError, match="is not the date"):
            as_of(folder)
