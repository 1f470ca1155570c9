"""The list beside the backups only grows, is for its owner alone, and is never taken for empty."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.erasure import listed
from streamflow.erasure.key import Key
from streamflow.erasure.listed import Listed
from streamflow.errors import Refused

KEY = Key(b"the key of the tests' list")


def act(number, at="2024-03-01T00:00:00+00:00"):
    return {"erasure_id": f"{number:04}", "recorded_at": at, "why": "asked for it"}


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=5))
def test_acts_are_added_and_never_lost(tmp_path_factory, batches):
    folder = tmp_path_factory.mktemp("backups")
    for batch in batches:
        listed.write(folder, [act(number) for number in batch])
    held = [item["erasure_id"] for item in listed.in_file(folder)]
    assert held == sorted({f"{number:04}" for batch in batches for number in batch})


def test_the_list_is_for_its_owner_alone(tmp_path):
    listed.write(tmp_path / "new", [act(1)])
    assert (tmp_path / "new" / listed.FILE).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_nothing_is_written_when_nobody_was_erased(tmp_path):
    listed.write(tmp_path / "new", [])
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("content", ["", "{", "7", '["x"]', "\udc00"])
def test_a_list_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path, content):
    (tmp_path / listed.FILE).write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(Refused, match="cannot be read"):
        listed.in_file(tmp_path)
    with pytest.raises(Refused):
        listed.write(tmp_path, [act(1)])


def test_the_key_is_needed_once_somebody_was_erased():
    somebody = Listed("0" * 64, KEY.id, "0d9f", datetime(2024, 3, 1, tzinfo=UTC))
    assert listed.usable([], None) is None
    assert listed.usable([somebody], KEY) == KEY
    for other in (None, Key(b"the key of somebody else")):
        with pytest.raises(Refused, match="1 people were erased"):
            listed.usable([somebody], other)
