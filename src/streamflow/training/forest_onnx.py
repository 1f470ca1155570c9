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

from streamflow.training.onnx_graph import INPUT, Ensemble, Graph

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
    graph = Graph()
    positive = votes(graph, classifier, together=together, exact=False)
    return graph.finish(positive, classifier.n_features_in_, opset)


def votes(graph: Graph, forest: Any, *, together: int = _TREES_TOGETHER, exact: bool = True) -> str:
    """Add a fitted binary forest to a graph; the probability of the positive class, of shape (n, 1).

    Args:
        graph: Graph whose input are the rows of the forest.
        forest: Fitted forest.
        together: Number of trees in one ensemble.
        exact: Whether votes of leaves that are not pure are added up exactly, which a curve behind the forest needs.
    """
    trees = [estimator.tree_ for estimator in forest.estimators_]
    columns = graph.add("Concat", INPUT, graph.add("Neg", INPUT), axis=1)
    groups = [trees[start : start + together] for start in range(0, len(trees), together)]
    ensembles = [_ensemble(group, forest.n_features_in_) for group in groups]
    sums = graph.sum_of_ensembles(columns, ensembles, exact=exact)
    return graph.add("Div", sums, graph.constant(float(len(trees))))


def _ensemble(trees: Sequence[Any], width: int) -> Ensemble:
    """Lay out trees; the value of a leaf is the probability of the positive class.

    Args:
        trees: Scikit-learn trees of the ensemble.
        width: Number of encoded columns. The regressor's input has twice as many: the columns, then their negatives.
    """
    parts: dict[str, list[npt.NDArray[Any]]] = {}
    numbers, leaves, values = [], [], []
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
        }
        for name, column in columns.items():
            parts.setdefault(name, []).append(column)
        numbers.append(np.full(int(leaf.sum()), number))
        leaves.append(at[leaf])
        values.append((votes[:, 1] / votes.sum(axis=1))[leaf])
    nodes = {name: np.concatenate(columns).tolist() for name, columns in parts.items()}
    return Ensemble(
        nodes, np.concatenate(numbers), np.concatenate(leaves), np.concatenate(values), double=False
    )


def _rounded_down(thresholds: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Round thresholds down to float32, so that `x <= t` has the same truth value for every float32 x."""
    nearest = thresholds.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest > thresholds, below, nearest)
