"""What is left of a training set without erased rows."""

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.erasure.runs import LeftOfRun
from streamflow.model_version import files
from streamflow.model_version.contract import Contract, Feature
from streamflow.training import erased, stored
from streamflow.training.split import holdout_digest
from streamflow.training.stored import NotStoredError, fingerprint_of


def parquet(frame):
    target = io.BytesIO()
    frame.to_parquet(target, index=False)
    return target.getvalue()


def keys_of(content):
    return pd.read_parquet(io.BytesIO(content))["user_id"].tolist()


@pytest.fixture(scope="module")
def contract():
    """A contract with an integer, a nullable integer and a text."""
    features = (
        Feature(name="age", view="v", type="int", nullable=False, categories=()),
        Feature(name="plan", view="v", type="int", nullable=True, categories=()),
        Feature(name="kind", view="v", type="string", nullable=False, categories=("a", "b")),
    )
    return made_contract(features)


def made_contract(features):
    import dataclasses

    values = {field.name: "" for field in dataclasses.fields(Contract)}
    return Contract(**values | {"features": features, "join_key": "user_id", "views": (), "drops": ()})


def training_set(size):
    rows = range(size)
    frame = pd.DataFrame(
        {
            "user_id": [f"u{i}" for i in rows],
            "age": [i % 7 for i in rows],
            "plan": [np.nan if i % 3 == 0 else float(i) for i in rows],
            "kind": ["ab"[i % 2] for i in rows],
            "label": [i % 2 == 0 for i in rows],
        }
    )
    part = ["holdout" if i % 4 == 0 else "train" for i in rows]
    return frame, pd.DataFrame({"user_id": frame["user_id"], "part": part})


@given(st.integers(2, 30), st.sets(st.integers(0, 40), max_size=5))
def test_what_is_left_is_the_set_that_never_had_the_rows(contract, size, gone):
    frame, split = training_set(size)
    names = {f"u{i}" for i in gone}
    left = erased.without(contract, parquet(frame), parquet(split), names.__contains__)
    keep = ~frame["user_id"].isin(names)
    if keep.all():
        assert left is None
        return
    assert left is not None
    assert left.gone == int((~keep).sum())
    assert keys_of(left.rows) == keys_of(left.split) == frame.loc[keep, "user_id"].tolist()
    assert left.fingerprint == fingerprint_of(contract, frame[keep])
    held = split[keep & (split["part"] == "holdout")]["user_id"].tolist()
    assert left.split_digest == holdout_digest(held)
    # Reading what was written gives the same fingerprint: types survive the way through the file.
    assert fingerprint_of(contract, pd.read_parquet(io.BytesIO(left.rows))) == left.fingerprint
    assert erased.without(contract, left.rows, left.split, names.__contains__) is None


def test_a_file_that_a_killed_erasure_left_behind_is_done_too(contract):
    frame, split = training_set(8)
    first = erased.without(contract, parquet(frame), parquet(split), "u4".__eq__)
    again = erased.without(contract, first.rows, parquet(split), "u4".__eq__)
    assert (again.rows, again.split) == (first.rows, first.split)
    assert (again.gone, again.fingerprint, again.split_digest) == (1, first.fingerprint, first.split_digest)


@pytest.mark.parametrize(("row", "pinned"), [([4, 4.0, "a"], True), ([4, 5.0, "a"], False)])
def test_golden_rows_with_the_values_of_a_removed_row_are_found(contract, row, pinned):
    import json

    frame, split = training_set(8)
    left = erased.without(contract, parquet(frame), parquet(split), "u4".__eq__)
    golden = json.dumps(
        {"rows": [[int(v) if isinstance(v, float) else v for v in row]], "probabilities": [0.5]}
    )
    assert erased.pinned(golden.encode(), left) is pinned


def reading(tmp_path, frame):
    def fetch(path):
        target = tmp_path / path.replace("/", "_")
        target.write_bytes(parquet(frame))
        return str(target)

    return fetch


def test_stored_rows_are_trusted_without_the_erased_ones_and_not_before_or_with_others_gone(
    contract, tmp_path
):
    import dataclasses

    frame, split = training_set(8)
    whole = dataclasses.replace(contract, fingerprint=fingerprint_of(contract, frame))
    first = erased.without(whole, parquet(frame), parquet(split), "u4".__eq__)
    both = erased.without(whole, first.rows, first.split, "u5".__eq__)
    left = LeftOfRun(2, both.fingerprint, both.split_digest, (first.fingerprint,))
    rest = frame[~frame["user_id"].isin(["u4", "u5"])]
    assert len(stored.rows(reading(tmp_path, rest), whole, left)) == 6
    for early in (frame, frame[frame["user_id"] != "u4"]):
        with pytest.raises(NotStoredError, match="still has erased rows"):
            stored.rows(reading(tmp_path, early), whole, left)
    with pytest.raises(NotStoredError, match="without the 2 erased rows"):
        stored.rows(reading(tmp_path, rest[rest["user_id"] != "u1"]), whole, left)
    with pytest.raises(NotStoredError, match="is not the one it was trained on"):
        stored.rows(reading(tmp_path, rest), whole)
    assert files.ROWS
