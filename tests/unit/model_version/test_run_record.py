"""What a run records about itself is read back as it was written."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from streamflow.model_version import run_record
from streamflow.model_version.run_record import RunRecord

MOMENTS = st.datetimes(timezones=st.just(UTC))
SHARES = st.floats(0, 1)
COUNTS = st.integers(0, 10**9)
WORDS = st.text("abcdefghijklmnopqrstuvwxyz_0123456789-", min_size=1)
RECORDS = st.builds(
    RunRecord,
    as_of=MOMENTS,
    known_at=MOMENTS,
    label_as_of=MOMENTS,
    label_horizon=COUNTS,
    drop_ids=st.lists(WORDS, max_size=20).map(tuple),
    drops=COUNTS,
    drops_digest=st.none() | WORDS,
    feature_service=WORDS,
    estimator=WORDS,
    seed=COUNTS,
    holdout_share=SHARES,
    folds=COUNTS,
    threads=st.none() | COUNTS,
    forest_rows=COUNTS,
    learned_rows=st.none() | COUNTS,
    threshold=SHARES,
    threshold_rule=WORDS,
    calibration=WORDS,
    rows=COUNTS,
    positives=COUNTS,
    split_digest=WORDS,
    hyperparameters=st.dictionaries(WORDS, st.text()),
)


@given(RECORDS)
def test_a_record_is_read_back_as_it_was_written(record):
    assert RunRecord.from_parameters(record.parameters()) == record


@given(RECORDS, st.data())
def test_a_parameter_that_is_missing_is_named(record, data):
    parameters = record.parameters()
    optional = {
        run_record.DROPS_DIGEST,
        run_record.THREADS,
        run_record.FOREST_ROWS,
        run_record.LEARNED_ROWS,
        run_record.THRESHOLD_RULE,
        run_record.CALIBRATION,
    }
    name = data.draw(st.sampled_from(sorted(n for n in parameters if "." not in n and n not in optional)))
    del parameters[name]
    with pytest.raises(ValueError, match=f"no parameter '{name}'"):
        RunRecord.from_parameters(parameters)


@given(RECORDS)
def test_a_run_of_before_had_no_curve_and_a_number_as_threshold(record):
    parameters = record.parameters()
    del parameters[run_record.THRESHOLD_RULE], parameters[run_record.CALIBRATION]
    read = RunRecord.from_parameters(parameters)
    assert (read.threshold_rule, read.calibration) == (str(record.threshold), "none")


@given(RECORDS)
def test_a_forest_of_before_learned_from_all_rows(record):
    parameters = record.parameters()
    del parameters[run_record.FOREST_ROWS]
    assert RunRecord.from_parameters(parameters).forest_rows == 0


@given(RECORDS)
def test_a_value_of_another_type_is_refused(record):
    with pytest.raises(ValueError, match="invalid literal"):
        RunRecord.from_parameters(record.parameters() | {run_record.FOLDS: "five"})


def test_a_run_with_many_drops_names_the_newest():
    drops = tuple(f"drop-{number:02}" for number in range(30))
    moment = datetime(2024, 1, 31, tzinfo=UTC)
    record = RunRecord(
        moment,
        moment,
        moment,
        0,
        drops,
        30,
        "d",
        "churn",
        "logistic",
        1,
        0.2,
        3,
        1,
        0,
        None,
        0.5,
        "f1",
        "none",
        10,
        3,
        "s",
        {},
    )
    assert record.parameters()[run_record.DROP_IDS].split(",") == list(drops[10:])


def test_hyperparameters_are_plain_values_as_text():
    found = run_record.hyperparameters(LogisticRegression(C=0.5, class_weight={0: 1.0}))
    assert found["C"] == "0.5"
    assert found["fit_intercept"] == "True"
    assert "class_weight" not in found
