"""The quality of months whose scores and labels come one after the other. On a real PostgreSQL, with simulated drops."""

import json
import shutil
from datetime import date

import numpy as np
import pytest
import sqlalchemy as sa
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from streamflow.cli.main import app
from streamflow.jobs.ingest import ingest_folder
from streamflow.model_version.contract import Contract, Feature, View
from streamflow.monitoring.quality import figures
from streamflow.monitoring.quality.by_month import by_month
from streamflow.monitoring.quality.judge import judge
from streamflow.postgres.engine import transaction
from streamflow.registry import releases
from streamflow.settings import MonitoringSettings

pytestmark = pytest.mark.postgres

WORTH = MonitoringSettings(value_of_true_positive=10.0, cost_of_false_positive=1.0)


@pytest.fixture(scope="module")
def drops(module_settings, tmp_path_factory):
    """A database with the tables of the feature repo, and five simulated months that are not loaded yet."""
    from streamflow.drops import tables
    from streamflow.local.simulate import Simulation, simulate
    from streamflow.repo import definitions
    from streamflow.snapshots import views

    repo = definitions.load(module_settings.feast.repo)
    with transaction(module_settings.database) as connection:
        tables.ensure(connection, repo)
        views.ensure(connection, repo)
    return simulate(
        module_settings.feast.repo, tmp_path_factory.mktemp("drops"), Simulation(users=600, months=5)
    )


@pytest.fixture
def release(module_settings):
    """A function that puts a version with a contract into production."""

    def made(version, horizon, holdout=None, trained=date(2020, 1, 31)):
        contract = Contract(
            model=module_settings.mlflow.registered_model,
            feature_service="churn_v1",
            join_key="user_id",
            features=(Feature("months_active", "subs_profile_fv", "int"),),
            views=(View("subs_profile_fv"),),
            threshold=0.4,
            label={
                "table": "labels",
                "column": "churn_label",
                "horizon": horizon,
                "as_of": f"{trained}T00:00:00+00:00",
            },
            estimator="e",
            as_of=f"{trained}T00:00:00+00:00",
            known_at="2024-01-31T00:00:00+00:00",
            fingerprint=f"f{version}",
            holdout=holdout or {},
        )
        digest = f"{version}".rjust(64, "0")
        with transaction(module_settings.database) as connection:
            releases.record_trained(connection, contract.model, digest, "run", "split")
            statement = "INSERT INTO streamflow.releases (manifest_sha256, bytes) VALUES (:sha, 1)"
            connection.execute(sa.text(statement), {"sha": digest})
            # In two pieces, as large files are.
            text = contract.to_json().encode()
            statement = (
                "INSERT INTO streamflow.release_pieces (manifest_sha256, file, piece, content)"
                " VALUES (:sha, 'contract.json', :piece, :content)"
            )
            for piece, content in enumerate((text[:100], text[100:])):
                connection.execute(sa.text(statement), {"sha": digest, "piece": piece, "content": content})
            statement = (
                "INSERT INTO streamflow.promotions (moved_by, model, alias, to_version, action, why, release)"
                " VALUES ('tests', :model, 'production', :version, 'promote', 'a test', CAST(:release AS jsonb))"
            )
            promoted = json.dumps({"manifest_sha256": digest})
            connection.execute(
                sa.text(statement), {"model": contract.model, "version": version, "release": promoted}
            )
        return contract

    return made


def labels(settings, as_of):
    """Label of each user in the newest drop of a month."""
    statement = (
        "SELECT DISTINCT ON (user_id) user_id, churn_label FROM features.labels_snapshots WHERE as_of = :as_of"
        " ORDER BY user_id, loaded_at DESC"
    )
    with transaction(settings.database) as connection:
        return dict(connection.execute(sa.text(statement), {"as_of": as_of}).all())


def probabilities(settings, as_of, seed=0):
    """Scores of the users of a month that have something to do with their labels."""
    of_user = labels(settings, as_of)
    rng = np.random.default_rng(seed)
    return {user: float(rng.beta(2, 3) if churned else rng.beta(1, 4)) for user, churned in of_user.items()}


def scored(settings, version, as_of, given):
    """Store scores as the job `score` does."""
    with transaction(settings.database) as connection:
        number = connection.execute(
            sa.text(
                "INSERT INTO streamflow.scorings (model, version, fingerprint, as_of, known_at) VALUES (:model, :version,"
                " :fingerprint, :as_of, (SELECT max(loaded_at) FROM streamflow.drops)) RETURNING scoring_id"
            ),
            {
                "model": settings.mlflow.registered_model,
                "version": version,
                "fingerprint": f"f{version}",
                "as_of": as_of,
            },
        ).scalar_one()
        rows = [{"n": number, "entity": user, "p": p, "yes": p >= 0.4} for user, p in given.items()]
        if rows:
            connection.execute(sa.text("INSERT INTO streamflow.scores VALUES (:n, :entity, :p, :yes)"), rows)
    return number


def judged(settings):
    made = judge(settings.database, settings.mlflow.registered_model, settings.feast.repo, WORTH)
    return [(version, as_of.date(), basis) for version, as_of, basis in made]


def rows(settings, version):
    with transaction(settings.database) as connection:
        statement = "SELECT * FROM monitoring.quality WHERE version = :version ORDER BY quality_id"
        return list(connection.execute(sa.text(statement), {"version": version}))


def month(settings, as_of, version):
    """What is shown of a month of a version."""
    found = by_month(settings.database, settings.mlflow.registered_model, settings.feast.repo, WORTH, as_of)
    return next(item for item in found if item.version == version)


def corrected(drop, folder):
    """The same drop with the label of one user turned around."""
    shutil.copytree(drop.folder, folder)
    file = folder / "labels.csv"
    header, first, *others = file.read_text().splitlines()
    turned = first.replace("True", "?").replace("False", "True").replace("?", "False")
    turned = turned if turned != first else first[:-1] + ("0" if first.endswith("1") else "1")
    file.write_text("\n".join([header, turned, *others]) + "\n")
    return folder


def test_labels_of_the_next_drop_are_joined_with_the_scores_given_then(
    module_settings, drops, release, tmp_path, monkeypatch
):
    first, second, *_ = drops
    assert (
        by_month(
            module_settings.database,
            module_settings.mlflow.registered_model,
            module_settings.feast.repo,
            WORTH,
        )
        == []
    )
    ingest_folder(module_settings, first.folder, first.as_of)
    release(1, horizon=1, holdout={"bins": [[0, 90], [10, 0]] * 2})
    given = probabilities(module_settings, first.as_of)
    assert judged(module_settings) == []
    scored(module_settings, 1, first.as_of, given)
    assert judged(module_settings) == [(1, first.as_of, "estimated")]
    assert judged(module_settings) == []
    shown = month(module_settings, first.as_of, 1)
    assert (shown.realized, shown.why) == (None, "the labels of this month are not loaded yet")
    assert shown.estimated["low"] < shown.estimated["auc"] < shown.estimated["high"]
    assert "concept drift" in shown.estimated["assumes"]

    ingest_folder(module_settings, second.folder, second.as_of)
    assert judged(module_settings) == [(1, first.as_of, "realized")]
    estimate, truth = rows(module_settings, 1)
    came = labels(module_settings, second.as_of)
    both = [user for user in given if user in came]
    y, p = np.array([came[user] for user in both]), np.array([given[user] for user in both])
    assert truth.auc == pytest.approx(roc_auc_score(y, p))
    assert truth.brier == pytest.approx(((p - y) ** 2).mean())
    assert (truth.rows, truth.positives, truth.detail["unlabelled"]) == (
        len(both),
        y.sum(),
        len(given) - len(both),
    )
    assert truth.precision == pytest.approx(y[p >= 0.4].mean())
    assert truth.profit == pytest.approx(10 * y[p >= 0.4].sum() - (~y[p >= 0.4]).sum())
    assert truth.detail["estimate_error"]["auc"] == pytest.approx(estimate.auc - truth.auc)
    assert (truth.as_of.date(), truth.label_as_of.date()) == (first.as_of, second.as_of)
    assert truth.threshold == 0.4
    assert {part["slice"] for part in truth.detail["slices"]} == {"contract type", "tenure in months"}
    assert sum(part["rows"] for part in truth.detail["slices"]) == 2 * len(both)
    assert sum(part["rows"] for part in truth.detail["calibration_curve"]) == len(both)
    assert truth.detail["release"] == "1".rjust(64, "0")
    assert truth.detail["holdout_auc"]["value"] == pytest.approx(0.75)
    assert truth.auc_low < truth.auc < truth.auc_high
    assert not [user for user in given if user in json.dumps(truth.detail)]

    # Corrected labels give a row beside the first. The scores stay those that were given then.
    ingest_folder(module_settings, corrected(second, tmp_path / "again"), second.as_of)
    assert judged(module_settings) == [(1, first.as_of, "realized")]
    again = rows(module_settings, 1)[-1]
    assert (again.drop_id, again.rows) == (truth.drop_id, truth.rows)
    assert again.label_drop_id != truth.label_drop_id
    assert abs(again.positives - truth.positives) == 1

    monkeypatch.setenv("STREAMFLOW_HOME", str(module_settings.home))
    result = CliRunner().invoke(app, ["monitor", "quality", "--json"], catch_exceptions=False)
    january, february = json.loads(result.stdout)
    assert (january["as_of"], january["version"]) == (str(first.as_of), 1)
    assert january["realized"]["auc"] == again.auc
    assert (january["realized"]["low"], january["realized"]["high"]) == (again.auc_low, again.auc_high)
    assert january["estimated"]["rows"] == len(given)
    assert (february["estimated"], february["realized"]) == (None, None)
    assert february["why"] == "no version scored this month"
    call = ["monitor", "quality", "--as-of", str(first.as_of), "--json"]
    assert json.loads(CliRunner().invoke(app, call, catch_exceptions=False).stdout) == [january]
    table = CliRunner().invoke(app, ["monitor", "quality"], catch_exceptions=False).stdout
    assert "Estimates assume no concept drift" in table
    assert "no version scored this month" in table

    report = ["monitor", "report", "--as-of", str(first.as_of), "--out", "-"]
    page = CliRunner().invoke(app, report, catch_exceptions=False).stdout
    assert page.count('aria-label="Calibration: mean score') == 1
    assert all(
        f'<th scope="row">{part["slice"]}: {part["value"]}</th>' in page for part in again.detail["slices"]
    )
    assert again.detail["release"] in page and f"{again.auc:.3f} ({again.auc_low:.3f} to" in page
    assert not [user for user in given if user in page]


def test_the_same_drops_labels_and_months_that_break_monitors(module_settings, drops, release, tmp_path):
    """Horizon 0: an empty month, one user, labels of one class, a corrected month, a month that is missing."""
    third = drops[2]
    ingest_folder(module_settings, third.folder, third.as_of)
    given = probabilities(module_settings, third.as_of)
    churned = labels(module_settings, third.as_of)
    for version, kept in (
        (10, {}),
        (11, dict(list(given.items())[:1])),
        (12, {user: p for user, p in given.items() if churned[user]}),
        (13, {"nobody who has a label": 0.3}),
        (14, given),
    ):
        release(version, horizon=0)
        scored(module_settings, version, third.as_of, kept)
    assert len(judged(module_settings)) == 10
    for version, auc in ((10, "no row"), (11, "no pair"), (13, "no pair")):
        estimate, _ = rows(module_settings, version)
        assert estimate.auc is None, version
        assert estimate.detail["why"]["auc"].startswith(auc), version
    empty, alone, one_class, strangers, whole = (
        rows(module_settings, version)[1] for version in range(10, 15)
    )
    assert (empty.rows, empty.auc, empty.brier, empty.detail["why"]["auc"]) == (0, None, None, "no row")
    assert (alone.rows, alone.auc, alone.brier_low) == (1, None, None)
    assert alone.brier is not None
    assert one_class.auc is None
    assert one_class.detail["why"]["auc"].endswith("labels are true")
    assert one_class.brier_low < one_class.brier < one_class.brier_high
    assert (strangers.rows, strangers.detail["unlabelled"]) == (0, 1)
    assert whole.auc == pytest.approx(roc_auc_score([churned[user] for user in given], list(given.values())))

    # The month of a version's own training set says nothing about it.
    release(15, horizon=0, trained=third.as_of)
    scored(module_settings, 15, third.as_of, given)
    assert len(judged(module_settings)) == 2
    estimate, truth = rows(module_settings, 15)
    assert (truth.rows, truth.auc, truth.brier, truth.f1) == (len(given), None, None, None)
    assert estimate.auc is not None
    assert month(module_settings, third.as_of, 15).why == figures.LEARNT

    # A corrected month is judged once it was scored again, beside the first.
    ingest_folder(module_settings, corrected(third, tmp_path / "third again"), third.as_of)
    assert {basis for _, _, basis in judged(module_settings)} == {"realized"}
    scored(module_settings, 14, third.as_of, given)
    assert judged(module_settings) == [(14, third.as_of, "estimated"), (14, third.as_of, "realized")]
    assert len({(row.basis, row.drop_id, row.label_drop_id) for row in rows(module_settings, 14)}) == 5
    (missing,) = by_month(
        module_settings.database,
        module_settings.mlflow.registered_model,
        module_settings.feast.repo,
        WORTH,
        date(2019, 1, 31),
    )
    assert (missing.version, missing.why) == (None, "no drop of this date is loaded")


def test_a_month_without_batch_scores_is_judged_from_the_log_of_predictions(
    module_settings, drops, release, tmp_path
):
    fourth, fifth = drops[3:]
    ingest_folder(module_settings, fourth.folder, fourth.as_of)
    release(20, horizon=1)
    given = probabilities(module_settings, fourth.as_of)
    with transaction(module_settings.database) as connection:
        statement = (
            "INSERT INTO streamflow.predictions SELECT clock_timestamp() - CAST(:age AS interval), 'r', :entity, :model,"
            " 20, 'production', :p, :p >= 0.4, '{0}', loaded_at FROM streamflow.drops WHERE as_of = :as_of"
        )
        answers = [
            {"entity": user, "p": p, "age": age}
            for user, value in given.items()
            # An older answer, which the newest replaces.
            for age, p in (("1 minute", 1 - value), ("0", value))
        ]
        common = {"model": module_settings.mlflow.registered_model, "as_of": fourth.as_of}
        connection.execute(sa.text(statement), [answer | common for answer in answers])
    # The month is not over, so more answers may come.
    assert judged(module_settings) == []
    ingest_folder(module_settings, fifth.folder, fifth.as_of)
    assert judged(module_settings) == [(20, fourth.as_of, "estimated"), (20, fourth.as_of, "realized")]
    _, truth = rows(module_settings, 20)
    came = labels(module_settings, fifth.as_of)
    both = [user for user in given if user in came]
    assert truth.auc == pytest.approx(
        roc_auc_score([came[user] for user in both], [given[user] for user in both])
    )
    assert (truth.rows, truth.detail["scores_from"]) == (len(both), "log of predictions")
    # What the log has forgotten stays on record as it was, although the labels are corrected.
    with transaction(module_settings.database) as connection:
        connection.exec_driver_sql("DELETE FROM streamflow.predictions")
    ingest_folder(module_settings, corrected(fifth, tmp_path / "fifth again"), fifth.as_of)
    assert judged(module_settings) == []
    assert len(rows(module_settings, 20)) == 2
