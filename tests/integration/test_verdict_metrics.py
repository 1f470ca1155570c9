"""Metrics of drift, quality and harm, and the line of `streamflow status`, read from a real PostgreSQL."""

import json
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
import verdicts
from exported import samples
from typer.testing import CliRunner

from streamflow.cli.main import app
from streamflow.errors import DependencyDown
from streamflow.local import services, stack
from streamflow.monitoring import quality_now
from streamflow.monitoring.verdict_metrics import MOST_FEATURES
from streamflow.postgres.engine import transaction

pytestmark = pytest.mark.postgres
JANUARY, FEBRUARY, MARCH = "2024-01-31+00", "2024-02-29+00", "2024-03-31+00"


def values(settings):
    """Values by name of the metric and its labels, without the model's name."""
    model = settings.mlflow.registered_model
    return {
        (sample.name, *(value for value in sample.labels.values() if value != model)): sample.value
        for sample in samples(settings)
    }


def of(found, name):
    return {labels[1:]: value for labels, value in found.items() if labels[0] == name}


def stamp(text):
    return datetime.fromisoformat(text + ":00").timestamp()


def promote(settings, version):
    with transaction(settings.database) as connection:
        connection.execute(
            sa.text(
                "INSERT INTO streamflow.promotions (moved_at, moved_by, model, alias, to_version, action, why)"
                " VALUES (now(), 'me', :model, 'production', :version, 'promote', 'a test')"
            ),
            {"model": settings.mlflow.registered_model, "version": version},
        )


def test_the_newest_verdict_on_drift_is_exported_with_its_features(settings):
    before = datetime.now(UTC).timestamp()
    verdicts.drift(settings, {"old": {"outcome": "drifted", "effect": 9.0}}, as_of=JANUARY, verdict="drifted")
    features = {
        "fee": {"outcome": "drifted", "effect": -0.3, "psi": 0.12, "psi_without_drift": 0.003},
        "plan": {"outcome": "stable", "effect": 0.01, "psi": 0.002, "psi_without_drift": 0.001},
        "empty": {"outcome": "no_data"},
    }
    verdicts.drift(settings, features, as_of=FEBRUARY, verdict="drifted", position=2)
    # A corrected January, judged after February.
    verdicts.drift(settings, as_of=JANUARY, verdict="stable", drop_id="d2", position=3)
    found = values(settings)
    assert of(found, "streamflow_drift_verdict") == {
        ("3", "stable"): 0,
        ("3", "drifted"): 1,
        ("3", "too_few_rows"): 0,
        ("3", "no_data"): 0,
    }
    assert of(found, "streamflow_drift_features") == {
        ("3", "stable"): 1,
        ("3", "drifted"): 1,
        ("3", "too_few_rows"): 0,
        ("3", "no_data"): 1,
    }
    assert of(found, "streamflow_drift_effect") == {("3", "fee"): -0.3, ("3", "plan"): 0.01}
    assert of(found, "streamflow_drift_psi") == {("3", "fee"): 0.12, ("3", "plan"): 0.002}
    assert of(found, "streamflow_drift_psi_without_drift") == {("3", "fee"): 0.003, ("3", "plan"): 0.001}
    assert of(found, "streamflow_drift_features_left_out") == {("3",): 0}
    assert of(found, "streamflow_drift_as_of_timestamp_seconds") == {("3",): stamp(FEBRUARY)}
    [judged] = of(found, "streamflow_drift_judged_timestamp_seconds").values()
    assert before - 1 < judged <= datetime.now(UTC).timestamp() + 1


def test_of_many_features_those_that_drifted_and_the_largest_effects_are_exported(settings):
    features = {f"f{number:03}": {"outcome": "stable", "effect": number / 1000} for number in range(200)}
    features["f199"] = {"outcome": "stable", "effect": -0.9}
    features["small"] = {"outcome": "drifted", "effect": 0.0001}
    verdicts.drift(settings, features, as_of=FEBRUARY, verdict="drifted")
    found = values(settings)
    exported = {name for _, name in of(found, "streamflow_drift_effect")}
    assert exported == {"small", *(f"f{number:03}" for number in range(151, 200))}
    assert len(exported) == MOST_FEATURES
    assert of(found, "streamflow_drift_features_left_out") == {("3",): 201 - MOST_FEATURES}


def test_quality_is_exported_of_the_newest_month_of_each_basis(settings):
    interval = {"auc_low": 0.59, "auc_high": 0.63, "brier": 0.17, "brier_low": 0.16, "brier_high": 0.18}
    verdicts.quality(settings, basis="estimated", as_of=MARCH, auc=0.61, precision=0.4, f1=0.5, **interval)
    verdicts.quality(settings, basis="estimated", as_of=FEBRUARY, auc=0.70)
    verdicts.quality(settings, basis="realized", as_of=FEBRUARY, auc=0.55, auc_low=0.53, auc_high=0.57)
    # Its corrected labels, and another version that answered in that month.
    again = {"as_of": FEBRUARY, "label_drop_id": "d9"}
    verdicts.quality(settings, basis="realized", auc=0.60, auc_low=0.58, auc_high=0.62, recall=0.3, **again)
    verdicts.quality(settings, basis="realized", auc=0.65, version=4, **again)
    found = values(settings)
    assert of(found, "streamflow_quality_estimated") == {
        ("3", "auc"): 0.61,
        ("3", "brier"): 0.17,
        ("3", "precision"): 0.4,
        ("3", "f1"): 0.5,
    }
    assert of(found, "streamflow_quality_estimated_low") == {("3", "auc"): 0.59, ("3", "brier"): 0.16}
    assert of(found, "streamflow_quality_estimated_high") == {("3", "auc"): 0.63, ("3", "brier"): 0.18}
    assert of(found, "streamflow_quality_realized") == {
        ("3", "auc"): 0.6,
        ("3", "recall"): 0.3,
        ("4", "auc"): 0.65,
    }
    assert of(found, "streamflow_quality_as_of_timestamp_seconds") == {
        ("3", "estimated"): stamp(MARCH),
        ("3", "realized"): stamp(FEBRUARY),
        ("4", "realized"): stamp(FEBRUARY),
    }
    assert of(found, "streamflow_quality_estimate_error") == {("3",): pytest.approx(0.1)}
    assert of(found, "streamflow_quality_estimate_error_low") == {("3",): pytest.approx(0.08)}
    assert of(found, "streamflow_quality_estimate_error_high") == {("3",): pytest.approx(0.12)}


def test_harm_that_was_shown_stays_until_labels_or_a_correction_take_it_back(settings):
    def exported():
        return of(values(settings), "streamflow_harm")

    assert exported() == {}
    verdicts.harm(settings, basis="estimated", as_of=JANUARY, verdict="too_few_rows")
    assert exported() == {}
    verdicts.harm(settings, basis="estimated", as_of=FEBRUARY, verdict="harmful", position=2)
    verdicts.harm(settings, basis="estimated", as_of=MARCH, verdict="not_shown", position=3)
    assert exported() == {("3", "estimated"): 1}
    verdicts.harm(settings, basis="realized", as_of=FEBRUARY, verdict="not_shown")
    assert exported() == {("3", "estimated"): 0, ("3", "realized"): 0}
    verdicts.harm(settings, basis="realized", as_of=MARCH, verdict="harmful", position=2)
    assert exported() == {("3", "estimated"): 0, ("3", "realized"): 1}
    verdicts.harm(
        settings, basis="realized", as_of=MARCH, verdict="not_shown", position=3, label_drop_id="d9"
    )
    assert exported() == {("3", "estimated"): 0, ("3", "realized"): 0}


def test_a_harmful_version_that_a_rollback_brings_back_is_exported_again(settings):
    verdicts.harm(settings, basis="realized", as_of=FEBRUARY, verdict="harmful")
    verdicts.harm(settings, basis="realized", as_of=MARCH, verdict="not_shown", version=4)
    assert of(values(settings), "streamflow_harm") == {("4", "realized"): 0}
    promote(settings, 3)
    assert of(values(settings), "streamflow_harm") == {("3", "realized"): 1, ("4", "realized"): 0}


def judge_everything(settings):
    verdicts.drift(settings, as_of=JANUARY, verdict="stable")
    verdicts.drift(settings, as_of=FEBRUARY, verdict="drifted", position=2)
    features = {"fee": {"outcome": "drifted", "effect": 0.3, "psi": 0.1, "psi_without_drift": 0.003}}
    verdicts.drift(settings, features, as_of=MARCH, verdict="drifted", position=3)
    interval = {"auc_low": 0.59, "auc_high": 0.63}
    verdicts.quality(settings, basis="realized", as_of=FEBRUARY, auc=0.7)
    verdicts.quality(settings, basis="estimated", as_of=FEBRUARY, auc=0.65)
    verdicts.quality(settings, basis="estimated", as_of=MARCH, auc=0.61, **interval)
    verdicts.harm(settings, basis="realized", as_of=FEBRUARY, verdict="harmful")


def shown(settings, monkeypatch, *arguments):
    """What `streamflow status` prints about a stack of which only PostgreSQL runs."""
    running = stack.Status(services.POSTGRES, "running", "postgresql://127.0.0.1:1/x", 1, "log", None)
    monkeypatch.setattr(stack, "status", lambda _: [running])
    monkeypatch.setattr("streamflow.settings.load", lambda: settings)
    result = CliRunner().invoke(app, ["status", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_status_has_one_line_about_quality_drift_and_harm(settings, monkeypatch):
    assert "Version" not in shown(settings, monkeypatch)
    assert json.loads(shown(settings, monkeypatch, "--json"))["quality"] is None
    judge_everything(settings)
    assert shown(settings, monkeypatch).splitlines()[-1] == (
        "Version 3: AUC 0.610 (0.590 to 0.630) in the month of 2024-03-31, estimated; features drifted since 2024-02-29;"
        " harm shown since 2024-02-29 (realized)."
    )
    assert json.loads(shown(settings, monkeypatch, "--json"))["quality"] == {
        "version": 3,
        "basis": "estimated",
        "as_of": "2024-03-31T00:00:00+00:00",
        "auc": 0.61,
        "low": 0.59,
        "high": 0.63,
        "drifted_since": "2024-02-29T00:00:00+00:00",
        "harmful_since": "2024-02-29T00:00:00+00:00",
        "harm_basis": "realized",
    }
    # Labels of March, and a corrected March without drift.
    verdicts.quality(settings, basis="realized", as_of=MARCH, auc=0.6)
    verdicts.drift(settings, as_of=MARCH, verdict="stable", position=4, drop_id="d2")
    last = shown(settings, monkeypatch).splitlines()[-1]
    assert last.startswith("Version 3: AUC 0.600 in the month of 2024-03-31, realized; no drift shown; harm")


def test_status_is_about_the_version_that_was_judged_last(settings, monkeypatch):
    judge_everything(settings)
    verdicts.drift(settings, as_of="2024-04-30+00", verdict="no_data", version=4)
    last = shown(settings, monkeypatch).splitlines()[-1]
    assert last == "Version 4: quality not known yet; no drift shown; no harm shown."


def test_a_database_of_an_older_version_has_no_line_and_a_plain_error(settings, monkeypatch):
    with transaction(settings.database) as connection:
        connection.execute(sa.text("DROP SCHEMA monitoring CASCADE"))
    with pytest.raises(DependencyDown, match="or those of an older version"):
        quality_now.read(settings.database, settings.mlflow.registered_model)
    assert "Version" not in shown(settings, monkeypatch)
