"""Verdicts on the layers of a run, and their texts."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.audit.reproduce import compare
from streamflow.audit.reproduce.compare import Layer

TAGS = {
    "code.digest": "a",
    "code.feature_repo_digest": "b",
    "code.commit": "c" * 40,
    "code.dirty": "false",
    "env.python": "3.11.1",
    "env.blas": "openblas 1",
    "env.platform": "here",
}


def layers(data, code, environment, result):
    named = zip(("data", "code", "environment", "result"), (data, code, environment, result), strict=True)
    return [Layer(name, verdict) for name, verdict in named]


@pytest.mark.parametrize(
    ("data", "result", "expected"),
    [
        ("same", "same", 0),
        ("differs", "same", 1),
        ("same", "differs", 1),
        ("differs", "unknown", 1),
        ("unknown", "differs", 1),
        ("same", "unknown", 4),
        ("unknown", "same", 4),
    ],
)
def test_data_and_result_decide_code_and_environment_explain(data, result, expected):
    for other in ("same", "differs", "unknown"):
        assert compare.exit_code(layers(data, other, other, result)) == expected


# Code.


def test_the_same_code_is_the_same_whatever_its_commit():
    assert compare.code(TAGS, TAGS, None, {}) == Layer("code", "same")
    assert compare.code(TAGS, TAGS | {"code.commit": "d" * 40}, None, {}) == Layer("code", "same")


def test_uncommitted_changes_are_mentioned():
    dirty = TAGS | {"code.dirty": "true"}
    line = "The run was made with uncommitted changes, which its commit does not contain."
    assert compare.code(dirty, TAGS, None, {}) == Layer("code", "same", (line,))


@pytest.mark.parametrize("digest", ["code.digest", "code.feature_repo_digest"])
def test_a_file_that_changed_is_named(digest):
    now = TAGS | {digest: "x"}
    found = compare.code(
        TAGS,
        now,
        {"streamflow/a.py": "1", "b.py": "2", "c.py": "3"},
        {"streamflow/a.py": "9", "c.py": "3", "n.py": "3"},
    )
    assert found == Layer(
        "code", "differs", ("streamflow/a.py: changed", "b.py: not there now", "n.py: new since")
    )


def test_code_that_differs_names_both_commits():
    now = TAGS | {"code.digest": "x", "code.commit": "d" * 40}
    commits = f"commit {'c' * 12} then, {'d' * 12} now"
    assert compare.code(TAGS, now, None, {}) == Layer("code", "differs", (commits, "The run lists no files."))
    without = {**now, "code.commit": ""}
    assert compare.code(TAGS, without, {}, {}).lines == (f"commit {'c' * 12} then, none now",)
    assert compare.code(TAGS | {"code.commit": ""}, now, {}, {}).lines == ()
    unknown = {name: value for name, value in TAGS.items() if name != "code.commit"}
    assert compare.code(unknown, now, {}, {}).lines == ()


@pytest.mark.parametrize("missing", ["code.digest", "code.feature_repo_digest"])
def test_a_run_without_digests_of_its_code_cannot_be_judged(missing):
    unknown = Layer("code", "unknown", ("The run recorded no digest of its code.",))
    assert compare.code({**TAGS, missing: ""}, TAGS, None, {}) == unknown
    assert compare.code({}, TAGS, None, {}) == unknown


# Environment.


def test_a_run_without_packages_cannot_be_judged():
    assert compare.environment({}, TAGS, None, {}) == Layer(
        "environment", "unknown", ("The run recorded no packages.",)
    )


def test_a_changed_package_is_a_difference_but_an_added_package_or_another_machine_is_not():
    then = {"scikit-learn": "1.9.0", "numpy": "2.4", "streamflow": "0.1"}
    other = TAGS | {"env.platform": "there"}
    found = compare.environment(TAGS, other, then, then | {"pytest": "9", "streamflow": "0.2"})
    assert found == Layer("environment", "same", ("platform: here then, there now (harmless by itself)",))
    found = compare.environment(TAGS, TAGS, then, {"scikit-learn": "1.8.0"})
    assert found == Layer(
        "environment",
        "differs",
        ("numpy: 2.4 then, not installed now", "scikit-learn: 1.9.0 then, 1.8.0 now"),
    )


def test_another_python_or_linear_algebra_library_is_a_difference():
    now = TAGS | {"env.python": "3.12.0", "env.blas": "mkl"}
    assert compare.environment(TAGS, now, {}, {}) == Layer(
        "environment", "differs", ("python: 3.11.1 then, 3.12.0 now", "blas: openblas 1 then, mkl now")
    )
    assert (
        compare.environment(TAGS | {"env.blas": ""}, now | {"env.python": "3.11.1"}, {}, {}).verdict == "same"
    )


def test_what_is_harmless_is_listed_after_what_differs():
    then = TAGS | {"env.image": "", "env.cpus": "2"}
    now = TAGS | {"env.image": "repo:1", "env.cpus": "", "env.python": "3.12.0"}
    assert compare.environment(then, now, {}, {}).lines == (
        "python: 3.11.1 then, 3.12.0 now",
        "image: none then, repo:1 now (harmless by itself)",
        "cpus: 2 then, none now (harmless by itself)",
    )


@pytest.mark.parametrize("name", ["image", "platform", "cpus", "threads", "lock"])
def test_what_changes_no_digit_is_harmless(name):
    then, now = {f"env.{name}": "a"}, TAGS | {f"env.{name}": "b"}
    line = f"{name}: a then, b now (harmless by itself)"
    assert compare.environment(then, now, {}, {}) == Layer("environment", "same", (line,))


def test_another_number_of_threads_is_mentioned():
    assert compare.threads(4, 2) == ("training.threads: 4 then, 2 now (harmless by itself)",)
    assert compare.threads(4, 4) == ()
    assert compare.threads(None, 4) == ()


# Data.


@pytest.mark.parametrize("kind", [object, "string", pd.ArrowDtype(pa.string())])
def test_keys_of_another_type_are_the_same_keys(kind):
    then = pd.DataFrame({"id": ["a", "b", "c"], "x": [1.0, 2.0, 3.0]})
    now = then.drop(index=1).astype({"id": kind})
    assert compare.rows("id", then, now) == ["1 rows are missing now: b"]
    assert compare.rows("id", now, then) == ["1 rows are new: b"]


def test_rows_that_differ_are_named():
    then = pd.DataFrame({"id": ["a", "b", "c"], "x": [1.0, np.nan, 3.0], "label": [True, False, True]})
    now = pd.DataFrame({"id": ["b", "c", "d"], "x": [np.nan, 4.0, 1.0], "label": [False, True, True]})
    assert compare.rows("id", then, now) == [
        "1 rows are missing now: a",
        "1 rows are new: d",
        "x differs in 1 rows (the first: 3.0 then, 4.0 now): c",
    ]
    assert compare.rows("id", then, then) == []


def test_a_value_that_appeared_or_vanished_differs():
    then = pd.DataFrame({"id": ["a", "b"], "x": [1.0, np.nan]})
    now = pd.DataFrame({"id": ["a", "b"], "x": [np.nan, 1.0]})
    assert compare.rows("id", then, now) == ["x differs in 2 rows (the first: 1.0 then, nan now): a, b"]


def test_columns_that_came_or_went_are_named():
    then = pd.DataFrame({"id": ["a"], "old": [1]})
    now = pd.DataFrame({"id": ["a"], "new": [1]})
    assert compare.rows("id", then, now) == ["column old: not there now", "column new: new since"]


def test_lists_are_cut_after_twenty():
    then = pd.DataFrame({"id": [f"u{i:02}" for i in range(30)], "x": range(30)})
    (line,) = compare.rows("id", then, then.head(5))
    assert line.endswith("u24 and 5 more")
    (line,) = compare.rows("id", then.head(25), then.head(5))
    assert line.endswith("u23, u24")
    files = {f"{i:02}.py": "1" for i in range(21)}
    now = TAGS | {"code.digest": "x"}
    assert compare.code(TAGS, now, files, {}).lines[-2:] == ("19.py: not there now", "and 1 more")
    assert compare.code(TAGS, now, {"00.py": "1"}, {}).lines == ("00.py: not there now",)


# Result.


def test_equal_to_the_last_bit_is_the_same():
    probability = 0.1 + 0.2
    assert compare.result(
        {"auc": 0.8, "f1": 0.5}, {"auc": 0.8}, [probability], np.array([probability])
    ) == Layer("result", "same", ("1 figures and 1 golden rows are equal to the last bit",))


def test_the_last_bit_counts():
    found = compare.result(
        {"auc": 0.8}, {"auc": np.nextafter(0.8, 1)}, [0.3, 0.5], np.array([0.1 + 0.2, 0.25])
    )
    assert found.verdict == "differs"
    assert found.lines == (
        f"auc: 0.8 then, {np.nextafter(0.8, 1)!r} now",
        "2 of 2 golden rows differ, by up to 0.25",
    )


def test_a_figure_that_was_not_recorded_is_a_difference():
    assert compare.result({}, {"auc": 0.8}, [], np.array([])) == Layer(
        "result", "differs", ("auc: not recorded then, 0.8 now",)
    )


def test_a_hyperparameter_that_changed_is_named_but_not_the_number_of_jobs():
    found = compare.hyperparameters(
        {"C": "1.0", "n_jobs": "2", "old": "a", "tol": "1"},
        {"C": "0.5", "n_jobs": "1", "new": "3", "tol": "1"},
    )
    assert found == [
        "estimator.C: 1.0 then, 0.5 now",
        "estimator.new: not set then, 3 now",
        "estimator.old: a then, not set now",
    ]


@pytest.mark.parametrize(("now", "verdict"), [(0.80, "comparable"), (0.84, "comparable"), (0.60, "unknown")])
def test_without_erased_rows_the_auc_may_differ_by_its_sampling_error_and_nothing_is_said_to_differ(
    now, verdict
):
    layer = compare.without_erased({"auc": 0.82, "f1": 0.6}, {"auc": now, "f1": 0.1}, 200, 600)
    assert layer.verdict == verdict
    assert any(line.startswith("f1: 0.6 then") for line in layer.lines)
    assert compare.exit_code([layer]) == (0 if verdict == "comparable" else 4)


@pytest.mark.parametrize(("then", "positives"), [({}, 10), ({"auc": 0.8}, 0)])
def test_without_a_recorded_auc_nothing_can_be_said_after_an_erasure(then, positives):
    assert compare.without_erased(then, {"auc": 0.8}, positives, 10).verdict == "unknown"


@given(st.floats(0.5, 1), st.integers(2, 500), st.integers(2, 500))
def test_the_error_of_an_auc_shrinks_with_more_rows(auc, positives, negatives):
    assert (
        0
        <= compare.auc_error(auc, 4 * positives, 4 * negatives)
        <= compare.auc_error(auc, positives, negatives)
    )
