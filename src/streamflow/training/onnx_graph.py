"""Build ONNX graphs of classifiers that compute in double precision, node by node.

ONNX Runtime chooses its single-precision kernels by the number of rows, so a row scored alone could differ in the last
bits from the same row in a batch. A graph computes in double precision and rounds once at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

INPUT = "X"
"""Name of the encoded rows, in single precision."""

_IR_VERSION = 9
_ML_OPSET = 3
_TREES_TOGETHER = 50
"""Trees in one ensemble; at most 64."""


@dataclass(frozen=True)
class Ensemble:
    """A few trees together.

    Attributes:
        nodes: Attributes of the nodes, as TreeEnsembleRegressor takes them.
        trees: Number of the tree of each leaf.
        leaves: Number of the node of each leaf.
        values: Value of each leaf.
        double: Whether the trees take rows in double precision.
    """

    nodes: Mapping[str, Any]
    trees: npt.NDArray[Any]
    leaves: npt.NDArray[Any]
    values: npt.NDArray[np.float64]
    double: bool


class Graph:
    """The nodes of a graph. Values are named by strings; each is a matrix with one row for each row of the input."""

    def __init__(self) -> None:
        from onnx import TensorProto

        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._double, self._float = TensorProto.DOUBLE, TensorProto.FLOAT

    @cached_property
    def rows(self) -> str:
        """Name of the encoded rows, in double precision."""
        return self.add("Cast", INPUT, to=self._double)

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output, and return the name of the output."""
        from onnx import helper

        name = f"value_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], domain=domain, **attributes))
        return name

    def constant(self, values: npt.ArrayLike) -> str:
        """Add a constant in double precision, and return its name."""
        return self._store(np.asarray(values, dtype=np.float64))

    def column(self, matrix: str, numbers: npt.ArrayLike) -> str:
        """Select columns by their numbers."""
        return self.add("Gather", matrix, self._store(np.asarray(numbers, dtype=np.int64)), axis=1)

    def affine(self, matrix: str, weights: npt.NDArray[Any], intercept: npt.ArrayLike) -> str:
        """Multiply by weights of shape (columns, outputs) and add an intercept."""
        product = self.add("MatMul", matrix, self.constant(weights))
        return self.add("Add", product, self.constant(np.ravel(intercept)))

    def mean(self, columns: list[str], weights: npt.ArrayLike | None = None) -> str:
        """Average columns, with equal weights by default."""
        shares = np.ones(len(columns)) if weights is None else np.asarray(weights, dtype=np.float64)
        return self.affine(self.add("Concat", *columns, axis=1), (shares / shares.sum()).reshape(-1, 1), 0.0)

    def in_single(self, matrix: str) -> str:
        """Round to single precision, as scikit-learn's trees do with their input."""
        return self.add("Cast", self.add("Cast", matrix, to=self._float), to=self._double)

    def trees(self, matrix: str, trees: list[dict[str, npt.NDArray[Any]]]) -> str:
        """Sum the values of the leaves that a row reaches.

        Args:
            matrix: Rows to walk the trees with.
            trees: For each tree, arrays with one element a node: `feature`, `threshold`, `left`, `right` (numbers of
                nodes), `leaf` and `value`. A row goes left if its feature is at most the threshold.
        """
        parts = (trees[start : start + _TREES_TOGETHER] for start in range(0, len(trees), _TREES_TOGETHER))
        return self.sum_of_ensembles(matrix, [self._ensemble(part) for part in parts])

    def sum_of_ensembles(self, matrix: str, ensembles: Iterable[Ensemble], *, exact: bool = True) -> str:
        """Add up the leaves that a row reaches in ensembles of trees, and the ensembles in double precision.

        Args:
            matrix: Rows to walk the trees with.
            ensembles: The ensembles.
            exact: Whether the sum of an ensemble is exact. Otherwise it is rounded to single precision, which is faster.
        """
        sums = []
        for ensemble in ensembles:
            parts = _exact_parts(ensemble.values) if exact else [ensemble.values]
            targets = len(parts)
            votes = self.add(
                "TreeEnsembleRegressor",
                matrix,
                domain="ai.onnx.ml",
                n_targets=targets,
                aggregate_function="SUM",
                post_transform="NONE",
                target_treeids=np.repeat(ensemble.trees, targets).tolist(),
                target_nodeids=np.repeat(ensemble.leaves, targets).tolist(),
                target_ids=np.tile(np.arange(targets), len(ensemble.values)).tolist(),
                **self._weights(np.stack(parts, axis=1).ravel(), ensemble.double),
                **ensemble.nodes,
            )
            whole = self.add("Cast", votes, to=self._double)
            sums.append(whole if targets == 1 else self.affine(whole, np.ones((targets, 1)), 0.0))
        return self.add("Sum", *sums)

    def _weights(self, values: npt.NDArray[np.float64], double: bool) -> dict[str, Any]:
        from onnx import helper

        if not double:
            return {"target_weights": values.tolist()}
        return {
            "target_weights_as_tensor": helper.make_tensor(
                "target_weights", self._double, [len(values)], values.tolist()
            )
        }

    def finish(self, positive: str, width: int, opset: int) -> bytes:
        """Serialise the model.

        Args:
            positive: Name of the probability of the positive class, of shape (n, 1).
            width: Number of encoded columns.
            opset: ONNX operator set to use.

        Returns:
            A model that takes `X`, float32 of shape (n, width), and returns `label` of shape (n,) and
            `probabilities`, float32 of shape (n, 2).
        """
        from onnx import TensorProto, helper

        both = self.add("Concat", self.add("Sub", self.constant(1.0), positive), positive, axis=1)
        self._nodes += [
            helper.make_node("Cast", [both], ["probabilities"], to=self._float),
            helper.make_node("ArgMax", [both], ["label"], axis=1, keepdims=0),
        ]
        graph = helper.make_graph(
            self._nodes,
            "classifier",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, width])],
            [
                helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
                helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2]),
            ],
            self._constants,
        )
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
        model: bytes = helper.make_model(
            graph, opset_imports=opsets, ir_version=_IR_VERSION
        ).SerializeToString()
        return model

    def _store(self, values: npt.NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(values, name))
        return name

    def _ensemble(self, trees: list[dict[str, npt.NDArray[Any]]]) -> Ensemble:
        from onnx import helper

        def joined(name: str, default: Any = None) -> npt.NDArray[Any]:
            parts = [
                tree[name] if default is None else np.where(tree["leaf"], default, tree[name])
                for tree in trees
            ]
            return np.concatenate(parts)

        leaf = joined("leaf").astype(bool)
        tree_ids = np.repeat(np.arange(len(trees)), [len(tree["leaf"]) for tree in trees])
        node_ids = np.concatenate([np.arange(len(tree["leaf"])) for tree in trees])
        thresholds = joined("threshold", 0.0).astype(np.float64)
        nodes = {
            "nodes_treeids": tree_ids.tolist(),
            "nodes_nodeids": node_ids.tolist(),
            "nodes_featureids": joined("feature", 0).astype(int).tolist(),
            "nodes_values_as_tensor": helper.make_tensor(
                "nodes_values", self._double, [len(thresholds)], thresholds.tolist()
            ),
            "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
            "nodes_truenodeids": joined("left", 0).astype(int).tolist(),
            "nodes_falsenodeids": joined("right", 0).astype(int).tolist(),
        }
        values = joined("value")[leaf].astype(np.float64)
        return Ensemble(nodes, tree_ids[leaf], node_ids[leaf], values, double=True)


def _exact_parts(values: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
    """Parts of the values whose sums over the trees of an ensemble single precision holds with hardly an error.

    The first part has so few bits that all of its sums are exact; what is left is so small that its error is, too.
    """
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0.0:
        return [values]
    # Single precision has 24 bits, and a sum of 64 values takes six more than a value.
    unit = 2.0 ** (np.ceil(np.log2(largest)) - 17)
    first = np.round(values / unit) * unit
    rest = values - first
    return [first, rest] if rest.any() else [first]


def in_single_precision(model: bytes) -> bytes:
    """Give a model with one input and two outputs in double precision an input and probabilities in single precision."""
    from onnx import ModelProto, TensorProto, helper

    made = ModelProto.FromString(model)
    graph = made.graph
    (rows,), (_, chances) = graph.input, graph.output
    before = helper.make_node("Cast", ["rows_in_single"], [rows.name], to=TensorProto.DOUBLE)
    after = helper.make_node("Cast", [chances.name], ["chances_in_single"], to=TensorProto.FLOAT)
    nodes = [before, *graph.node, after]
    del graph.node[:]
    graph.node.extend(nodes)
    rows.name, chances.name = "rows_in_single", "chances_in_single"
    for value in (rows, chances):
        value.type.tensor_type.elem_type = TensorProto.FLOAT
    rounded: bytes = made.SerializeToString()
    return rounded
