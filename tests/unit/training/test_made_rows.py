"""Rows that are made reach every corner, catch a wrong model as well as people's rows would, and are nobody's."""

import hashlib
import json

import numpy as np
import onnx
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from people import FEATURES, people
from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from streamflow import release
from streamflow.errors import ReleaseRefused
from streamflow.model_version.contract import Contract, View
from streamflow.release import VersionPointer
from streamflow.training import made_rows
from streamflow.training.fit import build_pipeline, single_threaded
from streamflow.training.runtime import compile_classifier, raw_rows
from streamflow.training.statistics import describe

DISTINCTIVE = ("fee", "hours")
TREES = ("forest", "extra trees", "boosting")

CLASSIFIERS = {
    "forest": lambda: RandomForestClassifier(40, class_weight="balanced", random_state=3),
    "extra trees": lambda: ExtraTreesClassifier(40, random_state=3),
    "linear": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=40, random_state=3),
    "neighbours": KNeighborsClassifier,
}


def fitted(name, x, y):
    pipeline = build_pipeline(FEATURES, CLASSIFIERS[name]()).fit(x, y)
    single_threaded(pipeline)
    return pipeline


def made_of(x, pipeline, count=32):
    return made_rows.make(FEATURES, describe(FEATURES, x), pipeline, count)


def column(rows, name):
    at = [feature.name for feature in FEATURES].index(name)
    return [row[at] for row in rows]


def version(model, rows, probabilities):
    """Files of a version with this model and these golden rows, and the pointer that pins them."""
    contract = Contract(
        model="churn",
        feature_service="s",
        join_key="user_id",
        features=FEATURES,
        views=(View("v"), View("w")),
        threshold=0.5,
        label={},
        estimator="e",
        as_of="",
        known_at="",
        fingerprint="",
    )
    files = {
        "contract.json": contract.to_json().encode(),
        "golden.json": json.dumps({"rows": rows, "probabilities": probabilities}).encode(),
        "model.onnx": model,
    }
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    files["manifest.json"] = json.dumps({"files": digests}).encode()
    return VersionPointer("churn", 7, hashlib.sha256(files["manifest.json"]).hexdigest()), files


def accepted(model, rows, probabilities):
    try:
        release.check(*version(model, rows, probabilities))
    except ReleaseRefused as error:
        assert "golden rows do not reproduce" in error.what
        return False
    return True


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(CLASSIFIERS)), st.sampled_from([1, 8, 32, 200]))
def test_no_made_row_has_a_distinctive_value_of_a_person(seed, name, count):
    x, y = people(seed, rows=120)
    rows = made_of(x, fitted(name, x, y), count)
    for feature in DISTINCTIVE:
        assert not set(column(rows, feature)) & set(x[feature])
        # A model takes float32, so a value that is one there is one.
        narrow = np.array([value for value in column(rows, feature) if value is not None], dtype=np.float32)
        assert not set(narrow.tolist()) & set(x[feature].astype(np.float32).tolist())
    assert not {tuple(row) for row in rows} & {tuple(row) for row in raw_rows(FEATURES, x)}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_one_person_far_from_everybody_leaves_no_trace(name):
    x, y = people()
    rows = made_of(x, fitted(name, x, y))
    assert max(column(rows, "fee")) < 101
    assert max(column(rows, "months")) < 71
    assert max(describe(FEATURES, x)["fee"]["deciles"]) < 101


@pytest.mark.parametrize("count", [1, 32])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_category_truth_value_null_and_end_is_in_some_row(name, count):
    x, y = people()
    rows = made_of(x, fitted(name, x, y), count)
    deciles = {key: figures.get("deciles") for key, figures in describe(FEATURES, x).items()}
    assert len(rows) >= count
    assert set(column(rows, "plan")) == {"basic", "pro"}
    assert set(column(rows, "region")) == {"north", "south", "west"}
    assert set(column(rows, "paperless")) == {False, True}
    assert set(column(rows, "tv")) == {False, True, None}
    for feature in ("seats", "hours"):
        assert {None, deciles[feature][0], deciles[feature][-1]} <= set(column(rows, feature))
    for feature in ("months", "fee"):
        assert None not in column(rows, feature)
        assert {deciles[feature][0], deciles[feature][-1]} <= set(column(rows, feature))


def test_a_column_of_nulls_alone_still_gives_rows():
    x, y = people()
    pipeline = fitted("linear", x, y)
    rows = made_of(x.assign(hours=np.nan), pipeline)
    assert set(column(rows, "hours")) == {0.0, None}


@pytest.mark.parametrize("name", TREES)
def test_some_rows_lie_directly_on_either_side_of_a_threshold(name):
    x, y = people()
    pipeline = fitted(name, x, y)
    fees = np.array(sorted(set(column(made_of(x, pipeline), "fee"))), dtype=np.float32)
    neighbours = np.nextafter(fees[:-1], np.float32(np.inf)) == fees[1:]
    assert neighbours.sum() >= 5


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_repeated_training_makes_the_same_rows(name):
    x, y = people()
    rows = [json.dumps(made_of(x, fitted(name, x, y))) for _ in range(2)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_frame_has_the_dtypes_of_training_and_the_values_of_the_rows(name):
    x, y = people()
    rows = made_of(x, fitted(name, x, y))
    made = made_rows.frame(FEATURES, rows, x)
    assert made.dtypes.to_dict() == x.dtypes.to_dict()
    assert raw_rows(FEATURES, made) == rows


@pytest.fixture(params=[*TREES, "linear"])
def compiled(request):
    """Pipeline, training rows, compiled model, made rows and their probabilities."""
    x, y = people()
    pipeline = fitted(request.param, x, y)
    rows = made_of(x, pipeline)
    made = made_rows.frame(FEATURES, rows, x)
    model = compile_classifier(pipeline, FEATURES, pd.concat([x, made], ignore_index=True)).model
    return pipeline, x, model, rows, pipeline.predict_proba(made)[:, 1].tolist()


def test_the_right_model_is_accepted(compiled):
    _, _, model, rows, probabilities = compiled
    assert accepted(model, rows, probabilities)


def weights_of(model):
    """The numbers of a model that can be wrong, each as a function that returns the model with that number changed."""

    def changed(node, attribute, at):
        wrong = onnx.load_from_string(model)
        floats = wrong.graph.node[node].attribute[attribute].floats
        floats[at] = floats[at] + 0.5
        return wrong.SerializeToString()

    def coefficient(name, at):
        wrong = onnx.load_from_string(model)
        tensor = next(item for item in wrong.graph.initializer if item.name == name)
        values = numpy_helper.to_array(tensor).copy()
        values.flat[at] = values.flat[at] * 1.01 + 0.001
        tensor.CopyFrom(numpy_helper.from_array(values, name))
        return wrong.SerializeToString()

    loaded = onnx.load_from_string(model)
    leaves = [
        (number, which, at)
        for number, node in enumerate(loaded.graph.node)
        for which, attribute in enumerate(node.attribute)
        if attribute.name in ("target_weights", "class_weights")
        for at in range(len(attribute.floats))
    ]
    if leaves:
        return [lambda leaf=leaf: changed(*leaf) for leaf in leaves]
    return [
        lambda name=item.name, at=at: coefficient(name, at)
        for item in loaded.graph.initializer
        if item.name in ("weights", "intercept")
        for at in range(int(np.prod(item.dims)))
    ]


def test_a_changed_leaf_or_coefficient_is_noticed_wherever_a_made_row_reaches_it(compiled):
    pipeline, _, model, rows, probabilities = compiled
    wrong = weights_of(model)
    some = np.unique(np.linspace(0, len(wrong) - 1, num=min(len(wrong), 150), dtype=int))
    noticed = sum(not accepted(wrong[i](), rows, probabilities) for i in some)
    if "estimators_" not in vars(pipeline[-1]):
        assert noticed == len(wrong)
        return
    reached = reached_share(pipeline, made_rows.frame(FEATURES, rows, people()[0]))
    # The share of some leaves differs from that of all by chance, but always in the same way.
    assert noticed / len(some) == pytest.approx(reached, abs=0.08)


@pytest.mark.parametrize("name", TREES)
def test_made_rows_reach_about_as_many_leaves_as_rows_of_people(name):
    x, y = people()
    pipeline = fitted(name, x, y)
    rows = made_of(x, pipeline)
    chosen = x.iloc[np.linspace(0, len(x) - 1, num=len(rows), dtype=int)]
    made = made_rows.frame(FEATURES, rows, x)
    assert reached_share(pipeline, made) >= 0.8 * reached_share(pipeline, chosen) > 0


def reached_share(pipeline, frame):
    """Share of all leaves of a pipeline's trees that some row of the frame reaches."""
    matrix = pipeline[0].transform(frame).astype(np.float32)
    trees = np.ravel(pipeline[-1].estimators_)
    reached = sum(len(np.unique(tree.apply(matrix))) for tree in trees)
    return reached / sum(tree.tree_.n_leaves for tree in trees)


def test_a_forest_with_a_wrong_leaf_that_a_made_row_reaches_is_refused():
    x, y = people()
    pipeline = fitted("forest", x, y)
    rows = made_of(x, pipeline)
    made = made_rows.frame(FEATURES, rows, x)
    probabilities = pipeline.predict_proba(made)[:, 1].tolist()
    matrix = pipeline[0].transform(made).astype(np.float32)
    for tree in (pipeline[-1].estimators_[0], pipeline[-1].estimators_[-1]):
        for leaf in np.unique(tree.apply(matrix)):
            votes = tree.tree_.value[leaf, 0]
            votes[:] = votes[::-1].copy()
            wrong = compile_classifier(pipeline, FEATURES, x).model
            votes[:] = votes[::-1].copy()
            assert votes[0] == votes[1] or not accepted(wrong, rows, probabilities)
