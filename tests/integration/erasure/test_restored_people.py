"""A backup from before an erasure does not bring the person back, even if the database and its list are lost."""

import pytest
from a_person import FEE, PERSON, name_person, places, run, scalar
from test_erase import artifacts, dumped, holding, readable

from streamflow.audit.reproduce.rerun import reproduce
from streamflow.backup.backup import backup
from streamflow.backup.restore import restore
from streamflow.erasure import acts
from streamflow.erasure.acts import Asked
from streamflow.errors import Refused
from streamflow.forget import person
from streamflow.registry import versions
from streamflow.settings import ErasureSettings

pytestmark = [pytest.mark.postgres, pytest.mark.stack]


@pytest.fixture(scope="module")
def alone(lived):
    """The install, whose MLflow's database is not restored: other modules use it too."""
    database = lived.database.model_copy(update={"mlflow_name": "no_such_database"})
    return lived.model_copy(update={"database": database})


@pytest.fixture(scope="module")
def old_backup(alone):
    return backup(alone.database, alone.mlflow, alone.backup)


@pytest.fixture(scope="module")
def erased(alone, old_backup):
    return person.erase(places(alone), PERSON, Asked("asked for it", "tests"))


def bring_back(settings, done, erasure=None):
    backups = settings.backup.folder
    return restore(settings.backends, backups, done.folder, replace=True, erasure=erasure or settings.erasure)


def test_an_old_backup_holds_the_person(alone, old_backup):
    assert PERSON in dumped(alone, alone.database.name)


def test_without_the_key_nothing_is_restored(alone, old_backup, erased):
    with pytest.raises(Refused, match="the key of the list of erasures"):
        bring_back(alone, old_backup, ErasureSettings(key="a key of somebody else"))
    assert scalar(alone, "SELECT count(*) FROM streamflow.erasures") == 1


@pytest.mark.parametrize("lost", ["nothing", "the file", "the database"])
def test_an_old_backup_does_not_bring_the_person_back(alone, old_backup, erased, lost):
    if lost == "the file":
        (alone.backup.folder / "erasures.json").unlink()
    if lost == "the database":
        backup(alone.database, alone.mlflow, alone.backup)
        run(alone, "DROP SCHEMA streamflow CASCADE")
    done = bring_back(alone, old_backup)
    assert "1 erased people" in done.next[0]
    assert PERSON not in dumped(alone, alone.database.name)
    stored = readable(artifacts(alone))
    assert holding(stored, PERSON) == set()
    assert all(path.endswith("golden.json") for path in holding(stored, FEE))
    (act,) = acts.history(alone.database)
    assert (act.erasure_id, act.why) == (erased.erasure_id, "asked for it")


def test_a_run_of_the_restored_backup_is_reproduced_without_the_erased_rows(alone, old_backup, erased):
    training = alone.training.model_copy(update={"estimators": ("logistic_regression",)})
    done = reproduce(alone.backends, training, alone.build, versions.list_versions(alone.mlflow)[0].run_id)
    assert done.verdict == "reproduced without 1 erased rows"


def test_the_restored_list_refuses_the_person(alone, erased, tmp_path):
    from datetime import date

    from streamflow.jobs.ingest import ingest_folder
    from streamflow.local.simulate import Simulation, simulate

    (drop,) = simulate(
        alone.feast.repo, tmp_path / "later", Simulation(users=300, months=1, first_as_of=date(2024, 5, 31))
    )
    name_person(drop.folder, 5)
    assert set(ingest_folder(alone, drop.folder, drop.as_of).quarantined.values()) == {1}


def test_a_withdrawal_does_not_bring_back_what_was_erased_before_it(alone, old_backup, erased):
    person.withdraw(places(alone), PERSON, Asked("is a customer again", "tests"))
    bring_back(alone, old_backup)
    assert PERSON not in dumped(alone, alone.database.name)
    assert holding(readable(artifacts(alone)), PERSON) == set()
    assert [act.action for act in acts.history(alone.database)] == ["erase", "withdraw"]
