"""Candidate estimators, by name: functions that take a seed and return an unfitted scikit-learn classifier.

Training chooses the best of those that STREAMFLOW_TRAINING__ESTIMATORS names.

Their input is numeric: categories are one-hot encoded, and a nullable feature becomes its value and an
indicator of null. No candidate sets `n_jobs`: training sets it for the fit, and to 1 for predictions, because
several threads would sum a forest's trees in varying order and so change the last bits of a probability.
"""

from sklearn.base import ClassifierMixin
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def random_forest(seed: int) -> ClassifierMixin:
    """A random forest of 300 trees, with classes weighted by their inverse frequency."""
    return RandomForestClassifier(n_estimators=300, class_weight="balanced", random_state=seed)


def logistic_regression(seed: int) -> ClassifierMixin:
    """A logistic regression with an L2 penalty on standardised features."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed))


def gradient_boosting(seed: int) -> ClassifierMixin:
    """Gradient boosting with 100 trees of depth 3."""
    return GradientBoostingClassifier(random_state=seed)


def histogram_boosting(seed: int) -> ClassifierMixin:
    """Boosting of 100 trees with 8 leaves, over 255 bins a feature: for a million customers and more."""
    return HistGradientBoostingClassifier(max_leaf_nodes=8, early_stopping=False, random_state=seed)


ESTIMATORS = {
    "random_forest": random_forest,
    "logistic_regression": logistic_regression,
    "gradient_boosting": gradient_boosting,
    "histogram_boosting": histogram_boosting,
}
