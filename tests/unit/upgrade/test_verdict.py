"""Which answers of a migrated copy allow an upgrade."""

import pytest

from streamflow.upgrade.verdict import judge

REFUSED = (None, None, "r")


def answer(probability, version=1, request="r"):
    return version, probability, request


def test_equal_answers_allow_the_upgrade():
    answers = {"a": answer(0.25), "b": REFUSED}
    verdict = judge(answers, answers)
    assert (verdict.asked, verdict.refused, verdict.compared, verdict.problems) == (2, 1, 2, ())


@pytest.mark.parametrize(
    ("copied", "present", "says"),
    [
        (answer(0.25), answer(0.5), "request r: the copy answers 0.25, production answers 0.5"),
        (REFUSED, answer(0.5), "request r: the copy refuses, production answers 0.5"),
        (answer(0.25), REFUSED, "request r: the copy answers 0.25, production refuses"),
        (
            answer(0.25, version=1),
            answer(0.25, version=2),
            "production answered none of 1 predictions with the version of the copy",
        ),
    ],
)
def test_other_answers_than_productions_forbid_it(copied, present, says):
    assert judge({"somebody": copied}, {"somebody": present}).problems == (says,)


def test_an_answer_by_another_version_is_not_compared():
    copied = {"a": answer(0.25), "b": answer(0.5)}
    verdict = judge(copied, {"a": answer(0.25), "b": answer(0.75, version=2)})
    assert (verdict.compared, verdict.problems) == (1, ())


def test_no_entity_is_named_and_the_list_of_problems_is_short():
    copied = {f"user-{number}": answer(0.25, request=f"r{number}") for number in range(30)}
    problems = judge(copied, {entity: answer(0.5) for entity in copied}).problems
    assert len(problems) == 11
    assert problems[-1] == "and 20 more"
    assert "user-" not in " ".join(problems)


def test_without_production_a_copy_that_answers_nobody_forbids_it():
    assert judge({"a": answer(0.25), "b": REFUSED}, None).problems == ()
    assert judge({"a": REFUSED, "b": REFUSED}, None).problems == ("the copy refused all 2 predictions",)
    assert judge({}, None).problems == ()
