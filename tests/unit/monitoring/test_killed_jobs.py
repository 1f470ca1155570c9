"""A job was killed if its last run that is not at work recorded no outcome."""

import pytest

from streamflow.monitoring.killed_jobs import killed
from streamflow.postgres import locks

TRAIN = locks.key(locks.of_job("train"))


@pytest.mark.parametrize(
    ("ended", "held", "was_killed"),
    [
        ([True], False, {"train": False}),
        ([False], False, {"train": True}),
        ([False, True], False, {"train": True}),
        ([True, False], False, {"train": False}),
        # At work: the run before it counts.
        ([False], True, {}),
        ([False, True], True, {"train": False}),
        ([False, False], True, {"train": True}),
        # It has recorded its outcome and is about to release its lock.
        ([True, False], True, {"train": False}),
    ],
)
def test_the_last_run_that_is_not_at_work_counts(ended, held, was_killed):
    assert killed([("train", each) for each in ended], {TRAIN} if held else set()) == was_killed


def test_each_job_counts_alone():
    assert killed([("score", True), ("train", False)], set()) == {"score": False, "train": True}
