"""`ingest.until` leaves later drops in the inbox. On a real PostgreSQL."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamflow.cli import main
from streamflow.drops import ledger
from streamflow.jobs import catalog
from streamflow.postgres.engine import transaction
from streamflow.settings import IngestSettings

pytestmark = pytest.mark.postgres

GOOD = Path(__file__).parents[1] / "drops" / "good"
MONTHS = ("2024-01-31", "2024-02-29", "2024-03-31")


@pytest.fixture
def inbox(tmp_path):
    """Three months, the last of which could not be read."""
    then = time.time() - 3600
    for month in MONTHS:
        folder = shutil.copytree(GOOD, tmp_path / "inbox" / month)
        if month == MONTHS[-1]:
            (folder / "users.csv").write_bytes(b"\0")
        for path in (*folder.iterdir(), folder):
            os.utime(path, (then, then))
    return tmp_path / "inbox"


def until(settings, inbox, last):
    return settings.model_copy(update={"ingest": IngestSettings(inbox=str(inbox), until=last)})


def stored(settings):
    with transaction(settings.database) as connection:
        return [entry.as_of.isoformat() for entry in ledger.entries(connection)]


@pytest.mark.parametrize(("last", "months"), [("2024-01-30", 0), ("2024-01-31", 1), ("2024-03-30", 2)])
def test_the_job_takes_drops_up_to_a_date_and_looks_at_no_later_one(settings, inbox, last, months):
    result = catalog.recipe("ingest")(until(settings, inbox, last))
    assert [drop.as_of.isoformat() for drop in result.drops] == list(MONTHS[:months]) == stored(settings)


def test_a_later_run_takes_what_waited(settings, inbox):
    for last in MONTHS[:2]:
        catalog.recipe("ingest")(until(settings, inbox, last))
        assert stored(settings)[-1] == last


def test_the_command_takes_no_later_drop_either(settings, inbox, monkeypatch):
    variables = settings.database.variables | {"STREAMFLOW_INGEST__UNTIL": "2024-01-31"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    call = ["ingest", "--all", str(inbox)]
    first = CliRunner().invoke(main.app, [*call, "--json"])
    assert [drop["as_of"] for drop in json.loads(first.stdout)["drops"]] == ["2024-01-31"]
    again = CliRunner().invoke(main.app, call)
    assert again.stdout == f"There is no new drop up to 2024-01-31 in {inbox}.\n"
    assert stored(settings) == ["2024-01-31"]


def test_a_drop_that_somebody_names_is_taken_whatever_the_setting_says(settings, inbox, monkeypatch):
    variables = settings.database.variables | {"STREAMFLOW_INGEST__UNTIL": "2024-01-31"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert CliRunner().invoke(main.app, ["ingest", str(inbox / "2024-02-29")]).exit_code == 0
    assert stored(settings) == ["2024-02-29"]
