"""Choose an estimator by cross-validation, fit it, and judge it on the holdout."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder
from threadpoolctl import threadpool_limits

from streamflow import encoding
from streamflow.errors import UsageError
from streamflow.model_version.contract import Feature
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import TrainingSettings
from streamflow.training.evaluate import evaluate
from streamflow.training.split import Split, split

ENCODE, CLASSIFY = "encode", "classify"


@dataclass(frozen=True)
class Fitted:
    """A fitted pipeline and what it was judged by.

    Attributes:
        pipeline: scikit-learn pipeline on raw features.
        estimator: Its name in the feature repo.
        split: The rows it was fitted and judged on.
        metrics: Figures on the holdout; equal to the last digit whenever the run is repeated.
        train_seconds: How long the fit took.
        cross_validated: Mean AUC over the folds of the training part, by candidate.
        holdout_probabilities: Probabilities of the holdout rows, in their order.
    """

    pipeline: Pipeline
    estimator: str
    split: Split
    metrics: dict[str, float]
    train_seconds: float
    cross_validated: dict[str, float]
    holdout_probabilities: npt.NDArray[np.float64]


def build_pipeline(features: Sequence[Feature], classifier: ClassifierMixin) -> Pipeline:
    """Encoder and classifier as one scikit-learn pipeline on raw features.

    Its columns are those of `streamflow.encoding`; training checks on every row that both encode alike.
    """
    nullable = encoding.nullables(features)
    categories = encoding.categoricals(features)
    steps: list[tuple[str, Any, list[str]]] = [("numbers", "passthrough", encoding.numbers(features))]
    if nullable:
        steps.append(("nullable", SimpleImputer(strategy="constant", fill_value=0), nullable))
        steps.append(("absent", MissingIndicator(features="all"), nullable))
    if categories:
        one_hot = OneHotEncoder(
            categories=[list(feature.categories) for feature in categories],
            handle_unknown="error",
            sparse_output=False,
        )
        steps.append(("categories", one_hot, [feature.name for feature in categories]))
    return Pipeline([(ENCODE, ColumnTransformer(steps)), (CLASSIFY, classifier)])


def fit(
    repo: FeatureRepo,
    features: Sequence[Feature],
    x: pd.DataFrame,
    y: npt.NDArray[np.bool_],
    keys: Sequence[str],
    settings: TrainingSettings,
    *,
    estimator: str | None = None,
) -> Fitted:
    """Fit the named estimator, or the candidate with the best cross-validated AUC.

    The result depends on rows, seed and versions alone, not on threads: numerical libraries run on one, and
    trees are grown in parallel but summed in order.

    Args:
        x: n rows of raw features.
        y: n labels.
        keys: n entity keys, in the order of the rows.
        estimator: Name in `feature_repo/estimator.py`; None lets cross-validation choose.

    Raises:
        UsageError: no such estimator.
        Refused: too few rows of a class.
    """
    parts = split(keys, y, holdout_share=settings.holdout_share, seed=settings.seed)
    x_train, y_train = x.iloc[parts.train], y[parts.train]
    with deterministic():
        if estimator is None:
            scores = {
                name: cross_validate(features, _classifier(repo, name, settings), x_train, y_train, settings)
                for name in settings.estimators
            }
            estimator = max(scores, key=lambda name: scores[name])
        else:
            scores = {}
        started = time.perf_counter()
        pipeline = build_pipeline(features, _classifier(repo, estimator, settings)).fit(x_train, y_train)
        seconds = time.perf_counter() - started
        single_threaded(pipeline)
        probabilities = pipeline.predict_proba(x.iloc[parts.holdout])[:, 1]
    figures = evaluate(y[parts.holdout], probabilities, settings.threshold)
    return Fitted(pipeline, estimator, parts, figures, seconds, scores, probabilities)


def cross_validate(
    features: Sequence[Feature],
    classifier: ClassifierMixin,
    x: pd.DataFrame,
    y: npt.NDArray[np.bool_],
    settings: TrainingSettings,
) -> float:
    """Mean AUC over stratified folds; the holdout is never seen."""
    folds = StratifiedKFold(settings.folds, shuffle=True, random_state=settings.seed)
    scores = []
    for train, test in folds.split(x, y):
        pipeline = build_pipeline(features, classifier).fit(x.iloc[train], y[train])
        single_threaded(pipeline)
        scores.append(roc_auc_score(y[test], pipeline.predict_proba(x.iloc[test])[:, 1]))
    return float(np.mean(scores))


def _classifier(repo: FeatureRepo, name: str, settings: TrainingSettings) -> ClassifierMixin:
    if name not in repo.estimators:
        raise UsageError(
            f"There is no estimator '{name}'.",
            hint=f"feature_repo/estimator.py has: {', '.join(sorted(repo.estimators))}.",
        )
    classifier = repo.estimators[name](settings.seed)
    if "n_jobs" in classifier.get_params():
        classifier.set_params(n_jobs=settings.threads)
    return classifier


def single_threaded(pipeline: Pipeline) -> None:
    """Let the fitted classifier predict on one thread.

    A forest that predicts on several sums its trees in the order in which threads happen to finish, which moves
    the last digit; and for single rows threads cost more than they give.
    """
    classifier = pipeline[-1]
    if "n_jobs" in classifier.get_params():
        classifier.set_params(n_jobs=1)


@contextmanager
def deterministic() -> Iterator[None]:
    """BLAS and OpenMP on one thread, since the order of their sums depends on the number of threads."""
    with threadpool_limits(limits=1):
        yield


def importances(pipeline: Pipeline, features: Sequence[Feature]) -> dict[str, float]:
    """Importance per feature, largest first, summing to 1; empty when the classifier offers none.

    Trees: mean decrease in impurity. Linear models: absolute coefficient of the standardised feature.
    """
    classifier = pipeline[-1]
    last = classifier[-1] if isinstance(classifier, Pipeline) else classifier
    raw = getattr(last, "feature_importances_", None)
    if raw is None:
        coefficients = getattr(last, "coef_", None)
        if coefficients is None:
            return {}
        raw = np.abs(coefficients[0])
    owners = _owners(features)
    sums: dict[str, float] = dict.fromkeys((feature.name for feature in features), 0.0)
    for name, value in zip(owners, raw, strict=True):
        sums[name] += float(value)
    total = sum(sums.values()) or 1.0
    return dict(sorted(((name, value / total) for name, value in sums.items()), key=lambda item: -item[1]))


def _owners(features: Sequence[Feature]) -> list[str]:
    """The feature that each encoded column comes from."""
    nullable = encoding.nullables(features)
    owners = [*encoding.numbers(features), *nullable, *nullable]
    return owners + [feature.name for feature in encoding.categoricals(features) for _ in feature.categories]


def describe(features: Sequence[Feature], x: pd.DataFrame) -> dict[str, Mapping[str, Any]]:
    """Training statistics per feature, the reference that drift is measured against.

    Numbers: rows, absent, mean, std, and the 11 deciles. Strings and booleans: counts per value.
    """
    result: dict[str, Mapping[str, Any]] = {}
    for feature in features:
        column = x[feature.name]
        absent = int(column.isna().sum())
        if feature.type in ("string", "bool"):
            counts = {str(value): int(count) for value, count in column.value_counts().sort_index().items()}
            result[feature.name] = {"rows": len(column), "absent": absent, "counts": counts}
            continue
        values = column.dropna().to_numpy(dtype=float)
        result[feature.name] = {
            "rows": len(column),
            "absent": absent,
            "mean": float(values.mean()),
            "std": float(values.std()),
            "deciles": [float(value) for value in np.quantile(values, np.linspace(0, 1, 11))],
        }
    return result
