"""Ingest every drop of tests/drops and compare the outcome with the expected one.

A folder of the corpus contains the files in which its drop differs from `good`, and the expected report: the
rejected rows of an accepted drop in `quarantine.csv`, or the problems of a refused one in `refused.txt`.
"""

import csv
import shutil
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa

from streamflow.drops import ledger
from streamflow.errors import DropRefused
from streamflow.jobs.ingest import ingest_folder
from streamflow.postgres.engine import transaction

CORPUS = Path(__file__).parents[1] / "drops"
AS_OF = date(2024, 1, 31)
CASES = sorted(folder.name for folder in CORPUS.iterdir() if folder.is_dir())
TAKEN = [name for name in CASES if (CORPUS / name / "quarantine.csv").is_file()]
REFUSED = [name for name in CASES if (CORPUS / name / "refused.txt").is_file()]


def drop(name, folder):
    """Build the complete drop of a case: the good drop with the files of the case in place of its own."""
    for source in (CORPUS / "good", CORPUS / name):
        for file in source.glob("*.csv"):
            if file.name != "quarantine.csv":
                folder.mkdir(exist_ok=True)
                shutil.copyfile(file, folder / file.name)
    return folder


def ingest(settings, folder):
    return ingest_folder(settings, folder, AS_OF, loaded_by="a test")


def contents(settings, *, of_drop=None):
    """Rows of a drop in the source tables, without drop id and load time; without `of_drop`, all rows."""
    with transaction(settings.database) as connection:
        names = connection.execute(
            sa.text(
                "SELECT schemaname || '.' || tablename FROM pg_tables"
                " WHERE schemaname IN ('source', 'streamflow') AND NOT EXISTS"
                " (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(format('%I.%I', schemaname, tablename)))"
                " ORDER BY 1"
            )
        ).scalars()
        found = {}
        for name in names:
            if of_drop is None:
                query = f"SELECT t::text FROM {name} t ORDER BY 1"
            elif name.startswith("source."):
                query = (
                    f"SELECT to_jsonb(t) - 'drop_number' FROM {name} t JOIN streamflow.drops d USING (drop_number)"
                    f" WHERE drop_id = '{of_drop}' ORDER BY user_id"
                )
            else:
                continue
            found[name] = connection.execute(sa.text(query)).scalars().all()
    return found


def test_every_case_says_what_is_expected_of_it():
    assert sorted([*TAKEN, *REFUSED, "good"]) == CASES


@pytest.fixture(scope="module")
def good(module_settings, tmp_path_factory):
    """Id of the good drop, which is ingested before all others."""
    outcome = ingest(module_settings, drop("good", tmp_path_factory.mktemp("good")))
    assert not any(outcome.quarantined.values())
    return outcome.drop_id


@pytest.mark.fault("F17", "F18")
@pytest.mark.parametrize("name", TAKEN)
def test_bad_rows_are_in_quarantine_and_the_others_stored(module_settings, good, tmp_path, name):
    settings = module_settings
    outcome = ingest(settings, drop(name, tmp_path / name))
    with (CORPUS / name / "quarantine.csv").open(encoding="utf-8", newline="") as file:
        expected = [
            (row["file"], int(row["line"]), row["column"], row["reason"], row["value"])
            for row in csv.DictReader(file)
        ]
    with transaction(settings.database) as connection:
        rows = ledger.quarantined(connection, outcome.drop_id)
    found = [(row.file, row.line, row.column or "", row.reason, row.value or "") for row in rows]
    assert found == expected
    assert all(item.accepted + item.quarantined == item.lines for item in outcome.tables)
    assert sum(outcome.quarantined.values()) == len(expected)
    stored, before = contents(settings, of_drop=outcome.drop_id), contents(settings, of_drop=good)
    assert {name: len(rows) for name, rows in stored.items()} == {
        f"source.{item.table}": item.accepted for item in outcome.tables
    }
    if not expected:
        # The case differs from the good drop only in notation, so the same values are stored.
        assert stored == before


@pytest.mark.fault("F17")
@pytest.mark.parametrize("name", REFUSED)
def test_a_drop_is_refused_whole_with_every_problem_at_once(module_settings, good, tmp_path, name):
    settings = module_settings
    before = contents(settings)
    with pytest.raises(DropRefused) as caught:
        ingest(settings, drop(name, tmp_path / name))
    expected = (CORPUS / name / "refused.txt").read_text(encoding="utf-8").splitlines()
    assert sorted(caught.value.details) == sorted(expected)
    assert contents(settings) == before
