"""An estimator that keeps customers' rows is noticed, however deep they lie; one that learns from them is not."""

import pytest
from people import FEATURES, people
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from streamflow.training import kept_rows
from streamflow.training.fit import build_pipeline

KEEP = {
    "neighbours": KNeighborsClassifier(),
    "support vectors": SVC(),
    "scaled": make_pipeline(StandardScaler(), KNeighborsClassifier(algorithm="brute")),
    "one of several": VotingClassifier(
        [("a", LogisticRegression(max_iter=5000)), ("b", KNeighborsClassifier())]
    ),
    "calibrated": CalibratedClassifierCV(KNeighborsClassifier(), cv=2),
}
LEARN = {
    "forest": RandomForestClassifier(10, oob_score=True, random_state=1),
    "boosting": GradientBoostingClassifier(n_estimators=5),
    "histograms": HistGradientBoostingClassifier(max_iter=5),
    "linear": make_pipeline(StandardScaler(), LogisticRegression()),
    "means": GaussianNB(),
    "discriminant": LinearDiscriminantAnalysis(),
    # As many neurons as encoded columns, so that an array of weights has the shape of rows.
    "network": make_pipeline(StandardScaler(), MLPClassifier((14,), max_iter=5)),
}


def kept(classifier):
    x, y = people(rows=120)
    return kept_rows.count(build_pipeline(FEATURES, classifier).fit(x, y), x)


@pytest.mark.parametrize("name", KEEP)
def test_an_estimator_that_keeps_rows_is_noticed(name):
    assert kept(KEEP[name]) > 10


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", LEARN)
def test_an_estimator_that_learns_from_rows_is_not_suspected(name):
    assert kept(LEARN[name]) == 0
