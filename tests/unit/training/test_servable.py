"""Which scikit-learn classifiers are served, and in which sentence the others are refused before their fit."""

import types

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from people import FEATURES, people
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, SplineTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from streamflow.encoding import Encoder
from streamflow.errors import Refused
from streamflow.settings import TrainingSettings
from streamflow.training import composed_onnx, fit, servable
from streamflow.training.fit import build_pipeline, deterministic
from streamflow.training.made_rows import make
from streamflow.training.runtime import (
    OPSET,
    TOLERANCE,
    compile_classifier,
    probabilities,
    raw_rows,
    single_thread,
)
from streamflow.training.statistics import describe

LINEAR = make_pipeline(StandardScaler(), LogisticRegression())
FOREST = RandomForestClassifier(10, random_state=1)
SERVED = {
    "histograms": HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=8, random_state=1),
    "scaled histograms": make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=5)),
    "stumps": AdaBoostClassifier(n_estimators=20, random_state=1),
    "deeper": AdaBoostClassifier(DecisionTreeClassifier(max_depth=3), n_estimators=5, random_state=1),
    "bagged": BaggingClassifier(LINEAR, max_features=0.5, random_state=1),
    "voting": VotingClassifier(
        [("a", LINEAR), ("b", FOREST), ("c", GradientBoostingClassifier(n_estimators=20))],
        voting="soft",
        weights=[3, 1, 1],
    ),
    "stacked": StackingClassifier([("a", LINEAR), ("b", FOREST)]),
    "calibrated": CalibratedClassifierCV(FOREST, method="isotonic", cv=3),
    "calibrated vectors": CalibratedClassifierCV(make_pipeline(StandardScaler(), LinearSVC()), cv=3),
    "network": make_pipeline(StandardScaler(), MLPClassifier((8,), "tanh", random_state=1, max_iter=20)),
    "descent": make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=1)),
    "smallest to largest": make_pipeline(MinMaxScaler(), LogisticRegression()),
    "largest": make_pipeline(MaxAbsScaler(), LogisticRegression()),
    "quartiles": make_pipeline(RobustScaler(), ExtraTreesClassifier(5, random_state=1)),
    "bayes": GaussianNB(),
    "bernoulli": BernoulliNB(),
    "discriminant": LinearDiscriminantAnalysis(),
    "quadratic": make_pipeline(StandardScaler(), QuadraticDiscriminantAnalysis(reg_param=0.1)),
    "tree": DecisionTreeClassifier(max_depth=5, random_state=1),
}
REFUSED = {
    "neighbours": (KNeighborsClassifier(), "keeps 100 rows of its training set"),
    "vectors": (CalibratedClassifierCV(SVC(), cv=2), "rows of its training set"),
    "margins": (LinearSVC(), "gives no probabilities"),
    "ridge": (RidgeClassifier(), "gives no probabilities"),
    "hard voting": (VotingClassifier([("a", LINEAR)]), "gives no probabilities"),
    "splines": (make_pipeline(SplineTransformer(), LogisticRegression()), "nobody vouches for its parts"),
    "wrong": (GradientBoostingClassifier(n_estimators=-1), "its fit on 100 rows fails"),
}


def tried(classifier):
    x, y = people()
    with deterministic():
        return servable.why_not(build_pipeline(FEATURES, classifier), FEATURES, x, y)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SERVED)
def test_it_is_served_as_it_predicts(name):
    assert tried(SERVED[name]) is None
    x, y = people()
    with deterministic():
        pipeline = build_pipeline(FEATURES, SERVED[name]).fit(x, y)
        runtime = compile_classifier(pipeline, FEATURES, x)
    assert (runtime.rows, runtime.largest_difference < TOLERANCE) == (len(x), True)
    assert len(make(FEATURES, describe(FEATURES, x), pipeline, 20)) >= 20


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_before_its_fit_with_what_to_use_instead(name):
    classifier, why = REFUSED[name]
    error = tried(classifier)
    assert why in error.why
    assert error.hint.endswith(".")
    assert "\n" not in error.what


@pytest.mark.parametrize("classifier", [FOREST, LINEAR, GradientBoostingClassifier(n_estimators=5)])
def test_a_part_of_another_classifier_is_converted_to_what_it_gives_alone(classifier):
    """Forest, regression and boosting have converters of their own when they stand alone."""
    x, y = people()
    pipeline = build_pipeline(FEATURES, classifier).fit(x, y)
    session = onnxruntime.InferenceSession(composed_onnx.convert(pipeline[-1], OPSET), single_thread())
    served = probabilities(session, Encoder(FEATURES).encode(raw_rows(FEATURES, x)))
    assert np.abs(served - pipeline.predict_proba(x)[:, 1]).max() < TOLERANCE


def test_what_is_recorded_of_forest_regression_and_boosting_is_trained_as_before():
    for classifier in (FOREST, LINEAR, GradientBoostingClassifier()):
        assert [name for name, _ in build_pipeline(FEATURES, classifier).steps] == ["encode", "classify"]
    rounded = build_pipeline(FEATURES, HistGradientBoostingClassifier())
    assert [name for name, _ in rounded.steps] == ["encode", "round", "widen", "classify"]


def test_a_threshold_never_lies_between_values_that_are_equal_when_they_are_served():
    """Fees that differ by less than single precision tells apart, and a label that depends on them."""
    x, _ = people()
    x["fee"] = 1e6 + np.arange(len(x)) / 1000
    y = (x["fee"] > x["fee"].median()).to_numpy()
    with deterministic():
        pipeline = build_pipeline(FEATURES, HistGradientBoostingClassifier(max_iter=5)).fit(x, y)
        assert compile_classifier(pipeline, FEATURES, x).largest_difference < TOLERANCE
        pipeline.steps = [step for step in pipeline.steps if step[0] not in ("round", "widen")]
        with pytest.raises(Refused, match="differs from it"):
            compile_classifier(pipeline.fit(x, y), FEATURES, x)


def candidates(**classifiers):
    """A feature repo with these estimators, and settings that name them all."""
    repo = types.SimpleNamespace(estimators={name: lambda _, c=c: c for name, c in classifiers.items()})
    return repo, TrainingSettings(estimators=tuple(classifiers))


def fitted(repo, settings, estimator=None):
    x, y = people()
    return fit.fit(
        repo, FEATURES, x, y, pd.Series([str(i) for i in range(len(x))]), settings, estimator=estimator
    )


def test_a_candidate_that_cannot_be_served_is_left_out_with_its_reason():
    repo, settings = candidates(near=KNeighborsClassifier(), line=LINEAR)
    done = fitted(repo, settings)
    assert (done.estimator, list(done.cross_validated)) == ("line", ["line"])
    assert "keeps 100 rows" in done.left_out["near"]
    alone = fitted(repo, replace_estimators(settings, ("line",)))
    assert (alone.metrics, alone.left_out) == (done.metrics, {})


def test_it_is_an_error_when_it_is_named_or_the_only_one():
    repo, settings = candidates(near=KNeighborsClassifier(), margin=LinearSVC(), line=LINEAR)
    with pytest.raises(Refused, match="The estimator 'near' cannot be served: it keeps 100 rows"):
        fitted(repo, settings, "near")
    with pytest.raises(Refused, match="The estimator 'margin' cannot be served"):
        fitted(repo, replace_estimators(settings, ("margin",)))
    with pytest.raises(Refused, match="None of the candidate") as caught:
        fitted(repo, replace_estimators(settings, ("near", "margin")))
    assert [line.split(":")[0] for line in caught.value.details] == ["near", "margin"]


def replace_estimators(settings, names):
    return settings.model_copy(update={"estimators": names})


def test_a_forest_learns_from_a_sample_of_many_rows_and_other_candidates_from_all():
    repo, settings = candidates(forest=FOREST, line=LINEAR)
    train = len(fitted(repo, settings).split.train)
    few = settings.model_copy(update={"forest_rows": 60})
    forest, line = (fitted(repo, few, name) for name in ("forest", "line"))
    assert (forest.learned_rows, line.learned_rows) == (60, train)
    assert {tree.tree_.n_node_samples[0] <= 60 for tree in forest.classifier.estimators_} == {True}
    assert fitted(repo, few, "forest").metrics == forest.metrics
    assert fitted(repo, settings, "forest").learned_rows == train
