"""Scoring of a chunk, and the encoding of whole columns."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.encoding import Encoder, UnknownCategoryError
from streamflow.model_version.contract import Contract, Feature, View
from streamflow.scoring.read import Chunk
from streamflow.scoring.score import Model, Rules, score_chunk

DAY = 86400.0
CONTRACT = Contract(
    model="m",
    feature_service="s",
    join_key="id",
    features=(
        Feature("a", "one", "float"),
        Feature("b", "two", "float", nullable=True),
        Feature("c", "two", "string", categories=("x", "y")),
    ),
    views=(View("one", 30 * DAY), View("two", None)),
    threshold=0.5,
    label={},
    estimator="e",
    as_of="",
    known_at="",
    fingerprint="f",
)


def chunk(*rows):
    """Rows of (a, b, c, stamp of one, stamp of two); None is null."""
    columns = list(zip(*rows, strict=True))
    nan = [[np.nan if v is None else v for v in c] for c in columns]
    return Chunk(
        keys=pa.array([f"u{i}" for i in range(len(rows))]),
        columns=(
            np.array([0.0 if v is None else v for v in columns[0]], dtype=np.float64),
            np.array(nan[1], dtype=np.float64),
            np.array(["" if v is None else v for v in columns[2]], dtype=object),
        ),
        absent=tuple(np.array([v is None for v in columns[i]]) for i in range(3)),
        stamps=(np.array(nan[3], dtype=np.float64), np.array(nan[4], dtype=np.float64)),
    )


GOOD = (1.0, None, "x", 100 * DAY, 100 * DAY)
NEWEST = (100 * DAY, 100 * DAY)


def test_unknown_categories_and_probabilities_that_are_not_finite_are_refused():
    def infer(matrix):
        return np.where(matrix[:, 0] == 7, np.nan, 0.5)

    model = Model(3, CONTRACT, Encoder(CONTRACT.features), infer)
    bad_category = (1.0, None, "z", 100 * DAY, 100 * DAY)
    not_finite = (7.0, None, "y", 100 * DAY, 100 * DAY)
    scores = score_chunk(model, Rules(NEWEST, True, 1), chunk(bad_category, GOOD, not_finite))
    assert scores.keys.to_pylist() == ["u1"]
    assert (scores.probabilities.tolist(), scores.predictions.tolist()) == ([0.5], [True])
    assert scores.refused == {"unknown_category": 1, "not_finite": 1}


FEATURES = (
    Feature("i", "v", "int"),
    Feature("s", "v", "string", categories=("", "x", "ß")),
    Feature("n", "v", "int", nullable=True),
    Feature("f", "v", "float"),
    Feature("b", "v", "bool"),
    Feature("m", "v", "float", nullable=True),
)
_INTS = st.integers(-(2**63), 2**63 - 1)
_FLOATS = st.floats(width=64, allow_nan=False, min_value=-3e38, max_value=3e38)
_ROWS = st.lists(
    st.tuples(
        _INTS, st.sampled_from(["", "x", "ß"]), st.none() | _INTS, _FLOATS, st.booleans(), st.none() | _FLOATS
    ),
    min_size=1,
    max_size=20,
)


@given(_ROWS)
def test_columns_encode_to_the_same_bits_as_rows(rows):
    columns = [
        np.array([np.nan if v is None else v for v in column], dtype=dtype)
        for column, dtype in zip(
            zip(*rows, strict=True),
            (np.int64, object, np.float64, np.float64, np.bool_, np.float64),
            strict=True,
        )
    ]
    encoder = Encoder(FEATURES)
    matrix, unknown = encoder.encode_columns(columns)
    assert not unknown.any()
    assert matrix.tobytes() == encoder.encode(rows).tobytes()


def test_a_category_the_model_does_not_know_is_marked_where_a_row_would_raise():
    encoder = Encoder(FEATURES)
    row = (1, "z", None, 1.0, True, None)
    with pytest.raises(UnknownCategoryError):
        encoder.encode([row])
    columns = [
        np.array([1]),
        np.array(["z"], object),
        np.array([np.nan]),
        np.array([1.0]),
        np.array([True]),
        np.array([np.nan]),
    ]
    assert encoder.encode_columns(columns)[1].tolist() == [True]
