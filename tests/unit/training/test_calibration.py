"""A curve behind a classifier: equal to scikit-learn's own calibration, and served as it predicts."""

import numpy as np
import pytest
import skops.io
from hypothesis import given
from hypothesis import strategies as st
from people import FEATURES, people
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from streamflow.training import calibration, fit
from streamflow.training.calibration import (
    ENOUGH_FOR_ISOTONIC,
    METHODS,
    Calibration,
    chosen,
    fit_curve,
    score,
)
from streamflow.training.evaluate import decile_error
from streamflow.training.fit import build_pipeline, deterministic
from streamflow.training.runtime import compile_classifier
from streamflow.training.servable import TRUSTED_TYPES

CLASSIFIERS = {
    "forest": RandomForestClassifier(30, class_weight="balanced", random_state=1),
    "forest of impure leaves": ExtraTreesClassifier(70, min_samples_leaf=7, random_state=1),
    "boosting": GradientBoostingClassifier(n_estimators=20, random_state=1),
    "histograms": HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=8, random_state=1),
    "linear": make_pipeline(StandardScaler(), LogisticRegression()),
}


def crossed(classifier, x, y, splits):
    scores, folds = np.empty(len(y)), np.empty(len(y), dtype=int)
    for number, (train, test) in enumerate(splits):
        fitted = build_pipeline(FEATURES, classifier, calibrated=True).fit(x.iloc[train], y[train])
        scores[test], folds[test] = score(fitted, x.iloc[test]), number
    return scores, folds


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("method", METHODS)
def test_it_is_what_scikit_learn_calibrates_itself(name, method):
    x, y = people(rows=400)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    with deterministic():
        encoded = build_pipeline(FEATURES, CLASSIFIERS[name], calibrated=True)
        matrix = encoded[:-1].fit_transform(x)
        theirs = CalibratedClassifierCV(
            CLASSIFIERS[name], method={"platt": "sigmoid"}.get(method, method), cv=folds, ensemble=False
        ).fit(matrix, y)
        scores, numbers = crossed(CLASSIFIERS[name], x, y, folds.split(x, y))
        pipeline = build_pipeline(FEATURES, CLASSIFIERS[name], calibrated=True).fit(x, y)
        ours = calibration.behind(pipeline, chosen(method, scores, scores, y, numbers))
        expected = theirs.predict_proba(matrix)[:, 1]
        if method == "isotonic":
            # Theirs has no ends. They are in place before it interpolates, so the fit is theirs with ends.
            least = 1 / (len(y) + 2)
            ends = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip").fit(scores, y)
            given = score(pipeline, x)
            inside = (expected > 0.05) & (expected < 0.95)
            assert inside.any()
            assert ends.predict(given)[inside] == pytest.approx(expected[inside], abs=1e-12)
            expected = ends.predict(given)
        assert ours.predict_proba(x)[:, 1] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("method", METHODS)
def test_it_is_served_and_stored_as_it_predicts(name, method):
    x, y = people()
    with deterministic():
        scores, _ = crossed(CLASSIFIERS[name], x, y, StratifiedKFold(3).split(x, y))
        pipeline = build_pipeline(FEATURES, CLASSIFIERS[name], calibrated=True).fit(x, y)
        curve = Calibration(method, {}, fit_curve(method, scores, y), scores)
        calibrated = calibration.behind(pipeline, curve)
        runtime = compile_classifier(calibrated, FEATURES, x)
        assert runtime.largest_difference < 1e-7
        stored = skops.io.loads(skops.io.dumps(calibrated), trusted=TRUSTED_TYPES)
        assert np.array_equal(stored.predict_proba(x), calibrated.predict_proba(x))
    assert calibration.before(calibrated[-1]) is pipeline[-1]
    assert fit.importances(calibrated, FEATURES) == fit.importances(pipeline, FEATURES)


def test_the_steepest_curve_is_served_as_it_predicts():
    """Where two neighbouring scores have labels of both classes, the curve rises by 1 between them."""
    x, y = people(rows=300)
    y = x["fee"].to_numpy() > np.median(x["fee"])
    with deterministic():
        pipeline = build_pipeline(FEATURES, CLASSIFIERS["boosting"]).fit(x, y)
        curve = fit_curve("isotonic", score(pipeline, x), y)
        calibrated = calibration.behind(pipeline, Calibration("isotonic", {}, curve, np.empty(0)))
        assert compile_classifier(calibrated, FEATURES, x).largest_difference < 1e-7


@pytest.mark.parametrize("seed", range(3))
def test_the_better_calibrated_curve_is_chosen(seed):
    rng = np.random.default_rng(seed)
    folds, scores = np.arange(4000) % 5, rng.normal(0, 2, 4000)
    # A step that no logistic curve follows; and labels that both follow.
    steps = rng.random(4000) < np.where(scores > 1, 0.9, np.where(scores > -1, 0.85, 0.05))
    logistic = rng.random(4000) < 1 / (1 + np.exp(-scores))
    for labels in (steps, logistic):
        found = chosen("auto", scores, scores, labels, folds)
        assert set(found.errors) == set(METHODS)
        assert found.method == min(found.errors, key=lambda name: found.errors[name])
        assert found.errors[found.method] == pytest.approx(decile_error(labels, found.probabilities))
    assert chosen("auto", scores, scores, steps, folds).method == "isotonic"


def test_of_few_rows_no_isotonic_curve_is_made():
    rng = np.random.default_rng(0)
    folds, scores, labels = np.arange(999) % 5, rng.normal(size=999), rng.random(999) < 0.3
    assert (chosen("auto", scores, scores, labels, folds).method, ENOUGH_FOR_ISOTONIC) == ("platt", 1000)
    assert chosen("isotonic", scores, scores, labels, folds).method == "isotonic"


def test_a_row_is_judged_by_a_curve_that_has_not_seen_it():
    """One label changed changes the curves of the other folds alone."""
    rng = np.random.default_rng(1)
    folds, scores, labels = np.arange(200) % 4, rng.normal(size=200), rng.random(200) < 0.4
    before = chosen("platt", scores, scores, labels, folds).probabilities
    labels[0] = not labels[0]
    after = chosen("platt", scores, scores, labels, folds).probabilities
    assert np.array_equal(before[folds == 0], after[folds == 0])
    assert not np.array_equal(before[folds != 0], after[folds != 0])


def test_without_a_curve_the_pipeline_and_its_probabilities_stay():
    found = chosen(
        "none", np.zeros(3), np.array([0.1, 0.2, 0.3]), np.array([True, False, True]), np.arange(3)
    )
    assert (found.method, found.probabilities.tolist()) == ("none", [0.1, 0.2, 0.3])
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    assert calibration.behind(pipeline, found) is pipeline


@given(
    st.lists(st.tuples(st.floats(-50, 50), st.booleans()), min_size=4, max_size=60).filter(
        lambda rows: len({label for _, label in rows}) == 2
    ),
    st.sampled_from(METHODS),
)
def test_a_curve_never_says_certain(rows, method):
    scores, labels = np.array([s for s, _ in rows]), np.array([label for _, label in rows])
    curve = fit_curve(method, scores, labels)
    values = curve.predict(np.linspace(-60, 60, 50))
    assert np.isfinite(values).all()
    assert (values >= 0).all() and (values <= 1).all()
    if method == "isotonic":
        assert (np.diff(values) >= -1e-12).all()
        assert values.min() > 0 and values.max() < 1
