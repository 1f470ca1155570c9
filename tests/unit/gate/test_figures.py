"""Figures of two models on rows that only some of which both may be judged on."""

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


def test_why_nothing_can_be_compared_is_told_with_its_numbers():
    frame = scored(40, refused=["u0"])
    learnt = set(frame.index) - {"u0"}
    assert figures.compare(frame, learnt) == (
        None,
        "of the 40 rows of its holdout none is left: the champion was trained on 39 and would refuse 1",
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


def _auc(frame, model):
    """By counting pairs."""
    yes = frame.loc[frame["label"], model].to_numpy()[:, None]
    no = frame.loc[~frame["label"], model].to_numpy()[None, :]
    return ((yes > no) + 0.5 * (yes == no)).mean()
