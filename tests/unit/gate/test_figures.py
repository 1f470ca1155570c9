"""Figures of two models on rows of which only some may be used to judge both."""

import numpy as np
import pandas as pd
import pytest

from streamflow.gate import figures


def scored(rows=400, refused=()):
    rng = np.random.default_rng(3)
    label = rng.random(rows) < 0.4
    frame = pd.DataFrame(
        {
            "label": label,
            "challenger": rng.random(rows) * 0.5 + label * 0.3,
            "champion": rng.random(rows) * 0.5 + label * 0.2,
        },
        index=[f"u{i}" for i in range(rows)],
    )
    frame.loc[list(refused), "champion"] = np.nan
    return frame


def test_the_reason_why_nothing_can_be_compared_has_its_numbers():
    frame = scored(40, refused=["u0"])
    learnt = set(frame.index) - {"u0"}
    assert figures.compare(frame, learnt) == (
        None,
        "no row of its holdout is left to compare them on: of 40, the champion was trained on 39 and would refuse 1",
    )
    negatives = set(frame.index[frame["label"]])
    compared, why = figures.compare(frame, negatives)
    assert compared is None
    assert "labels of one class only" in why


def test_what_was_compared_has_no_reason_why_not():
    compared, why = figures.compare(scored(refused=["u1", "u2"]), {"u3"})
    assert why == ""
    assert (compared.rows, compared.trained_on, compared.not_served) == (397, 1, 2)


def test_a_slice_with_one_row_that_the_champion_refuses_is_compared_on_the_others():
    frame = scored(refused=["u7"])
    parts = {"contract": dict.fromkeys(frame.index, "yearly")}
    (found,) = figures.slices(frame, parts)
    common = frame.drop("u7")
    assert (found.rows, found.common_rows) == (400, 399)
    assert found.champion_auc == pytest.approx(_auc(common, "champion"))
    assert found.common_auc == pytest.approx(_auc(common, "challenger"))
    assert found.challenger_auc == pytest.approx(_auc(frame, "challenger"))


def test_a_slice_without_a_champion_has_the_challengers_figure_alone():
    frame = scored().drop(columns="champion")
    (found,) = figures.slices(frame, {"contract": dict.fromkeys(frame.index, "yearly")})
    assert found.challenger_auc is not None
    assert (found.champion_auc, found.common_auc, found.common_rows) == (None, None, 0)


def half(rows, positives):
    """Rows of which the first ones are positive, with scores that both models rank perfectly."""
    label = np.arange(rows) < positives
    return pd.DataFrame(
        {"label": label, "challenger": label * 0.8 + 0.1, "champion": label * 0.8 + 0.1},
        index=[f"u{i}" for i in range(rows)],
    )


def test_a_key_without_a_part_belongs_to_the_unknown_part_and_parts_come_in_order():
    frame = half(120, 60)
    parts = {"contract": {f"u{i}": "yearly" for i in range(30, 90)}, "tenure": {}}
    found = figures.slices(frame, parts)
    assert [(item.slice, item.value, item.rows, item.positives) for item in found] == [
        ("contract", "unknown", 60, 30),
        ("contract", "yearly", 60, 30),
        ("tenure", "unknown", 120, 60),
    ]
    assert {item.challenger_auc for item in found} == {1.0}


@pytest.mark.parametrize(
    ("rows", "positives", "judged"),
    [(50, 10, True), (49, 10, False), (50, 9, False), (50, 40, True), (50, 41, False)],
)
def test_a_slice_is_judged_from_fifty_rows_with_ten_of_each_class(rows, positives, judged):
    (found,) = figures.slices(half(rows, positives), {"contract": {}})
    expected = 1.0 if judged else None
    assert (found.challenger_auc, found.champion_auc, found.common_auc) == (expected, expected, expected)
    assert (found.rows, found.common_rows) == (rows, rows)


def test_a_slice_with_too_few_common_rows_has_the_challengers_figure_alone():
    frame = half(50, 25)
    frame.loc["u0", "champion"] = np.nan
    (found,) = figures.slices(frame, {"contract": {}})
    assert (found.challenger_auc, found.champion_auc, found.common_auc) == (1.0, None, None)
    assert found.common_rows == 49


def test_both_models_are_compared_on_the_rows_that_both_may_be_judged_on():
    frame = scored(refused=["u1"])
    compared, _ = figures.compare(frame, {"u2"})
    common = frame.drop(["u1", "u2"])
    assert compared.positives == int(common["label"].sum())
    assert compared.challenger.auc == pytest.approx(_auc(common, "challenger"))
    assert compared.champion.auc == pytest.approx(_auc(common, "champion"))
    assert compared.difference == pytest.approx(_auc(common, "challenger") - _auc(common, "champion"))
    assert compared.low < compared.difference < compared.high


def test_a_row_that_was_learnt_and_would_be_refused_counts_as_learnt():
    compared, _ = figures.compare(scored(refused=["u1"]), {"u1"})
    assert (compared.rows, compared.trained_on, compared.not_served) == (399, 1, 0)


@pytest.mark.parametrize("positives", [0, 40])
def test_labels_of_one_class_cannot_be_compared(positives):
    assert figures.compare(half(40, positives), set()) == (
        None,
        "the 40 rows that both may be judged on have labels of one class only",
    )


def _auc(frame, model):
    """The AUC by counting pairs."""
    yes = frame.loc[frame["label"], model].to_numpy()[:, None]
    no = frame.loc[~frame["label"], model].to_numpy()[None, :]
    return ((yes > no) + 0.5 * (yes == no)).mean()
