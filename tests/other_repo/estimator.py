"""The candidates."""

from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier


def small_forest(seed: int) -> ClassifierMixin:
    """Few and shallow trees."""
    return RandomForestClassifier(n_estimators=20, max_depth=4, random_state=seed)


ESTIMATORS = {"small_forest": small_forest}
