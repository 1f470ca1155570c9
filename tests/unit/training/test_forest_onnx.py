"""A forest as ONNX gives the estimator's probabilities, each row alone as among others."""

import numpy as np
import onnx
import onnxruntime
import pytest
from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier

from streamflow.training.forest_onnx import convert
from streamflow.training.runtime import single_thread


def data(rows, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 5)).astype(np.float32)
    x[:, 3] = random.integers(0, 3, rows)
    # Twins with different labels: leaves that are not pure.
    x[rows // 2 :] = x[: rows - rows // 2]
    return x, random.random(rows) < 1 / (1 + np.exp(-x[:, 0] - x[:, 3]))


def served(model, x):
    return onnxruntime.InferenceSession(model, single_thread()).run(None, {"X": x})


@pytest.mark.parametrize("together", [1, 4, 100])
@pytest.mark.parametrize(
    "classifier",
    [
        RandomForestClassifier(n_estimators=30, class_weight="balanced", random_state=1),
        ExtraTreesClassifier(n_estimators=10, max_depth=4, random_state=1),
    ],
)
def test_probabilities_are_the_estimators(classifier, together):
    x, y = data(400)
    classifier.fit(x, y)
    others, _ = data(300, seed=1)
    for rows in (x, others):
        label, probabilities = served(convert(classifier, 18, together=together), rows)
        expected = classifier.predict_proba(rows)
        # Leaves that are not pure are rounded to single precision.
        assert np.abs(probabilities - expected).max() <= 2e-7
        assert (label == expected.argmax(axis=1)).all()


def test_a_row_has_the_same_bits_alone_as_among_others():
    x, y = data(400)
    model = convert(RandomForestClassifier(n_estimators=40, random_state=1).fit(x, y), 18)
    session = onnxruntime.InferenceSession(model, single_thread())
    together = session.run(None, {"X": x})[1]
    alone = np.concatenate([session.run(None, {"X": row})[1] for row in np.split(x, len(x))])
    assert together.tobytes() == alone.tobytes()


def test_a_value_at_a_threshold_goes_the_way_it_goes_in_the_estimator():
    """A threshold between two neighbouring floats is no float itself; rounding it up would turn rows over."""
    steps = np.float32(1000) + np.arange(20, dtype=np.float32) * np.spacing(np.float32(1000))
    x = np.repeat(steps, 5).reshape(-1, 1)
    y = np.repeat(np.arange(20) % 2 == 1, 5)
    forest = RandomForestClassifier(n_estimators=5, bootstrap=False, random_state=0).fit(x, y)
    probabilities = served(convert(forest, 18), x)[1][:, 1]
    assert probabilities.tolist() == forest.predict_proba(x)[:, 1].tolist() == y.astype(float).tolist()


@pytest.mark.parametrize("weight", [1, 9], ids=["heavier on the right", "heavier on the left"])
def test_zero_at_a_threshold_of_zero_goes_the_way_it_goes_in_the_estimator(weight):
    """A condition turned round compares with the number next to zero."""
    x = np.array([[-1.0]] * weight + [[1.0]] * (10 - weight), dtype=np.float32)
    forest = RandomForestClassifier(n_estimators=3, bootstrap=False, random_state=0).fit(x, x[:, 0] > 0)
    tiny = np.finfo(np.float32).smallest_subnormal
    asked = np.array([[-1], [-tiny], [-0.0], [0], [tiny], [1]], dtype=np.float32)
    probabilities = served(convert(forest, 18), asked)[1][:, 1]
    assert forest.estimators_[0].tree_.threshold[0] == 0
    assert probabilities.tolist() == forest.predict_proba(asked)[:, 1].tolist() == [0, 0, 0, 0, 1, 1]


def test_the_child_that_more_rows_go_to_is_the_one_of_a_false_condition():
    x, y = data(400)
    forest = RandomForestClassifier(n_estimators=1, random_state=1).fit(x, y)
    rows = forest.estimators_[0].tree_.n_node_samples
    found = onnx.load_from_string(convert(forest, 18))
    ensemble = next(node for node in found.graph.node if node.op_type == "TreeEnsembleRegressor")
    attributes = {attribute.name: attribute for attribute in ensemble.attribute}
    if_true, if_false = (np.array(attributes[f"nodes_{name}nodeids"].ints) for name in ("true", "false"))
    branches = np.array(attributes["nodes_modes"].strings) == b"BRANCH_LEQ"
    assert branches.sum() > 10
    assert (rows[if_false] >= rows[if_true])[branches].all()
    # Both kinds are there: conditions as they were, and turned round.
    assert 0 < (np.array(attributes["nodes_featureids"].ints)[branches] >= 5).sum() < branches.sum()


def test_other_classifiers_are_left_to_others():
    x, y = data(60)
    assert convert(GradientBoostingClassifier(n_estimators=2).fit(x, y), 18) is None
    three = RandomForestClassifier(n_estimators=2).fit(x, np.arange(60) % 3)
    assert convert(three, 18) is None
