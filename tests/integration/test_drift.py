"""Verdicts on drift in PostgreSQL: one for each drop, of months that break monitors too."""

import json
import re
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from click.testing import CliRunner as Runner

from source_rows import add_drop
from streamflow.cli import main as command_line
from streamflow.jobs.score import score_as_of
from streamflow.monitoring.drift import judge as drift
from streamflow.postgres import clock
from streamflow.postgres.engine import transaction
from streamflow.registry.promote import promote
from streamflow.times import midnight

pytestmark = [pytest.mark.postgres, pytest.mark.stack]

JANUARY, FEBRUARY = date(2024, 1, 31), date(2024, 2, 29)
TABLES = ("users", "subscriptions", "usage_agg_30d", "payments_agg_90d", "support_agg_90d", "labels")


@pytest.fixture(scope="module")
def served(module_simulated):
    """Two simulated months, and the version of the first one in production, which has scored the second one."""
    for alias in ("staging", "production"):
        promote(module_simulated.backends, 1, alias, why="a test", by="tests")
    return module_simulated


def judged(settings, as_of=None, **options):
    model = settings.mlflow.registered_model
    return drift.judge(settings.database, model, settings.feast.repo, settings.monitoring, as_of, **options)


def outcomes(verdict):
    return {feature.name: feature.outcome for feature in verdict.features}


def recorded(settings, as_of):
    statement = "SELECT drop_id, position, alpha, verdict FROM monitoring.drift WHERE as_of = :as_of ORDER BY drift_id"
    with transaction(settings.database) as connection:
        return connection.execute(sa.text(statement), {"as_of": as_of}).all()


def load(settings, as_of, changes=(), where="true"):
    """A drop as of a date with February's rows, some of whose columns are replaced by SQL."""
    changes = dict(changes)
    with transaction(settings.database) as connection:
        sequence = connection.execute(
            sa.text("SELECT count(*) + 1 FROM streamflow.drops WHERE as_of = :as_of"),
            {"as_of": midnight(as_of)},
        ).scalar_one()
        drop_id = f"{as_of}-{sequence}"
        number = add_drop(connection, drop_id, midnight(as_of), clock.stamp(connection))
        for table in TABLES:
            columns = connection.execute(
                sa.text(
                    "SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = CAST(:t AS regclass)"
                    " AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attidentity = ''"
                ),
                {"t": f"source.{table}"},
            ).scalar_one()
            selected = [{"drop_number": ":number", **changes}.get(name, f's."{name}"') for name in columns]
            connection.execute(
                sa.text(
                    f"INSERT INTO source.{table} ({', '.join(columns)})"
                    f" SELECT {', '.join(selected)} FROM source.{table} s JOIN streamflow.drops d USING (drop_number)"
                    f" WHERE d.as_of = :february AND ({where})"
                ),
                {"number": number, "february": midnight(FEBRUARY)},
            )
    return drop_id


def test_a_month_is_judged_once_with_its_score(served):
    waiting = judged(served, patience=timedelta(days=1))
    assert (waiting.verdict, waiting.why) == ("no_data", "the version has not scored this drop yet")
    assert recorded(served, FEBRUARY) == []
    score_as_of(served)
    first = judged(served, patience=timedelta(days=1))
    assert (first.as_of.date(), first.rows, first.reference_rows, first.position) == (FEBRUARY, 500, 500, 1)
    assert [feature.name for feature in first.features][-1] == "score"
    assert len(first.features) == 15
    assert "no_data" not in outcomes(first).values()
    assert sum(feature.alpha for feature in first.features) == pytest.approx(first.alpha)
    again = judged(served)
    assert again.drift_id == first.drift_id
    assert again.features == first.features
    assert len(recorded(served, FEBRUARY)) == 1


def test_the_month_of_the_training_set_and_a_month_without_a_drop_have_nothing_to_compare(served):
    for as_of, why in (
        (JANUARY, "the version was trained on this month"),
        (date(2023, 5, 31), "no drop as of"),
    ):
        found = judged(served, as_of)
        assert (found.verdict, found.features, found.drift_id) == ("no_data", (), None)
        assert why in found.why
        assert recorded(served, as_of) == []


HARD = {
    "empty": (date(2024, 5, 31), {}, "false", "no_data", {"monthly_fee": "no_data"}),
    "constant": (date(2024, 6, 30), {"monthly_fee": "20.0"}, "true", "drifted", {"monthly_fee": "drifted"}),
    "all null": (
        date(2024, 7, 31),
        {"ticket_avg_resolution_hrs_90d": "NULL"},
        "true",
        "drifted",
        {"ticket_avg_resolution_hrs_90d": "drifted"},
    ),
    "a new category": (
        date(2024, 8, 31),
        {"net_service": "'Satellite'"},
        "true",
        "drifted",
        {"net_service": "drifted"},
    ),
    "one user": (
        date(2024, 9, 30),
        {},
        "user_id = (SELECT min(user_id) FROM source.users)",
        "too_few_rows",
        {"monthly_fee": "too_few_rows", "net_service": "too_few_rows"},
    ),
}


@pytest.mark.fault("F35")
@pytest.mark.parametrize(("as_of", "changes", "where", "verdict", "features"), HARD.values(), ids=HARD)
def test_a_month_that_breaks_monitors_has_a_verdict(served, as_of, changes, where, verdict, features):
    """March and April are missing."""
    load(served, as_of, changes, where)
    found = judged(served, as_of)
    assert found.verdict == verdict
    assert {name: outcomes(found)[name] for name in features} == features
    assert [row.verdict for row in recorded(served, as_of)] == [verdict]
    assert "score: the version has not scored this drop" in found.why or verdict == "no_data"


@pytest.mark.fault("F35")
def test_a_corrected_month_has_a_verdict_beside_the_first(served):
    as_of = date(2024, 10, 31)
    first_drop = load(served, as_of, {"monthly_fee": "monthly_fee * 3"})
    first = judged(served, as_of)
    corrected_drop = load(served, as_of)
    second = judged(served, as_of)
    assert outcomes(first)["monthly_fee"] == "drifted"
    assert outcomes(second)["monthly_fee"] != "drifted"
    rows = recorded(served, as_of)
    assert [(row.drop_id, row.position) for row in rows] == [
        (first_drop, first.position),
        (corrected_drop, first.position + 1),
    ]
    assert rows[1].alpha < rows[0].alpha
    assert rows[1].alpha == pytest.approx(second.alpha)


def test_the_command_prints_the_verdict_and_fails_only_if_asked(served, monkeypatch):
    monkeypatch.setenv("STREAMFLOW_HOME", str(served.home))
    as_of = date(2024, 11, 30)
    load(served, as_of, {"monthly_fee": "monthly_fee + 30"})
    command = command_line.load("monitor")
    shown = Runner().invoke(command, ["drift", "--as-of", str(as_of), "--json"])
    assert shown.exit_code == 0, shown.output
    document = json.loads(shown.stdout)
    assert (document["as_of"], document["version"], document["verdict"]) == (str(as_of), 1, "drifted")
    fee = next(feature for feature in document["features"] if feature["name"] == "monthly_fee")
    assert {"name", "outcome", "p_value", "effect", "smallest_detectable", "psi", "psi_without_drift"} <= set(
        fee
    )
    assert fee["outcome"] == "drifted"
    assert Runner().invoke(command, ["drift", "--as-of", str(as_of), "--fail-on", "drifted"]).exit_code == 3
    calm = Runner().invoke(command, ["drift", "--as-of", str(JANUARY), "--fail-on", "drifted"])
    assert calm.exit_code == 0
    assert "trained on this month" in calm.stdout


@pytest.mark.parametrize("as_of", [FEBRUARY, date(2024, 10, 31), date(2024, 11, 30)])
def test_a_report_shows_each_distribution_that_was_recorded(served, monkeypatch, as_of):
    monkeypatch.setenv("STREAMFLOW_HOME", str(served.home))
    found = judged(served, as_of)
    page = (
        Runner().invoke(command_line.load("monitor"), ["report", "--as-of", str(as_of), "--out", "-"]).stdout
    )
    shown = set(re.findall(r'aria-label="Shares of (\w+) in the training set', page))
    assert shown == {
        item.name for item in found.features if "bins" in item.detail or "classes" in item.detail
    }
    assert len(shown) > 10
    assert page.count("<article") == len(found.features)
    with transaction(served.database) as connection:
        users = connection.exec_driver_sql("SELECT DISTINCT user_id FROM source.users").scalars().all()
    assert not [user for user in users if user in page]
