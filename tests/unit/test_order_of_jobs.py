"""The order of the jobs, as `after` in k8s-jobs/ says."""

from graphlib import TopologicalSorter
from pathlib import Path

import yaml

from streamflow.erasure import acts

JOBS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in (Path(__file__).parents[2] / "k8s-jobs").glob("*.yaml")
}
AFTER = {name: job["after"] for name, job in JOBS.items() if "after" in job}


def test_each_job_comes_after_the_one_whose_results_it_takes_up():
    assert AFTER == {
        "materialize": ["ingest"],
        "train": ["materialize"],
        "promote": ["train"],
        "score": ["train"],
        "monitor": ["score"],
    }


def test_a_job_comes_after_jobs_that_exist_and_never_after_itself():
    assert {before for names in AFTER.values() for before in names} <= set(JOBS)
    # It raises CycleError.
    assert next(TopologicalSorter(AFTER).static_order()) == "ingest"


def test_a_job_that_waits_has_a_place_in_the_order_and_more_time_than_the_hourly_ones():
    assert {name for name, job in JOBS.items() if "waits" in job} <= set(AFTER)
    waiting = [JOBS[name]["deadlineSeconds"] for name in AFTER if JOBS[name].get("waits", True)]
    assert min(waiting) >= 3600


def test_an_erasure_takes_the_lock_of_a_job_before_those_of_the_jobs_that_it_waits_for():
    """Otherwise the job would wait for the erasure, and the erasure for the job."""
    held = list(acts._COPIERS)
    pairs = [(name, before) for name, names in AFTER.items() for before in names if {name, before} <= {*held}]
    assert pairs
    assert all(held.index(name) < held.index(before) for name, before in pairs)
