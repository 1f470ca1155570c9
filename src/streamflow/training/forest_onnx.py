"""Random forest -> ONNX, laid out for a processor's cache.

A tree of thousands of nodes is walked at the speed of memory, so what counts is where its nodes lie:

- Several ensembles of some trees each, not one of all: an ensemble answers all rows of a batch while it is in the cache.
- The child that more training rows go to comes next in memory. ONNX Runtime stores the child of a false condition right
  after its parent; where that would be the lighter child, the condition is turned round (`x <= t` into `-x <= t'`, on
  columns of negated values, where t' is the largest number below -t: the same truth for every number).

Neither changes a bit of the result. Figures are in docs/performance.md. Each leaf holds the probability of the positive
class alone, not divided by the number of trees; so the sums of pure leaves are exact in single precision.
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


def convert(classifier: Any, opset: int, *, together: int = _TREES_TOGETHER) -> bytes | None:
    """The ONNX form of a fitted binary forest.

    Args:
        together: Trees in one ensemble.

    Returns:
        The serialised model: input `X` (n, width) float32, outputs `label` (n,) and `probabilities` (n, 2) float32;
        None when the classifier is not of this kind.
    """
    if not isinstance(classifier, RandomForestClassifier | ExtraTreesClassifier):
        return None
    if classifier.n_outputs_ != 1 or len(classifier.classes_) != 2:
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
    """The attributes of a TreeEnsembleRegressor that adds up the trees' probabilities of the positive class.

    Its input has 2 * `width` columns: the features and their negatives.
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
        # x > t is -x < -t, and that is -x <= t' with the largest t' below -t.
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
    """The largest single-precision numbers that are not greater: `x <= t` keeps its truth for every such x."""
    nearest = thresholds.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest > thresholds, below, nearest)
