"""Convert a logistic regression to ONNX in double precision.

The linear classifier of skl2onnx computes in single precision, and ONNX Runtime chooses its kernels by the number of
rows, so a row scored alone can differ in the last bits from the same row scored in a batch. Computing in double
precision and rounding once at the end removes these differences.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

_IR_VERSION = 9


def takes(classifier: Any) -> bool:
    """Whether a classifier, fitted or not, is a logistic regression, with or without a StandardScaler before it."""
    *scalers, last = _steps(classifier)
    scaled = len(scalers) <= 1 and all(isinstance(step, StandardScaler) for step in scalers)
    return scaled and isinstance(last, LogisticRegression)


def _steps(classifier: Any) -> list[Any]:
    return [step for _, step in classifier.steps] if isinstance(classifier, Pipeline) else [classifier]


def convert(classifier: Any, opset: int) -> bytes | None:
    """Convert a fitted binary logistic regression, with or without a StandardScaler before it, to ONNX.

    Args:
        classifier: Any fitted classifier or pipeline.
        opset: ONNX operator set to use.

    Returns:
        The serialised model, or None if the classifier is not such a regression. The model takes `X`, float32 of
        shape (n, width), and returns `label` of shape (n,) and `probabilities`, float32 of shape (n, 2).
    """
    *scalers, last = _steps(classifier)
    if not takes(classifier) or len(last.classes_) != 2:
        return None
    weights = last.coef_[0].astype(np.float64)
    width = len(weights)
    mean, scale = np.zeros(width), np.ones(width)
    for scaler in scalers:
        # With `with_std=False`, `scale_` is None; `mean_` is None only if `with_mean=False` too.
        mean = mean if scaler.mean_ is None else scaler.mean_
        scale = scale if scaler.scale_ is None else scaler.scale_
    return _graph(mean, scale, weights, float(last.intercept_[0]), opset)


def _graph(mean: Any, scale: Any, weights: Any, intercept: float, opset: int) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["X"], ["x"], to=TensorProto.DOUBLE),
        helper.make_node("Sub", ["x", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "weights"], ["product"]),
        helper.make_node("Add", ["product", "intercept"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["positive"]),
        helper.make_node("Sub", ["one", "positive"], ["negative"]),
        helper.make_node("Concat", ["negative", "positive"], ["both"], axis=1),
        helper.make_node("Cast", ["both"], ["probabilities"], to=TensorProto.FLOAT),
        helper.make_node("ArgMax", ["both"], ["label"], axis=1, keepdims=0),
    ]
    constants = {
        "mean": mean,
        "scale": scale,
        "weights": weights.reshape(-1, 1),
        "intercept": np.array([intercept]),
        "one": np.array(1.0),
    }
    graph = helper.make_graph(
        nodes,
        "logistic_regression",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, len(weights)])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2]),
        ],
        [numpy_helper.from_array(np.asarray(value, np.float64), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    model: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION).SerializeToString()
    return model
