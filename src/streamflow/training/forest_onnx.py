"""Convert a random forest to ONNX, with a memory layout that suits the processor's cache.

Walking a tree of thousands of nodes is bound by memory access, so the layout of the nodes decides the speed:

- The forest is split into several ensembles of a few trees each. An ensemble stays in the cache while it scores all rows
  of a batch.
- The child that more training rows reached comes next in memory. ONNX Runtime stores the child of a false condition
  right after its parent. Where that would be the child with fewer rows, the condition is inverted: `x <= t` becomes
  `-x <= t'` on columns of negated values, where t' is the largest float32 below -t. The inverted condition is true
  exactly where `x <= t` is false, so its two children change places.

Neither changes a single bit of the result. docs/performance.md has the measurements.

A leaf stores the probability of the positive class, not divided by the number of trees, so that sums of pure leaves
(0 or 1) are exact in single precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

_IR_VERSION = 9
_ML_OPSET = 3
_TREES_TOGETHER = 50
"""Trees in one ensemble."""


def takes(classifier: Any) -> bool:
    """Whether a classifier, fitted or not, is a forest."""
    return isinstance(classifier, RandomForestClassifier | ExtraTreesClassifier)


def convert(classifier: Any, opset: int, *, together: int = _TREES_TOGETHER) -> bytes | None:
    """Convert a fitted binary forest to ONNX.

    Args:
        classifier: Any fitted classifier.
        opset: ONNX operator set to use.
        together: Number of trees in one ensemble.

    Returns:
        The serialised model, or None if the classifier is not a binary forest. The model takes `X`, float32 of
        shape (n, width), and returns `label` of shape (n,) and `probabilities`, float32 of shape (n, 2).
    """
    if not takes(classifier) or classifier.n_outputs_ != 1 or len(classifier.classes_) != 2:
        return None
    from onnx import TensorProto, helper, numpy_helper

    trees = [estimator.tree_ for estimator in classifier.estimators_]
    nodes = [
        helper.make_node("Neg", ["X"], ["negated"]),
        helper.make_node("Concat", ["X", "negated"], ["columns"], axis=1),
    ]
    sums = []
    for number, start in enumerate(range(0, len(trees), together)):
        group = _ensemble(trees[start : start + together], classifier.n_features_in_)
        nodes.append(
            helper.make_node(
                "TreeEnsembleRegressor",
                ["columns"],
                [f"votes_{number}"],
                domain="ai.onnx.ml",
                n_targets=1,
                aggregate_function="SUM",
                post_transform="NONE",
                **group,
            )
        )
        # TreeEnsembleRegressor adds up in single precision; the ensembles are added up in double precision.
        nodes.append(helper.make_node("Cast", [f"votes_{number}"], [f"sum_{number}"], to=TensorProto.DOUBLE))
        sums.append(f"sum_{number}")
    nodes += [
        helper.make_node("Sum", sums, ["sum"]),
        helper.make_node("Div", ["sum", "trees"], ["positive"]),
        helper.make_node("Sub", ["one", "positive"], ["negative"]),
        helper.make_node("Concat", ["negative", "positive"], ["both"], axis=1),
        helper.make_node("Cast", ["both"], ["probabilities"], to=TensorProto.FLOAT),
        helper.make_node("ArgMax", ["both"], ["label"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "forest",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, classifier.n_features_in_])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2]),
        ],
        [
            numpy_helper.from_array(np.array(float(len(trees))), "trees"),
            numpy_helper.from_array(np.array(1.0), "one"),
        ],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    model: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION).SerializeToString()
    return model


def _ensemble(trees: Sequence[Any], width: int) -> dict[str, list[Any]]:
    """Return the attributes of a TreeEnsembleRegressor that adds up the trees' positive-class probabilities.

    Args:
        trees: Scikit-learn trees of the ensemble.
        width: Number of encoded columns. The regressor's input has twice as many: the columns, then their negatives.
    """
    parts: dict[str, list[npt.NDArray[Any]]] = {}
    for number, tree in enumerate(trees):
        leaf = tree.children_left < 0
        at = np.arange(tree.node_count)
        votes = tree.value[:, 0, :]
        rows = tree.n_node_samples
        left, right = tree.children_left, tree.children_right
        turned = ~leaf & (rows[left] > rows[right])
        threshold = _rounded_down(tree.threshold)
        # x > t is the same as -x < -t, which is -x <= t' where t' is the largest float32 below -t.
        turned_threshold = np.nextafter(-threshold, np.float32(-np.inf))
        columns = {
            "nodes_treeids": np.full(tree.node_count, number),
            "nodes_nodeids": at,
            "nodes_featureids": np.where(leaf, 0, tree.feature + turned * width),
            "nodes_values": np.where(leaf, 0.0, np.where(turned, turned_threshold, threshold)),
            "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ"),
            "nodes_truenodeids": np.where(leaf, 0, np.where(turned, right, left)),
            "nodes_falsenodeids": np.where(leaf, 0, np.where(turned, left, right)),
            "nodes_missing_value_tracks_true": np.where(leaf, 0, tree.missing_go_to_left ^ turned),
            "target_treeids": np.full(int(leaf.sum()), number),
            "target_nodeids": at[leaf],
            "target_ids": np.zeros(int(leaf.sum()), dtype=int),
            "target_weights": (votes[:, 1] / votes.sum(axis=1))[leaf],
        }
        for name, values in columns.items():
            parts.setdefault(name, []).append(values)
    return {name: np.concatenate(values).tolist() for name, values in parts.items()}


def _rounded_down(thresholds: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Round thresholds down to float32, so that `x <= t` has the same truth value for every float32 x."""
    nearest = thresholds.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest > thresholds, below, nearest)
