"""Which dumps go, which tables differ, which complaints count, and where a version's files are."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.backup import dump as dumps
from streamflow.backup.archive import folder_of
from streamflow.backup.backup import outdated
from streamflow.backup.beside import only_unknown_settings
from streamflow.backup.dump import Table, differences


@given(st.lists(st.dates().map(str), unique=True), st.integers(1, 20))
def test_only_backups_beyond_the_newest_are_deleted(names, keep):
    gone = outdated(names, keep)
    kept = set(names) - set(gone)
    assert len(kept) == min(len(names), keep)
    assert all(old < new for old in gone for new in kept)


def test_every_difference_of_two_databases_is_named():
    dumped = {
        "a.same": Table(1, "x"),
        "a.fewer": Table(3, "y"),
        "a.other": Table(2, "z"),
        "a.gone": Table(0, "0"),
    }
    held = {
        "a.same": Table(1, "x"),
        "a.fewer": Table(2, "w"),
        "a.other": Table(2, "v"),
        "a.more": Table(0, "0"),
    }
    assert differences(dumped, held) == [
        "a.more exists and was not dumped",
        "a.fewer has 2 rows, not 3",
        "a.gone is missing",
        "a.other has other values in its 2 rows",
    ]
    assert differences(dumped, dumped) == []


UNKNOWN = (
    "pg_restore: while INITIALIZING:\n"
    'pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "transaction_timeout"\n'
    "Command was: SET transaction_timeout = 0;\n"
    "pg_restore: warning: errors ignored on restore: 1\n"
)


@pytest.mark.parametrize(
    ("stderr", "passes"),
    [
        (UNKNOWN, True),
        (UNKNOWN + "pg_restore: error: could not execute query: ERROR:  disk full\n", False),
        ('pg_restore: error: connection to server at "db" failed\n', False),
        ("", False),
    ],
)
def test_an_older_server_may_not_know_a_setting_and_nothing_else(stderr, passes):
    assert only_unknown_settings(stderr) is passes


def test_the_message_of_a_failed_client_quotes_no_row():
    stderr = (
        'pg_restore: error: COPY failed for table "users": ERROR:  duplicate key value violates "users_pkey"\n'
        "DETAIL:  Key (user_id)=(0002-PERSON) already exists.\n"
        'CONTEXT:  COPY users, line 7: "0002-PERSON"\n'
        "pg_restore: warning: errors ignored on restore: 1\n"
    )
    done = subprocess.CompletedProcess([], 1, "", stderr)
    error = dumps.failed("pg_restore of 'platform' failed.", done, "Look at the server.")
    assert [line.partition(":")[2].strip()[:11] for line in error.details] == ["error: COPY", "warning: er"]
    assert "PERSON" not in str(error)


@pytest.mark.parametrize(
    ("source", "folder"),
    [
        ("mlflow-artifacts:/1/0e06fd/artifacts/model", "1/0e06fd/artifacts"),
        ("mlflow-artifacts:/1/models/m-1/artifacts", "1/models/m-1/artifacts"),
        ("s3://bucket/1/0e06fd/artifacts/model", ""),
        ("models:/m-1", ""),
        ("mlflow-artifacts:/1/0e06fd", ""),
    ],
)
def test_a_versions_files_are_those_of_its_run(source, folder):
    assert folder_of(source) == folder
