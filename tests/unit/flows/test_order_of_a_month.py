"""The jobs of a month, in the order that `after` gives."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.errors import NotFound, UsageError
from streamflow.flows.order import Declared, of_a_month, of_folder

K8S_JOBS = Path(__file__).parents[3] / "k8s-jobs"


def job(name, *after, on_demand=False):
    return Declared(name, f"{name}.", after, on_demand)


def names(jobs):
    return [item.name for item in of_a_month(jobs)]


def test_the_declared_jobs_make_a_month():
    declared = of_folder(K8S_JOBS)
    assert names(declared) == ["ingest", "materialize", "train", "score", "monitor"]
    train = next(item for item in declared if item.name == "train")
    assert (train.retries, train.deadline_seconds) == (1, 7200)
    assert train.summary.startswith("Train a challenger")


def test_a_job_that_no_other_comes_after_and_that_comes_after_none_is_no_part():
    assert names([job("backup"), job("ingest"), job("train", "ingest")]) == ["ingest", "train"]


def test_a_job_on_demand_is_no_part():
    assert names([job("ingest"), job("train", "ingest"), job("promote", "train", on_demand=True)]) == [
        "ingest",
        "train",
    ]


@given(st.permutations(["a", "b", "c", "d", "e"]))
def test_the_order_of_the_declarations_does_not_matter(order):
    chain = {"a": (), "b": ("a",), "c": ("b",), "d": ("b", "c"), "e": ("d",)}
    assert names([job(name, *chain[name]) for name in order]) == ["a", "b", "c", "d", "e"]


def test_a_circle_is_refused_with_its_jobs():
    with pytest.raises(UsageError, match=r"circle: .*train.*score"):
        of_a_month([job("train", "score"), job("score", "train")])


def test_a_job_after_one_that_no_schedule_starts_is_refused():
    with pytest.raises(UsageError, match="'train' comes after 'restore'"):
        of_a_month([job("train", "restore"), job("restore", on_demand=True)])


def test_a_folder_without_declarations_is_refused(tmp_path):
    with pytest.raises(NotFound, match="no declaration"):
        of_folder(tmp_path)
