"""Which months are judged, and what is said about those that are not."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.errors import NotFound
from streamflow.monitoring.quality import months
from streamflow.monitoring.quality.months import ESTIMATED, REALIZED, Drop, Released, Scored
from streamflow.monitoring.quality.shown import shown
from streamflow.snapshots.as_of import label_as_of

JANUARY, FEBRUARY, MARCH, APRIL = (datetime(2024, month, 28, tzinfo=UTC) for month in (1, 2, 3, 4))


def drop(as_of, sequence=1):
    return Drop(as_of, f"{as_of:%Y-%m-%d}.{sequence}", as_of + timedelta(days=sequence))


def released(horizon=1, fingerprint="f"):
    return Released("0" * 64, SimpleNamespace(label={"horizon": horizon}, fingerprint=fingerprint))


def scored(as_of=JANUARY, drop_id=None, version=1):
    found = drop(as_of)
    return Scored(version, as_of, found.loaded_at, drop_id or found.drop_id, 7, "f")


def bases(scored_months, drops, judged=frozenset(), horizon=1):
    found = months.tasks(scored_months, {1: released(horizon)}, drops, judged)
    return [(task.scored.drop_id, task.labels and task.labels.drop_id, task.bases) for task in found]


def test_a_month_is_estimated_at_once_and_realized_when_its_labels_come():
    january, february = drop(JANUARY), drop(FEBRUARY)
    estimate = (1, ESTIMATED, JANUARY, january.drop_id, "")
    truth = (1, REALIZED, JANUARY, january.drop_id, february.drop_id)
    assert bases([scored()], [january]) == [(january.drop_id, None, (ESTIMATED,))]
    assert bases([scored()], [january], {estimate}) == []
    assert bases([scored()], [january, february], {estimate}) == [
        (january.drop_id, february.drop_id, (REALIZED,))
    ]
    assert bases([scored()], [january, february], {estimate, truth}) == []
    assert bases([scored()], [january], horizon=0) == [
        (january.drop_id, january.drop_id, (ESTIMATED, REALIZED))
    ]


def test_a_corrected_month_and_corrected_labels_are_judged_beside_the_first():
    january, february = drop(JANUARY), drop(FEBRUARY)
    corrected, again = drop(JANUARY, 2), drop(FEBRUARY, 2)
    judged = {
        (1, ESTIMATED, JANUARY, january.drop_id, ""),
        (1, REALIZED, JANUARY, january.drop_id, february.drop_id),
    }
    drops = [january, corrected, february, again]
    both = [scored(), scored(drop_id=corrected.drop_id)]
    assert bases(both, drops, judged) == [
        (january.drop_id, again.drop_id, (REALIZED,)),
        (corrected.drop_id, again.drop_id, (ESTIMATED, REALIZED)),
    ]


def test_a_version_whose_contract_is_not_stored_or_is_anothers_is_left_out():
    assert bases([scored(version=2)], [drop(JANUARY)]) == []
    assert bases([replace(scored(), fingerprint="g")], [drop(JANUARY)]) == []


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(0, 5), st.integers(0, 3))
def test_labels_are_those_that_training_takes(loaded, month, horizon):
    days = [datetime(2024, 1 + at, 28, tzinfo=UTC) for at in loaded]
    drops = [drop(day) for day in sorted(days)]
    as_of = datetime(2024, 1 + month, 28, tzinfo=UTC)
    found = months.labels_of(drops, as_of, horizon)
    if as_of not in days:
        assert found is None
        return
    try:
        expected = label_as_of([day.date() for day in days], as_of.date(), horizon)
    except NotFound:
        expected = None
    assert (found and found.as_of) == expected


def test_a_month_missing_in_between_gives_its_labels_when_it_comes():
    """Labels of the next drop, March, are replaced by those of February once it is loaded."""
    january, march = drop(JANUARY), drop(MARCH)
    assert months.labels_of([january, march], JANUARY, 1) == march
    assert months.labels_of([january, drop(FEBRUARY), march], JANUARY, 1) == drop(FEBRUARY)


def test_the_log_stands_in_for_months_that_are_over_and_were_never_scored():
    drops = [drop(JANUARY), drop(JANUARY, 2), drop(FEBRUARY), drop(MARCH)]
    (only,) = months.only_logged(drops, {FEBRUARY})
    assert only.drop == drop(JANUARY, 2)
    assert only.loaded == (drop(JANUARY).loaded_at, drop(JANUARY, 2).loaded_at)
    assert only.last == drop(FEBRUARY).loaded_at
    assert months.only_logged([], set()) == []


def row(as_of, basis, version=1, **figures):
    names = ("auc", "auc_low", "auc_high", "log_loss", "brier", "precision", "recall", "f1", "profit", "rows")
    values = dict.fromkeys(names) | figures | {"detail": {"why": {"auc": "no row"}}}
    return SimpleNamespace(as_of=as_of, version=version, basis=basis, _mapping=values)


def test_every_month_has_a_row_and_a_reason_where_there_is_nothing():
    dates = {JANUARY.date(), FEBRUARY.date(), MARCH.date()}
    recorded = [
        row(JANUARY, ESTIMATED, auc=0.8, auc_low=0.7, auc_high=0.9, rows=10),
        row(JANUARY, REALIZED, auc=0.75, rows=9),
        row(MARCH, ESTIMATED, rows=0),
        row(MARCH, ESTIMATED, version=2, rows=0),
    ]
    found = shown(recorded, dates)
    assert [(item.as_of.month, item.version) for item in found] == [(1, 1), (2, None), (3, 1), (3, 2)]
    assert (found[0].estimated["low"], found[0].estimated["high"], found[0].realized["auc"]) == (
        0.7,
        0.9,
        0.75,
    )
    assert (found[0].why, found[1].why) == ("", "no version scored this month")
    assert (found[1].estimated, found[1].realized, found[2].realized) == (None, None, None)
    assert found[2].why == "the labels of this month are not loaded yet"
    assert found[2].estimated["why"] == {"auc": "no row"}


@pytest.mark.parametrize("as_of", [APRIL, JANUARY])
def test_one_month_is_shown_alone_even_if_it_is_missing(as_of):
    (only,) = shown([row(JANUARY, ESTIMATED)], {JANUARY.date()}, as_of.date())
    assert only.as_of == as_of.date()
    assert (only.version, only.why.startswith("no drop")) == (
        (1, False) if as_of == JANUARY else (None, True)
    )
    assert shown([], set()) == []
    assert shown([], set(), date(2020, 1, 1))[0].why == "no drop of this date is loaded"


def test_labels_that_a_version_was_trained_on_are_recognized():
    def task(trained, labels_at, labels):
        contract = SimpleNamespace(as_of=trained.isoformat(), label={"as_of": labels_at.isoformat()})
        return months.Task(scored(), Released("0" * 64, contract), labels, (REALIZED,))

    assert task(JANUARY, FEBRUARY, drop(FEBRUARY)).learnt
    assert not task(JANUARY, FEBRUARY, None).learnt
    assert not task(JANUARY, JANUARY, drop(FEBRUARY)).learnt
    assert not task(FEBRUARY, FEBRUARY, drop(FEBRUARY)).learnt
