"""An erasure that is killed at any step is no sign of tampering, and ends equal when it is repeated."""

from datetime import date

import pytest
from a_person import PERSON, places
from test_erase import artifacts, holding, readable

from streamflow.audit.reproduce.rerun import reproduce
from streamflow.challenger import train
from streamflow.erasure import acts
from streamflow.erasure.acts import Asked
from streamflow.errors import Busy
from streamflow.forget import person
from streamflow.gate import decision
from streamflow.jobs import catalog
from streamflow.mlflow_api.transport import RegistryClient
from streamflow.postgres import locks
from streamflow.postgres.engine import transaction
from streamflow.registry import versions
from streamflow.settings import ErasureSettings

pytestmark = [pytest.mark.postgres, pytest.mark.stack]
ASKED = Asked("asked for it", "tests")
NOT_COMPLETE = "run 'streamflow erase' again"


class _Killed(BaseException):
    """What a kill is to the code: nothing after it runs."""


@pytest.fixture(scope="module")
def world(lived):
    training = lived.training.model_copy(update={"estimators": ("logistic_regression",)})
    train(lived, date(2024, 2, 29), estimator="logistic_regression")
    return lived.model_copy(update={"training": training})


def reproduced(settings):
    run_id = versions.get(settings.mlflow, 2).run_id
    return reproduce(settings.backends, settings.training, settings.build, run_id)


def test_while_a_job_that_copies_rows_runs_nothing_is_erased(world, monkeypatch):
    monkeypatch.setattr(acts, "_WAIT_SECONDS", 0.1)
    with locks.held(world.database, locks.of_job("score"), 5), pytest.raises(Busy, match="job:score"):
        person.erase(places(world), PERSON, ASKED)
    assert acts.history(world.database) == []


@pytest.mark.parametrize("uploads", [0, 1])
def test_a_kill_between_two_files_is_said_to_be_an_erasure_that_is_not_complete(world, monkeypatch, uploads):
    done, upload = [], RegistryClient.upload

    def killed(client, path, content, size):
        if len(done) == uploads:
            raise _Killed
        done.append(path)
        upload(client, path, content, size)

    monkeypatch.setattr(RegistryClient, "upload", killed)
    with pytest.raises(_Killed):
        person.erase(places(world), PERSON, ASKED)
    assert NOT_COMPLETE in str(reproduced(world).layers)
    assert NOT_COMPLETE in str(decision.decide(world.backends, world.promotion, 2))


def test_the_job_completes_it_by_the_hash_alone(world):
    result = catalog.recipe("erase")(world)
    (act,) = acts.history(world.database)
    assert result.erasures == (act.erasure_id,)
    assert act.done_at is not None
    assert holding(readable(artifacts(world)), PERSON) == set()
    assert reproduced(world).verdict == "reproduced without 1 erased rows"
    report = decision.decide(world.backends, world.promotion, 2)
    assert NOT_COMPLETE not in str(report)
    assert report.verdict in ("passed", "failed")
    assert catalog.recipe("erase")(world).erasures == ()


def test_a_second_person_goes_from_what_the_first_erasure_left(world):
    with transaction(world.database) as connection:
        other = connection.exec_driver_sql("SELECT max(user_id) FROM source.users").scalar_one()
    done = person.erase(places(world), other, ASKED)
    assert list(done.runs.values()) == [1, 1]
    assert reproduced(world).verdict == "reproduced without 2 erased rows"


def test_the_job_without_the_key_completes_nothing_and_says_so(world):
    from streamflow.errors import Refused

    with pytest.raises(Refused, match="the key of the list of erasures is not set"):
        catalog.recipe("erase")(world.model_copy(update={"erasure": ErasureSettings()}))
