"""What is served equals what was trained: our encoder and ONNX against scikit-learn's pipeline."""

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from streamflow import encoding
from streamflow.encoding import Encoder
from streamflow.model_version.contract import Feature
from streamflow.training import runtime
from streamflow.training.fit import build_pipeline, importances
from streamflow.training.runtime import (
    TOLERANCE,
    compile_classifier,
    probabilities,
    raw_rows,
    single_thread,
)

FEATURES = (
    Feature("plan", "v", "string", categories=("basic", "pro")),
    Feature("months", "v", "int"),
    Feature("tv", "v", "bool", nullable=True),
    Feature("fee", "v", "float"),
    Feature("paperless", "v", "bool"),
    Feature("region", "w", "string", categories=("north", "south", "west")),
    Feature("seats", "w", "int", nullable=True),
)


@pytest.fixture(scope="module")
def table():
    random = np.random.default_rng(7)
    rows = 600
    frame = pd.DataFrame(
        {
            "plan": random.choice(["basic", "pro"], rows).astype(object),
            "months": random.integers(0, 70, rows),
            "tv": random.choice([0.0, 1.0, np.nan], rows),
            "fee": random.uniform(10, 100, rows),
            "paperless": random.random(rows) < 0.5,
            "region": random.choice(["north", "south", "west"], rows).astype(object),
            "seats": np.where(random.random(rows) < 0.2, np.nan, random.integers(1, 9, rows)),
        }
    )
    score = frame["months"] / 70 + frame["tv"].isna() * 0.8 + (frame["plan"] == "pro") * 0.5
    return frame, (score + random.normal(0, 0.3, rows) > 1.0).to_numpy()


CLASSIFIERS = {
    "forest": RandomForestClassifier(60, class_weight="balanced", random_state=3),
    "linear": make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
    "boosting": GradientBoostingClassifier(random_state=3),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_row_gives_the_same_bits_alone_and_among_others(name, table):
    x, y = table
    pipeline = build_pipeline(FEATURES, CLASSIFIERS[name]).fit(x, y)
    model = compile_classifier(pipeline, FEATURES, x).model
    session = onnxruntime.InferenceSession(model, single_thread())
    matrix = Encoder(FEATURES).encode(raw_rows(FEATURES, x))
    together = probabilities(session, matrix)
    for size in (1, 2, 7, 64, 255):
        parts = [probabilities(session, matrix[at : at + size]) for at in range(0, len(matrix), size)]
        assert np.array_equal(np.concatenate(parts), together)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_compiled_classifier_agrees_on_every_row_nulls_included(name, table):
    x, y = table
    pipeline = build_pipeline(FEATURES, CLASSIFIERS[name]).fit(x, y)
    compared = compile_classifier(pipeline, FEATURES, x)
    assert compared.rows == len(x)
    assert compared.largest_difference <= TOLERANCE


def test_our_encoder_gives_the_columns_of_the_pipeline(table):
    x, y = table
    pipeline = build_pipeline(FEATURES, CLASSIFIERS["linear"]).fit(x, y)
    expected = np.asarray(pipeline[0].transform(x), dtype=np.float32)
    assert np.array_equal(Encoder(FEATURES).encode(raw_rows(FEATURES, x)), expected)
    assert expected.shape[1] == len(encoding.column_names(FEATURES))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_importances_cover_every_feature_once_and_add_up(name, table):
    x, y = table
    pipeline = build_pipeline(FEATURES, CLASSIFIERS[name]).fit(x, y)
    shares = importances(pipeline, FEATURES)
    assert set(shares) == {feature.name for feature in FEATURES}
    assert sum(shares.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("cut", [1, 99, 100, 101, 200])
def test_frames_are_compared_in_parts_as_one_frame_would_be(cut, table, monkeypatch):
    x, y = table
    pipeline = build_pipeline(FEATURES, CLASSIFIERS["linear"]).fit(x, y)
    whole = compile_classifier(pipeline, FEATURES, x)
    monkeypatch.setattr(runtime, "_CHUNK_ROWS", 100)
    parts = list(runtime._parts((x.iloc[:cut], x.iloc[cut:])))
    assert [len(part) for part in parts[:-1]] == [100] * (len(parts) - 1)
    assert pd.concat(parts, ignore_index=True).equals(x.reset_index(drop=True))
    compared = compile_classifier(pipeline, FEATURES, x.iloc[:cut], x.iloc[cut:])
    assert (compared.rows, compared.largest_difference) == (whole.rows, whole.largest_difference)
