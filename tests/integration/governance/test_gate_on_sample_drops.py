"""The gate on the sample drops: what it passes, what it refuses, and what the scheduled training does then.

The tests run in this order, since each builds on what is in production.
"""

import hashlib
import io
import json
import shutil
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from streamflow.apply import apply
from streamflow.challenger import train
from streamflow.errors import PromotionConflict, Refused, UsageError
from streamflow.gate.decision import decide, promote_through_gate
from streamflow.jobs import run
from streamflow.jobs import train as train_job
from streamflow.mlflow_api import sdk
from streamflow.postgres import job_results
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import TrainResult
from streamflow.registry import chain, trail, versions

JANUARY, FEBRUARY = date(2024, 1, 31), date(2024, 2, 29)
WHO = {"why": "a test", "by": "ada"}


@pytest.fixture(scope="module")
def small(world):
    """The world, with one candidate."""
    training = world.training.model_copy(update={"estimators": ("logistic_regression",)})
    return world.model_copy(update={"training": training})


def with_promotion(settings, **changes):
    return settings.model_copy(update={"promotion": settings.promotion.model_copy(update=changes)})


def outcome(report):
    return {rule.name: rule.passed for rule in report.rules}


def reason(report, name):
    return next(rule.reason for rule in report.rules if rule.name == name)


@pytest.fixture(scope="module")
def first(small):
    """January's version, in production as the first one."""
    version = train(small, JANUARY, estimator="logistic_regression").version
    promote_through_gate(small.backends, small.promotion, version, "staging", **WHO)
    promote_through_gate(small.backends, small.promotion, version, "production", **WHO)
    return version


@pytest.fixture(scope="module")
def second(small, first):
    """February's version, at staging."""
    version = train(small, FEBRUARY, estimator="logistic_regression").version
    promote_through_gate(small.backends, small.promotion, version, "staging", **WHO)
    return version


def test_the_first_version_passes_and_the_trail_records_the_verdict(small, first):
    move = trail.history(small.database, small.mlflow.registered_model)[-1]
    assert move.gate["verdict"] == "passed"
    assert set(move.gate["rules"]) == {
        "files and golden rows",
        "online schema",
        "better than chance",
        "absolute calibration",
        "slices",
        "latency",
    }


def test_the_report_is_stored_as_json_and_as_a_page_and_tagged(small, first, tmp_path):
    held = versions.get(small.mlflow, first)
    assert held.tags["streamflow.gate"] == "passed"
    page = held.tags["streamflow.gate_report"]
    with sdk.client(small.mlflow) as client:
        client.download_artifacts(held.run_id, "gate", str(tmp_path))
    report = json.loads((tmp_path / page).with_suffix(".json").read_text())
    assert report["verdict"] == "passed"
    parts = {(item["slice"], item["value"]) for item in report["facts"]["slices"]}
    assert {("contract type", "Month-to-month"), ("tenure in months", "48 and more")} <= parts
    assert "better than chance" in (tmp_path / page).read_text()


def test_the_trail_names_the_report_that_let_a_version_in(small, first, tmp_path):
    gate = trail.history(small.database, small.mlflow.registered_model)[-1].gate
    with sdk.client(small.mlflow) as client:
        file = Path(
            client.download_artifacts(versions.get(small.mlflow, first).run_id, gate["report"], str(tmp_path))
        )
    assert hashlib.sha256(file.read_bytes()).hexdigest() == gate["report_sha256"]
    assert json.loads(file.read_text())["verdict"] == "passed"


def test_champion_and_challenger_are_compared_on_the_same_rows(small, first, second):
    report = decide(small.backends, small.promotion, second)
    both = report.facts["compared"]
    # All of February's holdout: the champion was not trained on February's labels.
    assert (both["rows"], both["trained_on"], both["not_served"]) == (1761, 0, 0)
    assert 0.55 < both["challenger"]["auc"] < 0.7
    assert both["difference"] == pytest.approx(both["challenger"]["auc"] - both["champion"]["auc"])
    assert both["low"] <= both["difference"] <= both["high"]
    assert report.champion == first
    assert report.facts["not_compared"] == ""


def test_a_version_judged_again_gets_another_report_and_its_tag_names_the_newest(small, second, tmp_path):
    one, other = (
        decide(small.backends, small.promotion, second),
        decide(small.backends, small.promotion, second),
    )
    assert one.artifact != other.artifact
    held = versions.get(small.mlflow, second)
    assert held.tags["streamflow.gate_report"] == f"{other.artifact}.html"
    with sdk.client(small.mlflow) as client:
        file = Path(client.download_artifacts(held.run_id, f"{one.artifact}.json", str(tmp_path)))
    assert hashlib.sha256(file.read_bytes()).hexdigest() == one.sha256


def relabelled(content):
    """Labels that make the model look better."""
    frame = pd.read_parquet(io.BytesIO(content))
    frame["label"] = (
        frame["contract_type"] == "Month-to-month" if "contract_type" in frame else ~frame["label"]
    )
    return frame.to_parquet(index=False)


def another_holdout(content):
    split = pd.read_parquet(io.BytesIO(content))
    split["part"] = ["holdout" if i % 4 == 0 else "train" for i in range(len(split))]
    return split.to_parquet(index=False)


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("training_set.parquet", relabelled, "is not the one it was trained on: its fingerprint is"),
        ("training_set.parquet", lambda content: content[:5000], "training_set.parquet cannot be read"),
        ("training_set.parquet", None, "training_set.parquet is missing"),
        ("split.parquet", another_holdout, "it names another holdout"),
        ("split.parquet", lambda content: content[:100], "split.parquet cannot be read"),
    ],
)
def test_a_version_is_not_judged_on_rows_that_are_not_its_own(small, second, spoilt, file, change, says):
    with spoilt(small, versions.get(small.mlflow, second).run_id, f"training_set/{file}", change):
        report = decide(small.backends, small.promotion, second)
    assert not outcome(report)["files and golden rows"]
    assert says in reason(report, "files and golden rows")
    assert report.facts["holdout_auc"] is None
    assert "slices" not in outcome(report)


def test_a_champion_whose_rows_are_missing_is_not_compared_and_is_replaced_only_explicitly(
    small, first, spoilt
):
    version = train(small, JANUARY, estimator="logistic_regression").version
    run_id = versions.get(small.mlflow, first).run_id
    for change, says in (
        (None, "training_set.parquet is missing"),
        (relabelled, "not the one it was trained on"),
    ):
        with spoilt(small, run_id, "training_set/training_set.parquet", change):
            report = decide(small.backends, small.promotion, version)
        assert outcome(report)["files and golden rows"]
        assert not outcome(report)["improvement"]
        assert says in reason(report, "improvement")
        assert outcome(report)["not older"]


def test_what_the_gate_refuses_is_not_promoted_and_the_reasons_are_given(small, second):
    strict = with_promotion(small, improvement="minimum", min_improvement=0.5)
    with pytest.raises(Refused, match=f"The gate refuses version {second}") as refusal:
        promote_through_gate(strict.backends, strict.promotion, second, "production", **WHO)
    assert any(line.startswith("improvement: AUC") for line in refusal.value.details)
    assert "--despite-gate" in refusal.value.hint
    assert versions.by_alias(small.mlflow, "production") != second


def test_not_worse_on_a_newer_drop_passes_by_default(small, second):
    wide = with_promotion(small, not_worse_margin=0.5, min_improvement=1)
    report = decide(wide.backends, wide.promotion, second)
    assert outcome(report)["improvement"]
    assert "trained on 1 drop(s) that the champion has not seen" in reason(report, "improvement")
    assert report.facts["new_drops"][0].startswith("2024-02-29")


def test_the_champions_own_data_are_not_newer(small, first):
    """Another estimator of January; the champion has learnt the same rows."""
    version = train(small, JANUARY, estimator="gradient_boosting").version
    lenient = with_promotion(small, not_worse_margin=1, min_improvement=1)
    report = decide(lenient.backends, lenient.promotion, version)
    assert (report.facts["new_drops"], report.facts["same_data"]) == ([], True)
    assert not outcome(report)["improvement"]
    assert "its training set equals the champion's" in reason(report, "improvement")


def test_a_date_without_a_drop_is_not_trained_on(small):
    with pytest.raises(UsageError, match="no drop as of 2024-03-31") as refusal:
        train(small, date(2024, 3, 31), estimator="logistic_regression")
    assert "2024-02-29, 2024-01-31" in refusal.value.hint


def test_rows_that_the_champion_was_trained_on_are_left_out(small, first):
    """January again, split by another seed: the champion was trained on most of its holdout."""
    training = small.training.model_copy(update={"seed": 7})
    other = small.model_copy(update={"training": training})
    version = train(other, JANUARY, estimator="logistic_regression").version
    both = decide(small.backends, small.promotion, version).facts["compared"]
    assert both["trained_on"] > 1000
    assert both["rows"] == 1761 - both["trained_on"]


def test_a_version_with_a_feature_that_the_online_store_lacks_is_refused(small, first, tmp_path):
    folder = tmp_path / "feature_repo"
    shutil.copytree(small.feast.repo, folder, ignore=shutil.ignore_patterns("__pycache__"))
    views = folder / "feature_views.py"
    field = '        _feature("net_service", String, kind="category"),\n'
    views.write_text(views.read_text().replace(field, field + field.replace("net_service", "contract_type")))
    wider = small.model_copy(update={"feast": small.feast.model_copy(update={"repo": folder})})
    with pytest.raises(UsageError, match="has not been applied"):
        train(wider, JANUARY, estimator="logistic_regression")
    apply(wider)
    with transaction(small.database) as connection:
        connection.exec_driver_sql("ALTER TABLE online.subs_profile_fv DROP COLUMN contract_type")
    version = train(wider, JANUARY, estimator="logistic_regression").version
    report = decide(wider.backends, wider.promotion, version)
    assert not outcome(report)["online schema"]
    assert "'subs_profile_fv' has no column 'contract_type'" in reason(report, "online schema")
    assert "streamflow features apply" in reason(report, "online schema")
    # The champion lacks that feature; both are compared nevertheless.
    assert report.facts["compared"]["rows"] == 1761


def test_a_challenger_with_fewer_features_is_compared_with_the_champions_own(small, first, tmp_path):
    folder = tmp_path / "feature_repo"
    shutil.copytree(small.feast.repo, folder, ignore=shutil.ignore_patterns("__pycache__"))
    services = folder / "feature_services.py"
    services.write_text(
        services.read_text().replace("[subs_profile_fv, usage_agg_30d_fv, ", "[usage_agg_30d_fv, ")
    )
    narrow = small.model_copy(update={"feast": small.feast.model_copy(update={"repo": folder})})
    version = train(narrow, JANUARY, estimator="logistic_regression").version
    report = decide(narrow.backends, narrow.promotion, version)
    both = report.facts["compared"]
    assert both["rows"] == 1761
    assert both["champion"]["auc"] > 0.8 > both["challenger"]["auc"]
    assert both["high"] < 0
    assert not report.passed


def test_a_flipped_byte_fails_the_gate(small, first, tmp_path):
    version = train(small, JANUARY, estimator="logistic_regression").version
    run_id = versions.get(small.mlflow, version).run_id
    with sdk.client(small.mlflow) as client:
        path = Path(client.download_artifacts(run_id, "model/model.onnx", str(tmp_path)))
        content = bytearray(path.read_bytes())
        content[100] ^= 1
        path.write_bytes(bytes(content))
        client.log_artifact(run_id, str(path), "model")
    report = decide(small.backends, small.promotion, version)
    assert not outcome(report)["files and golden rows"]
    assert "model.onnx is not the one that was registered" in reason(report, "files and golden rows")


def test_a_champion_that_changed_since_it_was_judged_is_a_conflict(small, second):
    with pytest.raises(PromotionConflict, match="somebody else moved it"):
        promote_through_gate(
            small.backends,
            small.promotion,
            second,
            "production",
            expected=second,
            despite_gate=True,
            **WHO,
        )


def test_the_gate_is_overruled_only_explicitly(small, first, second):
    strict = with_promotion(small, improvement="minimum", min_improvement=0.5)
    move = promote_through_gate(
        strict.backends, strict.promotion, second, "production", despite_gate=True, **WHO
    )
    assert move.gate["verdict"] == "overruled"
    assert move.gate["rules"]["improvement"] is False
    assert (move.from_version, move.to_version) == (first, second)
    chain.verify(small.database)


def test_an_older_version_fails_the_gate(small, second):
    version = train(small, JANUARY, estimator="logistic_regression").version
    report = decide(small.backends, small.promotion, version)
    assert not outcome(report)["not older"]
    assert "trained as of 2024-01-31, the champion as of 2024-02-29" in reason(report, "not older")


def test_a_version_in_production_is_not_judged_against_itself(small, second):
    with pytest.raises(Refused, match="in production itself"):
        decide(small.backends, small.promotion, second)


def test_a_scheduled_training_waits_at_staging_or_is_promoted_as_the_policy_says(small, second):
    strict = {"improvement": "minimum", "min_improvement": 0.5}
    manual = train_job.train(with_promotion(small, policy="manual", **strict))
    assert (manual.promoted, manual.gate) == (False, "failed")
    assert versions.by_alias(small.mlflow, "staging") == manual.version
    lenient = with_promotion(small, policy="automatic", not_worse_margin=0.2)
    assert run.run(lenient, "train", train_job.train) == 0
    refused = last_training(small)
    # On the champion's own data.
    assert (refused.promoted, refused.gate) == (False, "failed")
    assert "not trained on newer data" in refused.why
    assert versions.by_alias(small.mlflow, "production") == second


def test_what_the_gate_measured_stays_until_it_judges_again(small, second):
    """The exporter reads it from the newest run, and most runs have no new drop to train on."""
    refused = last_training(small)
    found = refused.judged
    assert (found.version, found.champion, found.passed) == (refused.version, second, False)
    assert 0.55 < found.auc_low < found.auc < 0.7
    assert 0.55 < found.champion_auc_low < found.champion_auc < 0.7
    assert run.run(small, "train", train_job.train) == 0
    idle = last_training(small)
    assert (idle.version, idle.judged) == (None, found)


def last_training(settings):
    with transaction(settings.database) as connection:
        return job_results.newest(connection, TrainResult)
