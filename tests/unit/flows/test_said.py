"""How a job ended, read from the lines that it logged."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.flows.said import Said, of_json, of_lines, told


def line(message, **fields):
    return json.dumps(
        {"job": "train", "level": "info", "ts": "2026-01-01T00:00:00Z", "msg": message, **fields}
    )


STARTED = line("started")
DONE = line("ended", outcome="done", facts={"version": 3})
REFUSED = [line("refused", error="The drop has problems."), line("ended", outcome="refused", facts={})]
FAILED = [line("failed", error="PostgreSQL does not answer."), line("ended", outcome="failed", facts={})]


def test_a_job_that_is_done_has_its_facts():
    assert of_lines([STARTED, "a warning of a library", DONE]) == Said("done", {"version": 3})


@pytest.mark.parametrize(
    ("lines", "outcome", "why"),
    [
        ([STARTED, *REFUSED], "refused", "The drop has problems."),
        ([STARTED, *FAILED], "failed", "PostgreSQL does not answer."),
        ([line("failed", error="PostgreSQL does not answer.")], "failed", "PostgreSQL does not answer."),
        ([line("already running")], "busy", "Another run of the job is at work."),
        (["The settings are not valid.", "Correct these variables."], "failed", "Correct these variables."),
    ],
)
def test_a_job_that_is_not_done_says_why(lines, outcome, why):
    said = of_lines(lines)
    assert said.outcome == outcome
    assert why in said.why
    assert said.facts == {}


@pytest.mark.parametrize("lines", [[], [STARTED], [STARTED, line("a version waits at staging")]])
def test_a_job_that_does_not_say_how_it_ended_was_killed(lines):
    assert of_lines(lines).outcome == "killed"


def test_the_shard_that_completes_a_scoring_speaks_for_all_whatever_the_order_of_their_pods():
    begun, part = line("shard started", shard=1), line("shard ended", outcome="done", facts={})
    pods = [[begun, DONE], [begun, *FAILED], [begun, part]]
    for order in itertools.permutations(pods):
        assert of_lines([text for pod in order for text in pod]) == Said("done", {"version": 3})
    assert of_lines([begun, part, begun, *FAILED, begun, part]).outcome == "failed"
    assert of_lines([begun, part, begun]).outcome == "killed"


def test_of_several_attempts_the_last_one_counts():
    assert of_lines([STARTED, *FAILED, STARTED, DONE]).outcome == "done"
    assert of_lines([STARTED, DONE, STARTED]).outcome == "killed"


@given(
    st.lists(st.sampled_from(["", "{", "[1]", "{}", '{"msg": 1}', "null", '{"msg": "ended"}', "Traceback"]))
)
def test_no_line_of_something_else_makes_a_job_done(lines):
    assert of_lines(lines).outcome != "done"
    assert of_lines([STARTED, *lines, DONE]).outcome == "done"


@given(st.text(), st.dictionaries(st.text(), st.integers()))
def test_what_was_said_comes_back_from_its_document(why, facts):
    said = Said("done", facts, why)
    assert of_json(json.loads(json.dumps(said.json))) == said


def test_people_read_the_message_and_its_fields():
    assert told(DONE) == 'ended outcome=done facts={"version": 3}'
    assert told("a warning of a library") == "a warning of a library"
