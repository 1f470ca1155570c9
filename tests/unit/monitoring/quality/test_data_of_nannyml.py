"""Estimates on the data sets of nannyml 0.13.1, read from its wheel: a simulated one with drift, and a census.

Their scores are not calibrated, so the reference part of each gives a curve, as training gives one to our models.
"""

import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.isotonic import IsotonicRegression

from streamflow.monitoring.quality import cbpe, delong, figures

WHEEL = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    / "streamflow-tests"
    / "nannyml-0.13.1-py3-none-any.whl"
)
SHA256 = "cf5f4a33489834ae6773cb1baa33a0f98c0a3ee6ed9b43049478b25ce22fe869"
CHUNK = 5000


@pytest.fixture(scope="module")
def data():
    """A function that opens a data set of the wheel."""
    if not WHEEL.is_file():
        pytest.skip(f"there is no {WHEEL}; 'scripts/nannyml' downloads it")
    assert hashlib.sha256(WHEEL.read_bytes()).hexdigest() == SHA256
    with zipfile.ZipFile(WHEEL) as wheel:
        yield lambda name: wheel.open(f"nannyml/datasets/data/{name}")


def judged(reference, production):
    """Of each chunk of production its estimated and its real AUC, and whether each is below that of the reference.

    Args:
        reference: Labels and scores that are known.
        production: Labels and scores of production.
    """
    (known, scores), (labels, given) = reference, production
    least = 1 / (len(known) + 2)
    curve = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip").fit(scores, known)
    holdout = delong.area(known, curve.predict(scores)).interval
    found = []
    for start in range(0, len(labels), CHUNK):
        p = curve.predict(given[start : start + CHUNK])
        estimate, real = cbpe.auc(p), delong.area(labels[start : start + CHUNK], p).interval
        below = figures.below(estimate, holdout), figures.below(real, holdout)
        found.append((estimate.value, real.value, *below))
    return np.array(found)


def test_synthetic_car_loan(data):
    """|estimated - real AUC| is at most 0.005 in ten of ten chunks; drift is seen in chunk 6, and none before."""
    reference = pd.read_csv(data("synthetic_car_loan_reference.csv"))
    production = pd.read_csv(data("synthetic_car_loan_analysis.csv")).merge(
        pd.read_csv(data("synthetic_car_loan_analysis_target.csv")), on="id"
    )
    found = judged(
        *((part["repaid"] == 1, part["y_pred_proba"].to_numpy()) for part in (reference, production))
    )
    assert len(found) == 10
    assert np.abs(found[:, 0] - found[:, 1]).max() <= 0.005
    for basis in (2, 3):
        assert found[:, basis].tolist() == [False] * 5 + [True] * 5


def test_employment_ma(data):
    """The figures in docs/monitoring.md: 42 chunks of a census, of which two are of other people than the rest."""
    reference = pd.read_parquet(data("employment_MA_reference.pq"))
    production = pd.read_parquet(data("employment_MA_analysis.pq")).merge(
        pd.read_parquet(data("employment_MA_analysis_target.pq")), on="id"
    )
    found = judged(
        *(
            (part["employed"] == 1, part["predicted_probability"].to_numpy())
            for part in (reference, production)
        )
    )
    error = np.abs(found[:, 0] - found[:, 1])
    assert len(found) == 42
    assert round(error.mean(), 4) == 0.0040
    assert (round(error.max(), 4), error.argmax() + 1) == (0.0330, 28)
    for basis in (2, 3):
        assert np.flatnonzero(found[:, basis]).tolist() == [27, 28]
