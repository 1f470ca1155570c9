"""The candidates."""

from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def small_forest(seed: int) -> ClassifierMixin:
    """Few and shallow trees."""
    return RandomForestClassifier(n_estimators=20, max_depth=4, random_state=seed)


def both(seed: int) -> ClassifierMixin:
    """The mean of a linear model and histogram boosting."""
    linear = make_pipeline(StandardScaler(), LogisticRegression())
    boosting = HistGradientBoostingClassifier(max_iter=10, random_state=seed)
    return VotingClassifier([("linear", linear), ("boosting", boosting)], voting="soft")


def nearest(seed: int) -> ClassifierMixin:
    """Nearest neighbours, which keep turbines and so are left out."""
    return KNeighborsClassifier()


ESTIMATORS = {"small_forest": small_forest, "both": both, "nearest": nearest}
