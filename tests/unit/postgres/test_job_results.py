"""Job results survive an upgrade: every row ever written can still be read."""

from datetime import UTC, date, datetime

import pytest

from streamflow.jobs import catalog
from streamflow.postgres.backup_results import BackupResult, RestoreResult
from streamflow.postgres.erasure_results import EraseResult, RetentionResult
from streamflow.postgres.job_results import (
    AuditResult,
    IngestedDrop,
    IngestResult,
    JobResult,
    Judged,
    MaterializedView,
    MaterializeResult,
    MonitorResult,
    ParityResult,
    PromoteResult,
    ScoreResult,
    ScoreSkipped,
    TrainResult,
    from_facts,
    to_facts,
)

JANUARY = datetime(2024, 1, 31, tzinfo=UTC)
LOADED = datetime(2024, 2, 1, 1, 0, 3, 250000, tzinfo=UTC)

UNVERSIONED = {
    "ingest": (
        {
            "items": [
                {
                    "drop_id": "2024-01-31.1",
                    "as_of": "2024-01-31",
                    "changed": True,
                    "loaded_at": "2024-02-01 01:00:03.250000+00:00",
                    "tables": [
                        {
                            "table": "users",
                            "file": "users.csv",
                            "lines": 9,
                            "accepted": 7,
                            "quarantined": 2,
                        }
                    ],
                    "notes": [],
                }
            ]
        },
        IngestResult(
            (IngestedDrop("2024-01-31.1", date(2024, 1, 31), True, LOADED, {"users": 7}, {"users": 2}),)
        ),
    ),
    "materialize": (
        {
            "items": [
                {
                    "feature_view": "usage_agg_30d_fv",
                    "rows": 7,
                    "entities": 9,
                    "newest_as_of": "2024-01-31 00:00:00+00:00",
                }
            ]
        },
        MaterializeResult((MaterializedView("usage_agg_30d_fv", 7, 9, JANUARY),)),
    ),
    "train": (
        {
            "version": 3,
            "promoted": True,
            "why": "passed the gate against version 2",
            "drops": ["2024-01-31.1", "2024-02-29.1"],
            "auc": 0.84,
            "gate": "passed",
        },
        TrainResult(
            3,
            True,
            "passed the gate against version 2",
            ("2024-01-31.1", "2024-02-29.1"),
            0.84,
            "passed",
        ),
    ),
    "score": (
        {
            "scoring_id": 4,
            "model": "churn",
            "version": 3,
            "fingerprint": "f0",
            "as_of": "2024-01-31 00:00:00+00:00",
            "known_at": "2024-02-01 01:00:03.250000+00:00",
            "scored": 7,
            "positive": 2,
            "refused": {"stale": 1},
            "features": {},
            "seconds": 0.5,
        },
        ScoreResult(4, "churn", 3, "f0", JANUARY, LOADED, 7, 2, {"stale": 1}, {}, 0.5),
    ),
    "score, skipped": (
        {"scoring_id": 4, "version": 3, "as_of": "2024-01-31 00:00:00+00:00", "why": "nothing is new"},
        ScoreSkipped(4, 3, JANUARY, "nothing is new"),
    ),
    "monitor": (
        {"newest_drop": "2024-01-31", "tables": {"users": 7}, "views": {"usage_agg_30d_fv": 7}},
        MonitorResult("2024-01-31", {"users": 7}, {"usage_agg_30d_fv": 7}),
    ),
    "parity": (
        {
            "version": 3,
            "sampled": 2,
            "compared": 1,
            "differences": 1,
            "other_version": 1,
            "entities": [["a", 0.5, None]],
        },
        ParityResult(3, 2, 1, 1, 1, ()),
    ),
    "audit": (
        {"chain_ok": False, "problems": ["row 3 was changed"], "outside": 1},
        AuditResult(False, ("row 3 was changed",)),
    ),
    "backup": (
        {
            "folder": "/backups/2024-02-01T020000.000000Z",
            "files": {"streamflow.dump": 10},
            "rows": {"streamflow": 7},
            "versions": [1, 2],
            "elsewhere": [],
            "removed": [],
        },
        BackupResult(
            "/backups/2024-02-01T020000.000000Z",
            {"streamflow.dump": 10},
            {"streamflow": 7},
            (1, 2),
            (),
            (),
        ),
    ),
    "erase": (
        {"erasures": ["0d9f"], "rows": {"source.users": 2}, "runs": 1, "pinned": ["0e06fd"]},
        EraseResult(("0d9f",), {"source.users": 2}, 1, ("0e06fd",)),
    ),
    "retention": (
        {"before": "2024-02-01T00:00:00Z", "rows": {"source.users": 2}, "runs": 1},
        RetentionResult(datetime(2024, 2, 1, tzinfo=UTC), {"source.users": 2}, 1),
    ),
    "promote": (
        {"request_id": "6f1c0d9f-4a52-4a4e-9f5e-3d6c0f5d1b7a", "version": 3, "promotion_id": 7},
        PromoteResult("6f1c0d9f-4a52-4a4e-9f5e-3d6c0f5d1b7a", 3, 7),
    ),
    "restore": (
        {
            "folder": "/backups/2024-02-01T020000.000000Z",
            "made_at": "2024-02-01T02:00:00+00:00",
            "rows": {"streamflow": 7},
            "artifacts": 12,
            "next": ["Run 'streamflow materialize'."],
        },
        RestoreResult(
            "/backups/2024-02-01T020000.000000Z",
            "2024-02-01T02:00:00+00:00",
            {"streamflow": 7},
            12,
            ("Run 'streamflow materialize'.",),
        ),
    ),
}


def plain(result):
    """Folders are compared as text."""
    return {name: str(value) if name == "folder" else value for name, value in vars(result).items()}


def test_every_job_has_a_literal_old_row_here():
    assert {name.split(",")[0] for name in UNVERSIONED} == set(catalog.JOBS)


@pytest.mark.parametrize(("facts", "result"), UNVERSIONED.values(), ids=UNVERSIONED)
def test_a_row_from_before_versions_is_read(facts, result):
    assert plain(from_facts(type(result), facts)) == plain(result)


@pytest.mark.parametrize("result", [result for _, result in UNVERSIONED.values()], ids=UNVERSIONED)
def test_a_result_is_written_with_its_version_and_read_back(result):
    facts = to_facts(result)
    assert facts["result_version"] == type(result).VERSION
    assert plain(from_facts(type(result), facts)) == plain(result)


def test_the_oldest_trainings_had_neither_figures_nor_a_gate():
    facts = {"version": None, "promoted": False, "why": "no drop is new", "drops": ["a"]}
    assert from_facts(TrainResult, facts) == TrainResult(None, False, "no drop is new", ("a",))


def test_a_training_keeps_what_the_gate_measured():
    judged = Judged(4, 3, False, LOADED, 0.61, 0.57, 0.5065, 0.48)
    for kept in (judged, Judged(4, None, True, LOADED)):
        result = TrainResult(None, False, "no drop is new", ("a",), judged=kept)
        assert from_facts(TrainResult, to_facts(result)) == result


def test_a_newer_row_is_read_as_far_as_its_fields_are_known():
    facts = {"result_version": 9, "chain_ok": True, "problems": [], "checked": 12}
    assert from_facts(AuditResult, facts) == AuditResult(True, ())


@pytest.mark.parametrize("facts", [{}, {"chain_ok": "perhaps"}, {"items": 3}, {"result_version": [2]}])
@pytest.mark.parametrize("kind", [AuditResult, TrainResult])
def test_facts_of_something_else_are_not_a_result(kind, facts):
    assert from_facts(kind, facts) is None


def test_every_kind_of_result_names_its_job():
    kinds = {kind.JOB for kind in JobResult.__subclasses__()}
    assert kinds == {"", *catalog.JOBS}
