"""The tag that says who asked for a move."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.model_version import asked
from streamflow.model_version.asked import Asked

PLAIN = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FFF, categories=["L", "N", "P", "S"]), max_size=900
)


@given(st.builds(Asked, by=PLAIN.filter(bool), at=PLAIN, why=PLAIN, stage=PLAIN))
def test_what_is_written_is_read(said):
    assert asked.from_tag(said.to_tag()) == said


@given(st.text())
def test_a_value_that_somebody_else_wrote_is_nobody_or_a_name(text):
    found = asked.from_tag(text)
    assert found is None or isinstance(found.by, str)


@pytest.mark.parametrize("text", [None, "", "{}", "[]", "1", '{"by": "alice"}', "{"])
def test_a_malformed_value_is_nobody(text):
    assert asked.from_tag(text) is None


def test_a_long_reason_fits_into_a_tag():
    assert len(asked.from_tag(Asked("alice", "now", "x" * 9000).to_tag()).why) == 1000


@pytest.mark.parametrize(
    ("tags", "description", "reason"),
    [
        ({}, None, ""),
        ({"reason": " for the campaign "}, "about the model", "for the campaign"),
        ({}, " about the model ", "about the model"),
        ({}, f"At production since noon by alice: why {asked.row_note(7)}", ""),
        ({"other": "x"}, "", ""),
        ({"reason": "one\ntwo\x1b[31m red\u2028"}, None, "one two [31m red"),
        ({"reason": "\n\t "}, "about the model", "about the model"),
    ],
)
def test_a_reason_is_a_tag_or_a_description_that_a_person_wrote(tags, description, reason):
    assert asked.reason_of(tags, description) == reason


@pytest.mark.parametrize("text", ["[" * 99_000, '{"by": "\\u200b", "at": "", "why": "", "stage": ""}'])
def test_a_hostile_value_is_nobody(text):
    assert asked.from_tag(text) is None


def test_what_is_read_is_one_line_and_short():
    found = asked.from_tag('{"by": "a\\u0000b", "at": "now", "why": "' + "x" * 9000 + '", "stage": ""}')
    assert found.by == "a b" and len(found.why) == 1000


def test_a_long_reason_in_any_script_fits_into_mlflows_column():
    assert len(Asked("alice", "now", "\U0001f600" * 5000).to_tag()) < 5000


@pytest.mark.parametrize(
    "name", ["ada", "prefect:ada", "Ada Lovelace", "x" * 255, "keys", "somebody unknown"]
)
def test_a_name_in_one_line_may_stand_in_the_ledger(name):
    assert asked.is_a_name(name)


@pytest.mark.parametrize("name", ["", " ada", "a\nb", "a\x1b[2J", "x" * 256, "key:ci", "unknown"])
def test_the_name_of_another_kind_of_asker_or_of_two_lines_may_not(name):
    assert not asked.is_a_name(name)
