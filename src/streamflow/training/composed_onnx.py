"""Convert binary classifiers to ONNX in double precision, also those that are made of other classifiers.

A classifier becomes the nodes of its parts: a voting classifier the average of its members, a calibrated one the curve
behind its classifier, and so on, to any depth. skl2onnx converts most of these only in single precision, or not at all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
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
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from streamflow.training import forest_onnx
from streamflow.training.onnx_graph import Graph

_SCALERS = (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler)
_LINEAR = (LogisticRegression, SGDClassifier, LinearDiscriminantAnalysis, LinearSVC, RidgeClassifier)
_ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}


class NotConvertibleError(Exception):
    """This module converts no such classifier."""


def convert(classifier: Any, opset: int) -> bytes | None:
    """Convert a fitted binary classifier to ONNX.

    Args:
        classifier: Any fitted classifier or pipeline.
        opset: ONNX operator set to use.

    Returns:
        The serialised model, or None if a part of the classifier is of another kind.
    """
    graph = Graph()
    try:
        positive = _probability(graph, classifier, graph.rows)
    except NotConvertibleError:
        return None
    return graph.finish(positive, int(classifier.n_features_in_), opset)


def _probability(graph: Graph, classifier: Any, x: str) -> str:
    """The probability of the positive class, of shape (n, 1)."""
    match classifier:
        case Pipeline():
            positive = _probability(graph, classifier[-1], _transformed(graph, classifier, x))
        case DecisionTreeClassifier():
            positive = graph.trees(graph.in_single(x), [_votes(classifier.tree_)])
        case RandomForestClassifier() | ExtraTreesClassifier():
            positive = _forest(graph, classifier, x)
        case MLPClassifier():
            positive = _network(graph, classifier, x)
        case GaussianNB():
            positive = graph.add("Sigmoid", _bayes(graph, classifier, x))
        case VotingClassifier(voting="soft"):
            members = [_probability(graph, member, x) for member in classifier.estimators_]
            positive = graph.mean(members, classifier._weights_not_none)
        case BaggingClassifier():
            pairs = zip(classifier.estimators_, classifier.estimators_features_, strict=True)
            positive = graph.mean([_probability(graph, member, graph.column(x, at)) for member, at in pairs])
        case StackingClassifier(passthrough=False):
            positive = _probability(graph, classifier.final_estimator_, _stacked(graph, classifier, x))
        case CalibratedClassifierCV():
            positive = graph.mean(
                [_calibrated(graph, fold, x) for fold in classifier.calibrated_classifiers_]
            )
        case LinearSVC() | RidgeClassifier():
            raise NotConvertibleError
        case SGDClassifier() if classifier.loss != "log_loss":
            raise NotConvertibleError
        case _:
            positive = graph.add("Sigmoid", _decision(graph, classifier, x))
    return positive


def _forest(graph: Graph, forest: Any, x: str) -> str:
    if x == graph.rows:
        return forest_onnx.votes(graph, forest)
    votes = graph.trees(graph.in_single(x), [_votes(tree.tree_) for tree in forest.estimators_])
    return graph.add("Div", votes, graph.constant(float(len(forest.estimators_))))


def _decision(graph: Graph, classifier: Any, x: str) -> str:
    """The decision function, of shape (n, 1)."""
    match classifier:
        case Pipeline():
            return _decision(graph, classifier[-1], _transformed(graph, classifier, x))
        case HistGradientBoostingClassifier():
            trees = [_histogram_nodes(tree) for (tree,) in classifier._predictors]
            return graph.add(
                "Add", graph.trees(x, trees), graph.constant(np.ravel(classifier._baseline_prediction))
            )
        case GradientBoostingClassifier():
            # What boosting starts from is the same for every row, unless a classifier was given for it.
            if classifier.init is not None and classifier.init != "zero":
                raise NotConvertibleError
            start = classifier._raw_predict_init(np.zeros((1, classifier.n_features_in_)))
            trees = [_nodes(tree.tree_, tree.tree_.value[:, 0, 0]) for tree in classifier.estimators_.ravel()]
            steps = graph.add(
                "Mul", graph.trees(graph.in_single(x), trees), graph.constant(classifier.learning_rate)
            )
            return graph.add("Add", steps, graph.constant(np.ravel(start)))
        case AdaBoostClassifier():
            votes = [_sign(graph, member, x) for member in classifier.estimators_]
            return graph.mean(votes, classifier.estimator_weights_[: len(votes)])
    if isinstance(classifier, _LINEAR):
        return graph.affine(x, np.reshape(classifier.coef_, (1, -1)).T, classifier.intercept_)
    raise NotConvertibleError


def _transformed(graph: Graph, pipeline: Pipeline, x: str) -> str:
    """The rows behind all steps of a pipeline but the last."""
    for _, step in pipeline.steps[:-1]:
        if step is None or step == "passthrough":
            continue
        if not isinstance(step, _SCALERS) or getattr(step, "clip", False):
            raise NotConvertibleError
        if isinstance(step, MinMaxScaler):
            x = graph.add("Add", graph.add("Mul", x, graph.constant(step.scale_)), graph.constant(step.min_))
            continue
        # Without centring or scaling, the one or the other is None.
        centre = getattr(step, "mean_", getattr(step, "center_", None))
        if centre is not None and getattr(step, "with_mean", True):
            x = graph.add("Sub", x, graph.constant(centre))
        if step.scale_ is not None:
            x = graph.add("Div", x, graph.constant(step.scale_))
    return x


def _nodes(tree: Any, values: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[Any]]:
    return {
        "feature": tree.feature,
        "threshold": tree.threshold,
        "left": tree.children_left,
        "right": tree.children_right,
        "leaf": tree.children_left < 0,
        "value": values,
    }


def _votes(tree: Any) -> dict[str, npt.NDArray[Any]]:
    """Nodes of a classification tree; the value of a leaf is the probability of the positive class."""
    votes = tree.value[:, 0, :]
    return _nodes(tree, votes[:, 1] / votes.sum(axis=1))


def _histogram_nodes(tree: Any) -> dict[str, npt.NDArray[Any]]:
    nodes = tree.nodes
    if nodes["is_categorical"].any():
        raise NotConvertibleError
    return {
        "feature": nodes["feature_idx"],
        "threshold": nodes["num_threshold"],
        "left": nodes["left"],
        "right": nodes["right"],
        "leaf": nodes["is_leaf"].astype(bool),
        "value": nodes["value"],
    }


def _network(graph: Graph, network: MLPClassifier, x: str) -> str:
    *hidden, last = zip(network.coefs_, network.intercepts_, strict=True)
    for weights, intercept in hidden:
        x = graph.affine(x, weights, intercept)
        if network.activation != "identity":
            x = graph.add(_ACTIVATIONS[network.activation], x)
    return graph.add("Sigmoid", graph.affine(x, *last))


def _bayes(graph: Graph, bayes: GaussianNB, x: str) -> str:
    """Difference of the two classes' joint log-likelihoods."""
    sides = []
    for side in (0, 1):
        away = graph.add("Sub", x, graph.constant(bayes.theta_[side]))
        square = graph.add("Mul", away, away)
        constant = np.log(bayes.class_prior_[side]) - 0.5 * np.log(2 * np.pi * bayes.var_[side]).sum()
        sides.append(graph.affine(square, -0.5 / bayes.var_[side].reshape(-1, 1), constant))
    return graph.add("Sub", sides[1], sides[0])


def _sign(graph: Graph, classifier: Any, x: str) -> str:
    """2 where the positive class is the more probable one, otherwise -2, as scikit-learn counts two classes."""
    more = graph.add("Greater", _probability(graph, classifier, x), graph.constant(0.5))
    return graph.add("Where", more, graph.constant(2.0), graph.constant(-2.0))


def _stacked(graph: Graph, stacking: StackingClassifier, x: str) -> str:
    columns = []
    for member, method in zip(stacking.estimators_, stacking.stack_method_, strict=True):
        if method not in ("predict_proba", "decision_function"):
            raise NotConvertibleError
        of = _probability if method == "predict_proba" else _decision
        columns.append(of(graph, member, x))
    return graph.add("Concat", *columns, axis=1)


def _calibrated(graph: Graph, fold: Any, x: str) -> str:
    """One fold of a calibrated classifier: the curve of its calibrator behind what its classifier gives."""
    if fold.method == "temperature":
        raise NotConvertibleError
    of = _decision if hasattr(fold.estimator, "decision_function") else _probability
    given, calibrator = of(graph, fold.estimator, x), fold.calibrators[0]
    if isinstance(calibrator, IsotonicRegression):
        return _steps(graph, given, calibrator.X_thresholds_, calibrator.y_thresholds_)
    return graph.add("Sigmoid", graph.affine(given, np.array([[-calibrator.a_]]), -calibrator.b_))


def _steps(graph: Graph, x: str, at: npt.NDArray[Any], values: npt.NDArray[Any]) -> str:
    """The piecewise linear curve through points, constant beyond the ends."""
    at, values = at.astype(np.float64), values.astype(np.float64)
    if len(at) == 1:
        return graph.affine(x, np.zeros((1, 1)), values)
    width = np.diff(at)
    # How far a value lies into each piece, from 0 to 1.
    into = graph.add("Div", graph.add("Sub", x, graph.constant(at[:-1])), graph.constant(width))
    inside = graph.add("Max", graph.add("Min", into, graph.constant(1.0)), graph.constant(0.0))
    return graph.affine(inside, np.diff(values).reshape(-1, 1), values[0])
