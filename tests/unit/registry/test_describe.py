"""The description of a version in MLflow says what the ledger says."""

from datetime import UTC, datetime

from streamflow.registry.describe import descriptions
from streamflow.registry.trail import Move

WHEN = datetime(2024, 3, 1, 12, 30, tzinfo=UTC)


def row(number, action, before, after, alias="production", facts=None, gate=None):
    return Move(
        WHEN, "ada", alias, before, after, action, "better", facts or {}, promotion_id=number, gate=gate or {}
    )


def test_a_version_is_described_by_the_newest_row_about_it():
    found = descriptions(
        [
            row(1, "promote", None, 2, alias="staging"),
            row(2, "promote", 1, 2, gate={"verdict": "passed"}),
        ]
    )
    assert found == {
        1: "Left production at 2024-03-01 12:30 UTC by ada: better (row 2 of the ledger)",
        2: "At production since 2024-03-01 12:30 UTC by ada: better. The gate: passed. (row 2 of the ledger)",
    }


def test_a_refused_request_is_described_at_the_version_that_was_asked_for():
    facts = {"requested": 3, "refused": ["The gate refuses version 3.", "improvement: AUC +0.001"]}
    assert descriptions([row(7, "outside", 1, 1, facts=facts)]) == {
        3: "Refused for production at 2024-03-01 12:30 UTC by ada: better. The gate refuses version 3.;"
        " improvement: AUC +0.001 (row 7 of the ledger)"
    }


def test_rows_that_move_nothing_describe_nothing():
    asked_away = row(2, "outside", 1, 1, facts={"requested": None, "refused": ["No."]})
    assert descriptions([row(1, "acknowledge", 1, 1), asked_away]) == {}


def test_a_long_reason_fits_into_mlflows_column():
    long = Move(WHEN, "ada", "production", None, 2, "promote", "x" * 10_000, {})
    assert len(descriptions([long])[2]) <= 5000
