"""`streamflow erase` against a real PostgreSQL and a real MLflow: nothing of the person is left."""

import pytest
from conftest import FEE, PERSON, places, scalar

from streamflow.erasure.acts import Asked
from streamflow.forget import person

pytestmark = [pytest.mark.postgres, pytest.mark.stack]
ASKED = Asked("asked for it", "tests", "DSR-1")


def test_erase_removes_the_person_from_every_table_and_run(lived):
    before = person.look(places(lived), PERSON)
    assert before.rows["source.users"] == 2
    done = person.erase(places(lived), PERSON, ASKED)
    assert done.rows == before.rows
    assert done.runs == before.runs
    assert list(done.runs.values()) == [1]
    assert done.left == ()
    after = person.look(places(lived), PERSON)
    assert after.rows == {}
    assert after.runs == {}
