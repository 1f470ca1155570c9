"""Choose an estimator by cross-validation, fit it and evaluate it on the holdout."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import ClassifierMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingClassifier, GradientBoostingClassifier
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from streamflow import encoding
from streamflow.errors import Refused, UsageError
from streamflow.model_version import run_record
from streamflow.model_version.contract import Feature
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import TrainingSettings
from streamflow.training import calibration, forest_onnx, servable
from streamflow.training import threshold as thresholds
from streamflow.training.calibration import Calibration
from streamflow.training.encoded import ROUND, Rows, fit_on
from streamflow.training.evaluate import evaluate
from streamflow.training.runtime import NotServableError
from streamflow.training.split import Split, sample, split
from streamflow.training.threshold import Threshold

ENCODE, CLASSIFY = "encode", "classify"

_TREES = (DecisionTreeClassifier, GradientBoostingClassifier, BaggingClassifier)
_LINEAR = (LogisticRegression, SGDClassifier)


@dataclass(frozen=True)
class CrossValidated:
    """How a candidate did in cross-validation.

    Attributes:
        auc_by_fold: AUC on each fold.
        seconds: Duration of all folds together, in seconds.
        hyperparameters: Its parameters that are plain values.
        scores: What it gives to a curve for each training row, by the fit that has not seen the row.
        probabilities: Its probability of each training row, by the same fit.
        folds: Number of the fold of each training row.
        rows: Positions of the training rows that it learned from: all, or a sample.
    """

    auc_by_fold: tuple[float, ...]
    seconds: float
    hyperparameters: dict[str, str]
    scores: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float64]
    folds: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]

    @property
    def auc(self) -> float:
        """Mean AUC over the folds."""
        return float(np.mean(self.auc_by_fold))


@dataclass(frozen=True)
class Fitted:
    """A fitted pipeline and its evaluation.

    Attributes:
        pipeline: Scikit-learn pipeline that takes raw features.
        estimator: Name of the estimator in the feature repo.
        split: Training rows and holdout rows.
        metrics: Metrics on the holdout; a repeated run reproduces them to the last digit.
        train_seconds: Duration of the final fit, in seconds.
        candidates: How each candidate did in cross-validation on the training rows; empty if the caller named the
            estimator.
        left_out: Why a candidate cannot be served, by candidate; these were not fitted.
        calibration: The curve behind the classifier, and how well each curve that was tried is calibrated.
        threshold: The threshold, and how it was chosen.
        learned_rows: Number of training rows that the estimator learned from: all, or a sample.
        holdout_probabilities: Probabilities of the holdout rows, in the order of `split.holdout`.
    """

    pipeline: Pipeline
    estimator: str
    split: Split
    metrics: dict[str, float]
    train_seconds: float
    candidates: dict[str, CrossValidated]
    left_out: dict[str, str]
    calibration: Calibration
    threshold: Threshold
    learned_rows: int
    holdout_probabilities: npt.NDArray[np.float64]

    @property
    def classifier(self) -> Any:
        """The fitted classifier, without the curve behind it."""
        return calibration.before(self.pipeline[-1])

    @property
    def cross_validated(self) -> dict[str, float]:
        """Mean AUC over the folds of the training rows, by candidate."""
        return {name: candidate.auc for name, candidate in self.candidates.items()}


def build_pipeline(
    features: Sequence[Feature], classifier: ClassifierMixin, *, calibrated: bool = False
) -> Pipeline:
    """Combine encoder and classifier in one scikit-learn pipeline that takes raw features.

    The pipeline encodes features to the same columns as `streamflow.encoding`, which encodes them when the model is
    served. Training compares the two on every row.

    Args:
        features: Schema of the features.
        classifier: Unfitted classifier.
        calibrated: Whether a curve will lie behind the classifier.
    """
    nullable = encoding.nullables(features)
    categories = encoding.categoricals(features)
    steps: list[tuple[str, Any, list[str]]] = [("numbers", "passthrough", encoding.numbers(features))]
    # The steps are in the order of the encoded columns; `streamflow.encoding` must encode in the same order.
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
    return Pipeline(
        [(ENCODE, ColumnTransformer(steps)), *_rounding(classifier, calibrated), (CLASSIFY, classifier)]
    )


def _rounding(classifier: ClassifierMixin, calibrated: bool) -> list[tuple[str, Any]]:
    """The steps that round what a classifier learns from to single precision, in which it is served.

    Between two values that are equal in single precision, histogram boosting may place a threshold. Trees round their
    input themselves. A linear model gives nearly the same for both, but a curve behind it may be steep.
    """
    parts = [step for _, step in classifier.steps] if isinstance(classifier, Pipeline) else [classifier]
    *before, last = parts
    if not before and (forest_onnx.takes(last) or isinstance(last, _TREES)):
        return []
    if (
        not calibrated
        and isinstance(last, _LINEAR)
        and all(isinstance(step, StandardScaler) for step in before)
    ):
        return []
    return [(ROUND, FunctionTransformer(np.float32)), ("widen", FunctionTransformer(np.float64))]


def fit(
    repo: FeatureRepo,
    features: Sequence[Feature],
    x: pd.DataFrame,
    y: npt.NDArray[np.bool_],
    keys: pd.Series[str],
    settings: TrainingSettings,
    *,
    estimator: str | None = None,
) -> Fitted:
    """Fit the named estimator, or the candidate with the highest cross-validated AUC, and calibrate it.

    A forest learns from at most `forest_rows` of the training rows, all other estimators learn from all.
    Its scores of the rows in cross-validation choose the curve behind it and the threshold; the holdout
    chooses nothing. The result depends only on the rows, the seed and the versions of the libraries. It does not
    depend on the number of threads: numerical libraries run on one thread, and a forest grows its trees in parallel
    but adds up their probabilities in a fixed order.

    Args:
        repo: Feature repo that defines the estimators.
        features: Schema of the features.
        x: Raw features, one row per entity.
        y: Labels, one per row.
        keys: Entity keys, one per row.
        settings: Candidates, seed, number of folds and share of the holdout.
        estimator: Name of an estimator in `feature_repo/estimator.py`; None chooses by cross-validation.

    Raises:
        UsageError: The feature repo does not define the estimator.
        Refused: One class has too few rows, or the named estimator or all candidates cannot be served.
    """
    parts = split(keys, y, holdout_share=settings.holdout_share, seed=settings.seed)
    calibrated = settings.calibration != "none"
    with deterministic():
        named = settings.estimators if estimator is None else (estimator,)
        few = parts.train[servable.few_of_each(y[parts.train])]
        left_out = _left_out(repo, features, named, x.iloc[few], y[few], settings)
        if estimator in left_out:
            raise left_out[estimator].of(estimator)
        tried = {}
        for name in _servable(named, left_out):
            classifier = _classifier(repo, name, settings)
            most = settings.forest_rows if forest_onnx.takes(classifier) else 0
            rows = Rows(features, x, sample(keys, parts.train, most))
            tried[name] = cross_validate(features, classifier, rows, y[rows.at], settings)
        best = max(tried, key=lambda name: tried[name].auc)
        rows, labels = Rows(features, x, tried[best].rows), y[tried[best].rows]
        pipeline = build_pipeline(features, _classifier(repo, best, settings), calibrated=calibrated)
        seconds = rows.fit(pipeline, labels)
        # Before the first prediction: several threads would change the last digit of the metrics.
        single_threaded(pipeline)
        won = tried[best]
        curve = calibration.chosen(settings.calibration, won.scores, won.probabilities, labels, won.folds)
        encoded = Rows(features, x, parts.holdout).matrix(pipeline)
        pipeline = calibration.behind(pipeline, curve)
        probabilities = pipeline[-1].predict_proba(encoded)[:, 1]
    threshold = thresholds.choose(settings.threshold, labels, curve.probabilities)
    return Fitted(
        pipeline=pipeline,
        estimator=best,
        split=parts,
        metrics=evaluate(y[parts.holdout], probabilities, threshold.value),
        train_seconds=seconds,
        candidates=tried if estimator is None else {},
        left_out={name: error.why for name, error in left_out.items()},
        calibration=curve,
        threshold=threshold,
        learned_rows=len(labels),
        holdout_probabilities=probabilities,
    )


def _left_out(
    repo: FeatureRepo,
    features: Sequence[Feature],
    named: Sequence[str],
    x: pd.DataFrame,
    y: npt.NDArray[np.bool_],
    settings: TrainingSettings,
) -> dict[str, NotServableError]:
    """Why estimators cannot be served, by name."""
    calibrated = settings.calibration != "none"
    found = {}
    for name in named:
        pipeline = build_pipeline(features, _classifier(repo, name, settings), calibrated=calibrated)
        if error := servable.why_not(pipeline, features, x, y, calibrated=calibrated):
            found[name] = error
    return found


def _servable(candidates: Sequence[str], left_out: Mapping[str, NotServableError]) -> list[str]:
    """The candidates that can be served.

    Raises:
        Refused: There is none.
    """
    if left := [name for name in candidates if name not in left_out]:
        return left
    if len(left_out) == 1:
        ((name, error),) = left_out.items()
        raise error.of(name)
    raise Refused(
        "None of the candidate estimators can be served.",
        details=tuple(f"{name}: {error.why}" for name, error in left_out.items()),
        hint="Change them in estimator.py of the feature repo.",
    )


def cross_validate(
    features: Sequence[Feature],
    classifier: ClassifierMixin,
    rows: Rows,
    y: npt.NDArray[np.bool_],
    settings: TrainingSettings,
) -> CrossValidated:
    """Fit and evaluate a classifier on stratified folds.

    Args:
        features: Schema of the features.
        classifier: Unfitted classifier; each fold fits it again.
        rows: Training rows. The holdout must not be among them.
        y: Labels of these rows.
        settings: Number of folds, and the seed that shuffles them.
    """
    calibrated = settings.calibration != "none"
    splits = StratifiedKFold(settings.folds, shuffle=True, random_state=settings.seed).split(y, y)
    scores, probabilities, folds = np.empty(len(y)), np.empty(len(y)), np.empty(len(y), dtype=np.int64)
    areas = []
    started = time.perf_counter()
    whole = build_pipeline(features, classifier, calibrated=calibrated)
    rows.fit_encoding(whole)
    for number, (train, test) in enumerate(splits):
        pipeline = clone(whole[-1:])
        fit_on(pipeline[-1], rows.matrix(whole, train), y[train])
        single_threaded(pipeline)
        encoded = rows.matrix(whole, test)
        probabilities[test] = pipeline.predict_proba(encoded)[:, 1]
        scores[test] = calibration.score(pipeline, encoded)
        folds[test] = number
        areas.append(float(roc_auc_score(y[test], probabilities[test])))
    seconds = time.perf_counter() - started
    known = run_record.hyperparameters(classifier)
    return CrossValidated(tuple(areas), seconds, known, scores, probabilities, folds, rows.at)


def _classifier(repo: FeatureRepo, name: str, settings: TrainingSettings) -> ClassifierMixin:
    if name not in repo.estimators:
        raise UsageError(
            f"There is no estimator '{name}'.",
            hint=f"feature_repo/estimator.py has: {', '.join(sorted(repo.estimators))}.",
        )
    classifier = repo.estimators[name](settings.seed)
    parameters = classifier.get_params()
    # One thread inside: their order would change the last digits.
    several = [
        key for key, value in parameters.items() if key.endswith("__n_jobs") and value not in (None, 1)
    ]
    classifier.set_params(**dict.fromkeys(several, 1))
    if "n_jobs" in parameters:
        # What is made of other classifiers would start processes.
        made_of_others = "estimator" in parameters or "estimators" in parameters
        classifier.set_params(n_jobs=1 if made_of_others else settings.threads)
    return classifier


def single_threaded(pipeline: Pipeline) -> None:
    """Make a fitted classifier predict on one thread.

    A forest that predicts on several threads adds up its trees in the order in which the threads finish, which
    changes the last digit from run to run. For a single row, threads also cost more time than they save.
    """
    classifier = pipeline[-1]
    if "n_jobs" in classifier.get_params():
        classifier.set_params(n_jobs=1)


@contextmanager
def deterministic() -> Iterator[None]:
    """Limit BLAS and OpenMP to one thread, because the order of their sums depends on the number of threads."""
    with threadpool_limits(limits=1):
        yield


def importances(pipeline: Pipeline, features: Sequence[Feature]) -> dict[str, float]:
    """Return the importance of each feature, highest first; the importances add up to 1.

    The importance is the mean decrease in impurity for trees, and the absolute value of the coefficient for
    linear models. The importance of a feature is the sum over its encoded columns.

    Returns:
        Importance by feature; empty if the classifier has neither importances nor coefficients.
    """
    classifier = calibration.before(pipeline[-1])
    last = classifier[-1] if isinstance(classifier, Pipeline) else classifier
    raw = getattr(last, "feature_importances_", None)
    if raw is None:
        coefficients = getattr(last, "coef_", None)
        if coefficients is None:
            return {}
        raw = np.abs(np.atleast_2d(coefficients)[0])
    owners = _owners(features)
    # A step before the classifier may make columns of its own, such as powers of a feature.
    if len(raw) != len(owners):
        return {}
    sums: dict[str, float] = dict.fromkeys((feature.name for feature in features), 0.0)
    for name, value in zip(owners, raw, strict=True):
        sums[name] += float(value)
    total = sum(sums.values()) or 1.0
    return dict(sorted(((name, value / total) for name, value in sums.items()), key=lambda item: -item[1]))


def _owners(features: Sequence[Feature]) -> list[str]:
    """Return the name of the feature behind each encoded column."""
    nullable = encoding.nullables(features)
    # Twice: a nullable feature is encoded as its value and as an indicator of null.
    owners = [*encoding.numbers(features), *nullable, *nullable]
    return owners + [feature.name for feature in encoding.categoricals(features) for _ in feature.categories]
