"""After `streamflow erase`, nothing of the person is left, and what was promised still holds.

The tests of this module run in order, on one install: the person lives, is erased once, and is looked for.
"""

import csv
import io
import re
import shutil
import subprocess
from datetime import date

import pandas as pd
import pytest
from a_person import FEE, PERSON, name_person, places, run, scalar
from sqlalchemy.exc import DBAPIError

from streamflow.audit.replay import replay
from streamflow.audit.reproduce.rerun import reproduce
from streamflow.backup.backup import backup
from streamflow.erasure import acts
from streamflow.erasure.acts import Asked
from streamflow.erasure.key import optional
from streamflow.errors import NotFound, Refused, UsageError
from streamflow.forget import person
from streamflow.jobs import catalog
from streamflow.jobs.ingest import ingest_folder
from streamflow.local.postgres import binary
from streamflow.local.simulate import Simulation, simulate
from streamflow.mlflow_api.transport import registry
from streamflow.model_version import files
from streamflow.registry import versions

pytestmark = [pytest.mark.postgres, pytest.mark.stack]
ASKED = Asked("asked for it", "tests", "DSR-1")
AWAY = "http://127.0.0.1:9"


def dumped(settings, name):
    """Everything in a database as text."""
    database = settings.database
    return subprocess.run(
        [binary("pg_dump"), "-h", database.host, "-p", str(database.port), "-U", database.user, name],
        env={"PGPASSWORD": database.secret},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def artifacts(settings):
    """The files of all of this model's runs, by path."""
    found = {}
    with registry(settings.mlflow) as client:
        folders = client.run_folders(settings.mlflow.experiment, settings.mlflow.registered_model)
        for version in client.versions(settings.mlflow.registered_model):
            for path in client.listed(folders[version["run_id"]]):
                content = io.BytesIO()
                client.download(path, content)
                found[path] = content.getvalue()
    return found


def readable(files_by_path):
    """Files as text: parquet read, the rest decoded."""
    return {
        path: pd.read_parquet(io.BytesIO(content)).to_csv()
        if path.endswith(".parquet")
        else content.decode("utf-8", "replace")
        for path, content in files_by_path.items()
    }


def holding(texts, needle):
    return {name for name, text in texts.items() if needle in text}


@pytest.fixture(scope="module")
def before(lived):
    """Where the person is found before the erasure: what the tests look for can be found."""
    stored = readable(artifacts(lived))
    assert holding(stored, PERSON)
    assert holding(stored, FEE)
    assert PERSON in dumped(lived, lived.database.name)
    assert scalar(
        lived, "SELECT count(*) FROM pg_stats WHERE histogram_bounds::text LIKE '%' || :id || '%'", id=PERSON
    )
    return person.look(places(lived), PERSON)


@pytest.fixture(scope="module")
def golden(lived):
    """Paths of golden rows that have the person's values."""
    return {path for path in holding(readable(artifacts(lived)), FEE) if path.endswith(files.GOLDEN)}


@pytest.fixture(scope="module")
def cut_short(lived, before, golden):
    """The outcome of an erasure while MLflow was away."""
    away = lived.model_copy(update={"mlflow": lived.mlflow.model_copy(update={"tracking_uri": AWAY})})
    return person.erase(places(away), PERSON, ASKED)


@pytest.fixture(scope="module")
def reproduced_between(lived, cut_short):
    number = versions.list_versions(lived.mlflow)[0].run_id
    return reproduce(lived.backends, lived.training, lived.build, number)


@pytest.fixture(scope="module")
def erased(lived, cut_short, reproduced_between):
    return person.erase(places(lived), PERSON, ASKED)


def test_a_dry_run_counts_and_changes_nothing(lived, before):
    assert before.rows["source.users"] == 2
    assert before.rows["streamflow.scores"] == 1
    assert before.rows["streamflow.predictions"] == 1
    assert before.rows["streamflow.quarantine"] == 1
    assert before.rows["streamflow.job_runs"] == 1
    assert list(before.runs.values()) == [1]
    assert person.look(places(lived), PERSON) == before
    assert scalar(lived, "SELECT count(*) FROM streamflow.erasures") == 0


def test_a_reason_that_names_the_person_is_refused_without_repeating_it(lived, before):
    for asked in (
        Asked(f"{PERSON} wrote", "tests"),
        Asked("x", PERSON.lower()),
        Asked("x", "t", f"r/{PERSON}"),
    ):
        with pytest.raises(UsageError) as refused:
            person.erase(places(lived), PERSON, asked)
        assert PERSON.lower() not in str(refused.value).lower()
    assert person.look(places(lived), PERSON) == before


def test_an_erasure_without_mlflow_says_what_is_left_and_is_not_complete(lived, before, cut_short):
    assert cut_short.rows == before.rows
    assert cut_short.left
    assert "MLflow" in cut_short.left[0]
    (act,) = acts.history(lived.database)
    assert act.done_at is None


def test_a_run_between_both_steps_is_no_sign_of_tampering(reproduced_between):
    assert reproduced_between.verdict == "cannot tell"
    assert "an erasure is not complete" in str(reproduced_between.layers)
    assert PERSON not in str(reproduced_between)


def test_the_same_call_completes_it_under_the_same_record(lived, cut_short, erased):
    assert erased.continued
    assert erased.erasure_id == cut_short.erasure_id
    assert erased.left == ()
    (act,) = acts.history(lived.database)
    assert act.done_at is not None
    assert list(erased.runs.values()) == [1]


def test_nothing_of_the_person_is_in_either_database(lived, golden, erased):
    text = dumped(lived, lived.database.name)
    assert PERSON not in text
    assert PERSON.encode().hex() not in text
    assert FEE not in text
    # The files of releases are bytes.
    assert (FEE.encode().hex() in text) == bool(golden)
    assert PERSON not in dumped(lived, "mlflow")


def test_the_planners_statistics_have_no_sample_of_the_person(lived, erased):
    sampled = "SELECT count(*) FROM pg_stats WHERE concat(histogram_bounds, most_common_vals) LIKE '%' || :text || '%'"
    assert scalar(lived, sampled, text=PERSON) == 0
    assert scalar(lived, sampled, text=FEE) == 0


def test_nothing_of_the_person_is_in_the_artifact_store_but_pinned_golden_rows(lived, golden, erased):
    stored = readable(artifacts(lived))
    assert holding(stored, PERSON) == set()
    assert holding(stored, FEE) == golden
    assert bool(erased.pinned) == bool(golden)


def test_nothing_of_the_person_is_in_a_fresh_backup(lived, golden, erased, tmp_path):
    done = backup(lived.database, lived.mlflow, lived.backup)
    sql = tmp_path / "dump.sql"
    for name in (lived.database.name, "mlflow"):
        path = done.folder / f"{name}.dump"
        if path.is_file():
            subprocess.run([binary("pg_restore"), "-f", str(sql), str(path)], check=True)
            assert PERSON not in sql.read_text()
    shutil.unpack_archive(done.folder / "artifacts.tar", tmp_path / "unpacked")
    unpacked = {str(p): p.read_bytes() for p in (tmp_path / "unpacked").rglob("*") if p.is_file()}
    assert holding(readable(unpacked), PERSON) == set()
    assert PERSON not in (lived.backup.folder / "erasures.json").read_text()


def test_the_record_names_nobody_and_only_functions_write_it(lived, erased):
    (act,) = acts.history(lived.database)
    assert re.fullmatch("[0-9a-f]{64}", act.entity_hash)
    assert (act.why, act.asked_by, act.request) == ("asked for it", "tests", "DSR-1")
    for statement in (
        "DELETE FROM streamflow.erasures",
        "UPDATE streamflow.erasures SET why = 'other'",
        "TRUNCATE streamflow.erasure_steps CASCADE",
        "INSERT INTO streamflow.erasures (action, entity_hash, key_id, why, asked_by)"
        " SELECT 'withdraw', entity_hash, key_id, 'x', 'x' FROM streamflow.erasures",
    ):
        with pytest.raises(DBAPIError):
            run(lived, statement)


def test_a_run_is_reproduced_without_the_erased_rows(lived, erased):
    training = lived.training.model_copy(update={"estimators": ("logistic_regression",)})
    done = reproduce(lived.backends, training, lived.build, versions.list_versions(lived.mlflow)[0].run_id)
    assert done.verdict == "reproduced without 1 erased rows"
    assert done.exit_code == 0
    assert {layer.name: layer.verdict for layer in done.layers}["data"] == "same"


def test_the_chain_verifies_and_the_audit_is_green(lived, erased):
    assert catalog.recipe("audit")(lived).chain_ok
    catalog.recipe("monitor")(lived)


def test_a_replay_says_that_the_person_is_not_there(lived, erased):
    from datetime import UTC, datetime

    found = replay(lived.backends, lived.predict, PERSON, datetime.now(UTC), optional(lived.erasure))
    assert found.erased_at is not None
    assert found.logged is None
    assert "no row" in found.answer.refused


def test_a_later_drop_with_the_person_is_refused_row_by_row(lived, erased, tmp_path):
    (drop,) = simulate(
        lived.feast.repo,
        tmp_path / "later",
        Simulation(users=300, months=1, seed=3, first_as_of=date(2024, 3, 31)),
    )
    name_person(drop.folder, 5, monthly_fee=FEE)
    # One row that another check refuses too, and a duplicate: neither reason keeps the row's text.
    with (drop.folder / "users.csv").open("a", newline="") as file:
        csv.writer(file).writerow([PERSON, "no date", "", "", "", ""])
    with pytest.raises(Refused, match="the key"):
        ingest_folder(lived.model_copy(update={"erasure": type(lived.erasure)()}), drop.folder, drop.as_of)
    done = ingest_folder(lived, drop.folder, drop.as_of)
    assert done.quarantined["users"] == 2
    assert set(done.quarantined.values()) == {1, 2}
    assert scalar(lived, "SELECT count(*) FROM source.users WHERE user_id = :entity", entity=PERSON) == 0
    kept = scalar(
        lived,
        "SELECT jsonb_agg(DISTINCT jsonb_build_array(reason, value, raw, column_name)) FROM streamflow.quarantine"
        " WHERE drop_id = :drop",
        drop=done.drop_id,
    )
    assert kept == [["erased", None, "", None]]
    assert PERSON not in dumped(lived, lived.database.name)


def test_a_withdrawn_person_may_come_again(lived, erased, tmp_path):
    (drop,) = simulate(
        lived.feast.repo,
        tmp_path / "later",
        Simulation(users=300, months=1, seed=4, first_as_of=date(2024, 4, 30)),
    )
    name_person(drop.folder, 5)
    with pytest.raises(NotFound):
        person.withdraw(places(lived), "somebody-else", ASKED)
    person.withdraw(places(lived), PERSON, Asked("is a customer again", "tests"))
    done = ingest_folder(lived, drop.folder, drop.as_of)
    assert set(done.quarantined.values()) == {0}
    assert scalar(lived, "SELECT count(*) FROM source.users WHERE user_id = :entity", entity=PERSON) == 1
