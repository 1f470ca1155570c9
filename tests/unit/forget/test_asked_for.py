"""Whom the job `erase` is asked to erase."""

import json

import pytest

from streamflow.erasure.acts import Asked
from streamflow.errors import UsageError
from streamflow.forget import asked_for, person
from streamflow.forget.asked_for import Order

GIVEN = {"user_id": "7590-VHVEG", "why": "asked for it", "by": "ada"}


def test_without_a_file_nobody_is_named(tmp_path):
    assert asked_for.read(None) is None
    assert asked_for.read(tmp_path / "nothing") is None


def test_an_order_is_read(tmp_path):
    file = tmp_path / "request"
    file.write_text(json.dumps(GIVEN | {"request": "DSR-1"}))
    assert asked_for.read(file) == Order("7590-VHVEG", Asked("asked for it", "ada", "DSR-1"))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '"7590-VHVEG"',
        json.dumps(GIVEN | {"user_id": 7590}),
        json.dumps(GIVEN | {"withdraw": True}),
        "{}",
    ],
)
def test_what_is_no_order_is_refused_without_quoting_it(tmp_path, content):
    file = tmp_path / "request"
    file.write_text(content)
    with pytest.raises(UsageError) as told:
        asked_for.read(file)
    assert "7590" not in str(told.value)


@pytest.mark.parametrize("entity", ["", " ", "\n", "a\0b"])
def test_what_no_drop_can_bring_is_no_key(entity):
    with pytest.raises(UsageError):
        person.check(entity)
