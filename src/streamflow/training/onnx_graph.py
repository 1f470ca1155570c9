"""Build ONNX graphs of classifiers that compute in double precision, node by node.

ONNX Runtime chooses its single-precision kernels by the number of rows, so a row scored alone could differ in the last
bits from the same row in a batch. A graph computes in double precision and rounds once at the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_IR_VERSION = 9
_ML_OPSET = 3
_TREES_TOGETHER = 50
"""Trees in one ensemble, whose sum is rounded to single precision."""


class Graph:
    """The nodes of a graph. Values are named by strings; each is a matrix with one row for each row of the input.

    Attributes:
        rows: Name of the encoded rows, in double precision.
    """

    def __init__(self) -> None:
        from onnx import TensorProto

        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._double, self._float = TensorProto.DOUBLE, TensorProto.FLOAT
        self.rows = self.add("Cast", "X", to=self._double)

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
        sums = []
        for start in range(0, len(trees), _TREES_TOGETHER):
            attributes = self._ensemble(trees[start : start + _TREES_TOGETHER])
            votes = self.add("TreeEnsembleRegressor", matrix, domain="ai.onnx.ml", **attributes)
            sums.append(self.add("Cast", votes, to=self._double))
        return self.add("Sum", *sums)

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
            [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, width])],
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

    def _ensemble(self, trees: list[dict[str, npt.NDArray[Any]]]) -> dict[str, Any]:
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

        def doubles(name: str, values: npt.NDArray[Any]) -> Any:
            return helper.make_tensor(name, self._double, [len(values)], values.astype(np.float64).tolist())

        return {
            "n_targets": 1,
            "aggregate_function": "SUM",
            "post_transform": "NONE",
            "nodes_treeids": tree_ids.tolist(),
            "nodes_nodeids": node_ids.tolist(),
            "nodes_featureids": joined("feature", 0).astype(int).tolist(),
            "nodes_values_as_tensor": doubles("nodes_values", joined("threshold", 0.0)),
            "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
            "nodes_truenodeids": joined("left", 0).astype(int).tolist(),
            "nodes_falsenodeids": joined("right", 0).astype(int).tolist(),
            "target_treeids": tree_ids[leaf].tolist(),
            "target_nodeids": node_ids[leaf].tolist(),
            "target_ids": [0] * int(leaf.sum()),
            "target_weights_as_tensor": doubles("target_weights", joined("value")[leaf]),
        }


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
