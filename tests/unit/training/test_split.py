"""The split is decided by the seed and the keys, and keeps the share of positives."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from streamflow.errors import Refused
from streamflow.training.split import sample, split

KEYS = pd.Series([f"u-{i:03}" for i in range(200)])
LABELS = np.array([i % 4 == 0 for i in range(200)])


def test_both_parts_keep_the_share_of_positives():
    parts = split(KEYS, LABELS, holdout_share=0.25, seed=42)
    assert len(parts.holdout) == 50
    assert LABELS[parts.holdout].mean() == pytest.approx(0.25, abs=0.02)
    assert sorted([*parts.train, *parts.holdout]) == list(range(200))


def test_the_same_seed_gives_the_same_split_and_another_one_another():
    one, same = (split(KEYS, LABELS, holdout_share=0.25, seed=42) for _ in range(2))
    other = split(KEYS, LABELS, holdout_share=0.25, seed=43)
    assert one.digest == same.digest and (one.holdout == same.holdout).all()
    assert one.digest != other.digest


def test_too_few_rows_of_a_class_are_refused():
    with pytest.raises(Refused, match="only 3 are of the rarer class"):
        split(KEYS[:20], np.array([True] * 3 + [False] * 17), holdout_share=0.25, seed=42)


def test_a_sample_is_those_with_the_lowest_hashes_whatever_other_rows_there_are():
    at = np.arange(0, 200, 2)
    chosen = sample(KEYS, at, 30)
    lowest = sorted(at, key=lambda i: hashlib.sha256(KEYS[i].encode()).hexdigest())[:30]
    assert chosen.tolist() == sorted(lowest)
    fewer = np.setdiff1d(at, chosen[:10])
    assert set(chosen[10:]) <= set(sample(KEYS, fewer, 30))


def test_few_rows_are_all_taken_and_so_are_all_where_no_number_is_set():
    at = np.arange(0, 200, 2)
    assert sample(KEYS, at, 100) is at
    assert sample(KEYS, at, 0) is at
