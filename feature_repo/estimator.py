"""The candidates for a model, by name. Each takes the seed and returns an unfitted scikit-learn classifier.

They see numbers only: categories one-hot, a nullable feature as its value and an indicator.
"""

from sklearn.base import ClassifierMixin
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def random_forest(seed: int) -> ClassifierMixin:
    """300 trees, classes weighted by their inverse frequency."""
    return RandomForestClassifier(n_estimators=300, class_weight="balanced", random_state=seed)


def logistic_regression(seed: int) -> ClassifierMixin:
    """Standardised features, L2 penalty."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed))


def gradient_boosting(seed: int) -> ClassifierMixin:
    """100 boosted trees of depth 3."""
    return GradientBoostingClassifier(random_state=seed)


ESTIMATORS = {
    "random_forest": random_forest,
    "logistic_regression": logistic_regression,
    "gradient_boosting": gradient_boosting,
}
