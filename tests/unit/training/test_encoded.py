"""Rows become the matrix that a pipeline's own steps give, to the last bit, and a fit on it is the pipeline's."""

import numpy as np
import pytest
from people import FEATURES, people
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from streamflow.training.encoded import Rows, fit_on, standardise
from streamflow.training.fit import build_pipeline

LINEAR = make_pipeline(StandardScaler(), LogisticRegression())
CLASSIFIERS = [
    (LINEAR, True, np.float64),
    (LINEAR, False, np.float64),
    (HistGradientBoostingClassifier(max_iter=5, random_state=1), False, np.float64),
    (BaggingClassifier(DecisionTreeClassifier(max_depth=3), 3, random_state=1), True, np.float64),
    (RandomForestClassifier(5, random_state=1), True, np.float32),
    (GradientBoostingClassifier(n_estimators=5), True, np.float32),
    (DecisionTreeClassifier(max_depth=3), True, np.float32),
]


def half():
    """Some people, every second position of them, and these rows, encoded in parts."""
    x, y = people()
    at = np.arange(0, len(x), 2)
    return x, y, Rows(FEATURES, x, at, part_rows=17)


@pytest.mark.parametrize(("classifier", "calibrated", "kind"), CLASSIFIERS)
def test_the_matrix_and_the_fit_are_those_of_the_pipeline(classifier, calibrated, kind):
    x, y, rows = half()
    at = rows.at
    pipeline = build_pipeline(FEATURES, classifier, calibrated=calibrated)
    expected = pipeline[:-1].fit_transform(x.iloc[at])
    rows.fit_encoding(pipeline)
    matrix = rows.matrix(pipeline)
    assert matrix.dtype == kind and matrix.flags.c_contiguous
    assert np.array_equal(matrix, np.asarray(expected, dtype=kind))
    some = np.arange(3, len(at), 7)
    assert np.array_equal(rows.matrix(pipeline, some), matrix[some])
    fit_on(pipeline[-1], matrix, y[at])
    alone = build_pipeline(FEATURES, classifier, calibrated=calibrated).fit(x.iloc[at], y[at])
    assert np.array_equal(pipeline.predict_proba(x), alone.predict_proba(x))


def test_standardising_in_place_ends_with_the_fit():
    _, y, rows = half()
    pipeline = build_pipeline(
        FEATURES, make_pipeline(StandardScaler(), LogisticRegression()), calibrated=True
    )
    rows.fit_encoding(pipeline)
    matrix = rows.matrix(pipeline)
    fit_on(pipeline[-1], matrix, y[rows.at])
    assert not np.array_equal(matrix, rows.matrix(pipeline)), "the scaler made a copy"
    assert pipeline[-1][0].copy
    kept = rows.matrix(pipeline)
    pipeline[-1].predict_proba(kept)
    assert np.array_equal(kept, rows.matrix(pipeline))


def test_a_category_that_no_feature_declares_is_an_error():
    x, _, rows = half()
    pipeline = build_pipeline(FEATURES, LINEAR, calibrated=True)
    rows.fit_encoding(pipeline)
    x.loc[rows.at[-1], "plan"] = "never seen"
    with pytest.raises(ValueError, match="never seen"):
        Rows(FEATURES, x, rows.at).matrix(pipeline)


@pytest.mark.parametrize("seed", range(40))
def test_a_scaler_that_sees_a_few_columns_at_a_time_has_the_bits_of_its_own_fit(seed):
    random = np.random.default_rng(seed)
    rows, width = random.integers(1, 3000), random.integers(1, 24)
    matrix = random.normal(random.normal(0, 100), 10 ** random.uniform(-6, 6), (rows, width))
    matrix[:, random.random(width) < 0.2] = random.random((rows, 1)) < 0.3
    matrix[:, random.random(width) < 0.2] = 1.0
    whole, parts = StandardScaler(), StandardScaler()
    expected = whole.fit_transform(matrix)
    standardise(parts, matrix)
    assert np.array_equal(matrix, expected)
    assert whole.__dict__.keys() == parts.__dict__.keys()
    for name, value in whole.__dict__.items():
        assert np.array_equal(getattr(parts, name), value), name
