"""A full disk is recognized behind any error, and named."""

import errno
import tempfile
from types import SimpleNamespace

import pytest

from streamflow import disk_full
from streamflow.errors import DiskFull


def caused_by(cause, *, handled=True):
    """An error that was raised from another, or while it was handled."""
    try:
        try:
            raise cause
        except Exception as error:
            if handled:
                raise ValueError("the library's words") from error
            raise ValueError("the library's words")  # noqa: B904
    except ValueError as error:
        return error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("handled", [True, False])
def test_the_folder_of_the_file_is_named(number, handled):
    error = OSError(number, "No space left on device", "/data/drops/users.csv")
    found = disk_full.behind(caused_by(error, handled=handled))
    assert found is not None
    assert found.what == "The disk of /data/drops is full."
    assert found.exit_code == 4


def test_a_write_that_does_not_know_its_file_names_the_folder_that_is_full(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=4096))
    error = OSError(errno.ENOSPC, "No space left on device")
    assert disk_full.behind(error).what == f"The disk of {tmp_path} is full."
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=2**30))
    assert disk_full.behind(error).what == "A disk is full."


def test_no_folder_for_temporary_files_is_a_full_disk(monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=0))
    error = FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")
    assert disk_full.behind(error).what.startswith("The disk of ")


def test_an_error_that_names_its_disk_is_passed_on():
    error = DiskFull("The disk of PostgreSQL is full.")
    assert disk_full.behind(caused_by(error)) is error


@pytest.mark.parametrize("error", [ValueError("no"), OSError(errno.EACCES, "no", "/data/file")])
def test_other_errors_are_not(error):
    assert disk_full.behind(caused_by(error)) is None
