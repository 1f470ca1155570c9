"""Verdicts on layers of a run, and the words they come in."""

import numpy as np
import pandas as pd

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


def test_data_and_result_decide_code_and_environment_explain():
    assert compare.exit_code(layers("same", "differs", "differs", "same")) == 0
    assert compare.exit_code(layers("differs", "same", "same", "same")) == 1
    assert compare.exit_code(layers("same", "same", "same", "differs")) == 1
    assert compare.exit_code(layers("same", "same", "same", "unknown")) == 4
    assert compare.exit_code(layers("differs", "same", "same", "unknown")) == 1


def test_a_file_that_changed_is_named():
    now = TAGS | {"code.digest": "x"}
    found = compare.code(
        TAGS, now, {"streamflow/a.py": "1", "b.py": "2"}, {"streamflow/a.py": "9", "n.py": "3"}
    )
    assert found.verdict == "differs"
    assert found.lines == ("streamflow/a.py: changed", "b.py: not there now", "n.py: new since")


def test_a_run_without_digests_cannot_be_judged():
    assert compare.code({}, TAGS, None, {}).verdict == "unknown"
    assert compare.environment({}, TAGS, None, {}).verdict == "unknown"


def test_another_package_is_a_difference_a_package_beside_it_and_another_machine_are_not():
    then = {"scikit-learn": "1.9.0", "numpy": "2.4", "streamflow": "0.1"}
    other = TAGS | {"env.platform": "there"}
    found = compare.environment(TAGS, other, then, then | {"pytest": "9", "streamflow": "0.2"})
    assert found == Layer("environment", "same", ("platform: here then, there now (harmless by itself)",))
    found = compare.environment(TAGS, TAGS, then, {"scikit-learn": "1.8.0"})
    assert found.verdict == "differs"
    assert found.lines == ("numpy: 2.4 then, not installed now", "scikit-learn: 1.9.0 then, 1.8.0 now")


def test_rows_that_differ_are_named():
    then = pd.DataFrame({"id": ["a", "b", "c"], "x": [1.0, np.nan, 3.0], "label": [True, False, True]})
    now = pd.DataFrame({"id": ["b", "c", "d"], "x": [np.nan, 4.0, 1.0], "label": [False, True, True]})
    assert compare.rows("id", then, now) == [
        "1 rows are missing now: a",
        "1 rows are new: d",
        "x differs in 1 rows (the first: 3.0 then, 4.0 now): c",
    ]
    assert compare.rows("id", then, then) == []


def test_long_lists_are_cut():
    then = pd.DataFrame({"id": [f"u{i:02}" for i in range(30)], "x": range(30)})
    (line,) = compare.rows("id", then, then.head(5))
    assert line.endswith("u24 and 5 more")


def test_the_last_bit_counts():
    probability = 0.1 + 0.2
    same = compare.result({"auc": 0.8}, {"auc": 0.8}, [probability], np.array([probability]))
    assert same.verdict == "same"
    found = compare.result({"auc": 0.8}, {"auc": np.nextafter(0.8, 1)}, [0.3], np.array([probability]))
    assert found.verdict == "differs"
    assert len(found.lines) == 2


def test_a_hyperparameter_that_changed_is_named_but_not_the_number_of_jobs():
    found = compare.hyperparameters({"C": "1.0", "n_jobs": "2"}, {"C": 0.5, "n_jobs": 1})
    assert found == ["estimator.C: 1.0 then, 0.5 now"]
