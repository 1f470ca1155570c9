"""Training on the sample drops gives the expected figures, although both are loaded before any training.

`world` is a database with the drops month_000 (as of 2024-01-31) and month_001 (2024-02-29).
"""

import json
import re
import zipfile
from collections import Counter
from datetime import date

import pandas as pd
import pytest
import sqlalchemy as sa

from streamflow.challenger import Trained, train
from streamflow.jobs.ingest import ingest_folder
from streamflow.mlflow_api import sdk
from streamflow.model_version.contract import Contract
from streamflow.postgres.engine import transaction
from streamflow.training.runtime import raw_rows
from streamflow.training.statistics import CROWD

JANUARY, FEBRUARY = date(2024, 1, 31), date(2024, 2, 29)


@pytest.fixture(scope="module")
def january(world) -> Trained:
    return train(world, JANUARY, estimator="random_forest")


def test_january_is_trained_with_januarys_labels(january):
    """If a drop overwrote the labels of the one before, this would give 1,701 churners and an AUC of 0.62."""
    assert (january.rows, january.positives) == (7043, 1869)
    assert january.metrics["auc"] >= 0.80
    assert january.metrics["f1"] >= 0.58
    assert january.label_as_of.date() == JANUARY
    assert january.incomplete == {}


def test_the_scores_of_a_balanced_forest_are_probabilities_and_keep_their_order(world, january):
    """Without a curve it says 0.5 where 0.26 is true: its decile error is 0.08."""
    assert january.metrics["decile_error"] <= 0.02
    assert january.metrics["calibration_error_low"] <= january.metrics["calibration_error"] < 0.03
    bare = {"calibration": "none", "threshold": "0.5"}
    settings = world.model_copy(update={"training": world.training.model_copy(update=bare)})
    without = train(settings, JANUARY, estimator="random_forest")
    assert without.metrics["decile_error"] > 0.07
    assert abs(without.metrics["auc"] - january.metrics["auc"]) <= 0.002
    assert without.threshold == 0.5


def test_february_is_trained_with_februarys_labels(world):
    february = train(world, FEBRUARY, estimator="random_forest")
    assert (february.rows, february.positives) == (7043, 1701)
    assert 0.61 <= february.metrics["auc"] <= 0.65
    assert february.metrics["f1"] >= 0.41


def test_logistic_regression_finds_the_churners_of_both_months(world):
    """With a threshold of 0.5 it finds 6 % of those of February."""
    for as_of, least_f1, least_recall in ((JANUARY, 0.58, 0.6), (FEBRUARY, 0.41, 0.6)):
        trained = train(world, as_of, estimator="logistic_regression")
        assert trained.metrics["f1"] >= least_f1
        assert trained.metrics["recall"] >= least_recall


def test_a_horizon_of_one_is_a_forecast_of_the_next_drop(world, january):
    forecast = train(world, JANUARY, estimator="random_forest", horizon=1)
    assert (forecast.rows, forecast.positives) == (7043, 1701)
    assert 0.61 <= forecast.metrics["auc"] <= 0.65
    assert forecast.label_as_of.date() == FEBRUARY
    assert forecast.fingerprint != january.fingerprint
    with sdk.client(world.mlflow) as client:
        assert client.get_run(forecast.run_id).data.params["label_horizon"] == "1"


def test_the_same_training_twice_is_the_same_to_the_last_digit(world, january):
    """The number of threads makes no difference either."""
    single = world.model_copy(update={"training": world.training.model_copy(update={"threads": 1})})
    again = train(single, JANUARY, estimator="random_forest")
    assert again.fingerprint == january.fingerprint
    assert again.metrics == january.metrics
    assert again.version > january.version


def test_cross_validation_chooses_among_the_candidates(world):
    chosen = train(world, JANUARY)
    assert set(chosen.cross_validated) == set(world.training.estimators)
    assert chosen.estimator == max(chosen.cross_validated, key=lambda name: chosen.cross_validated[name])
    assert chosen.metrics["auc"] >= 0.80
    assert chosen.metrics["f1"] >= 0.58


def test_a_run_keeps_everything_a_person_asks_for_later(world, january, tmp_path):
    with sdk.client(world.mlflow) as client:
        run = client.get_run(january.run_id)
        folder = client.download_artifacts(january.run_id, "", str(tmp_path))
        version = client.get_model_version(world.mlflow.registered_model, str(january.version))
    assert run.data.params["as_of"] == "2024-01-31T00:00:00+00:00"
    assert run.data.params["known_at"] == january.known_at.isoformat()
    assert run.data.params["drop_ids"] == ",".join(january.drops)
    assert run.data.params["seed"] == "42"
    wanted = {"auc", "f1", "accuracy", "average_precision", "log_loss", "calibration_error", "train_seconds"}
    assert wanted <= set(run.data.metrics)
    files = {path.relative_to(folder).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    for name in ("roc", "precision_recall", "calibration", "confusion", "importance"):
        assert {f"plots/{name}.png", f"plots/{name}.json"} <= files
    assert {"training_set/training_set.parquet", "training_set/split.parquet", "feature_schema.json"} <= files
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".joblib"))]
    facts = json.loads((tmp_path / "training_set" / "fingerprint.json").read_text())
    assert facts["fingerprint"] == january.fingerprint == run.data.tags["streamflow.fingerprint"]
    made_by = json.loads((tmp_path / "model" / "lineage.json").read_text())
    assert made_by["streamflow.code.digest"] == run.data.tags["streamflow.code.digest"]
    shown = {name for name in version.tags if name.startswith("streamflow.")}
    assert shown == {f"streamflow.{name}" for name in ("manifest_sha256", "estimator", "as_of", "auc")}


@pytest.mark.parametrize(
    "estimator", ["random_forest", "logistic_regression", "gradient_boosting", "histogram_boosting"]
)
def test_nothing_but_the_training_set_of_a_run_holds_a_person(world, january, tmp_path, estimator):
    trained = january if estimator == "random_forest" else train(world, JANUARY, estimator=estimator)
    with sdk.client(world.mlflow) as client:
        client.download_artifacts(trained.run_id, "", str(tmp_path))
    frame = pd.read_parquet(tmp_path / "training_set" / "training_set.parquet")
    contract = Contract.from_json((tmp_path / "model" / "contract.json").read_text())
    golden = json.loads((tmp_path / "model" / "golden.json").read_text())
    people = {tuple(row) for row in raw_rows(contract.features, frame)}
    assert not {tuple(row) for row in golden["rows"]} & people
    counted = Counter(v for row in people for v in row if isinstance(v, float) and v != round(v, 2))
    values = {value for value, count in counted.items() if count < CROWD}
    assert len(values) > 1000
    # One pattern for all ids: an alternation of 7,043 takes minutes over the files of a forest.
    form, ids = re.compile(rb"\d{4}-[A-Z]{5}"), {key.encode() for key in frame[contract.join_key]}
    assert all(form.fullmatch(key) for key in ids)
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "training_set"]
    assert len(files) > 15
    for path in files:
        for content in contents(path):
            assert not ids.intersection(form.findall(content)), path
        if path.suffix == ".json" and path.parent.name != "plots":
            assert not set(numbers(json.loads(path.read_text()))) & values, path


def contents(path):
    """The content of a file; of a zip file, that of its members too."""
    yield path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist())


def numbers(document):
    """Every number anywhere in a JSON document."""
    if isinstance(document, dict):
        document = list(document.values())
    if isinstance(document, list):
        for item in document:
            yield from numbers(item)
    elif isinstance(document, (int, float)):
        yield document


def test_the_registered_model_is_an_ordinary_mlflow_model_on_raw_features(world, january, monkeypatch):
    import mlflow.pyfunc
    import mlflow.sklearn
    import pandas as pd

    monkeypatch.setenv("MLFLOW_TRACKING_URI", world.mlflow.tracking_uri)
    model = mlflow.sklearn.load_model(f"models:/{world.mlflow.registered_model}/{january.version}")
    with sdk.client(world.mlflow) as client:
        path = client.download_artifacts(january.run_id, "training_set/training_set.parquet")
    frame = pd.read_parquet(path)
    features = list(model.feature_names_in_)
    assert len(features) == 14
    assert model.predict_proba(frame[features].head(3)).shape == (3, 2)
    loaded = mlflow.pyfunc.load_model(f"models:/{world.mlflow.registered_model}/{january.version}")
    answered = loaded.predict(frame[features].head(500))
    assert list(answered.columns) == ["probability"]
    expected = model.predict_proba(frame[features].head(500))[:, 1]
    assert answered["probability"].to_numpy() == pytest.approx(expected, abs=1e-6)
    saved = loaded.metadata
    assert [(item.name, item.type.name) for item in saved.signature.outputs] == [("probability", "double")]
    assert set(loaded.input_example.columns) == set(features)
    assert len(loaded.predict(loaded.input_example)) == 5


def test_the_model_of_a_run_names_its_run_its_version_and_its_figures(world, january):
    with sdk.client(world.mlflow) as client:
        run = client.get_run(january.run_id)
        (output,) = run.outputs.model_outputs
        model = client.get_logged_model(output.model_id)
        experiment = client.get_experiment(run.info.experiment_id)
    assert (model.source_run_id, str(model.status)) == (january.run_id, "READY")
    assert json.loads(model.tags["mlflow.modelVersions"]) == [
        {"name": world.mlflow.registered_model, "version": str(january.version)}
    ]
    figures = {metric.key: metric.value for metric in model.metrics}
    assert january.metrics.items() <= figures.items()
    assert model.params["estimator"] == "random_forest"
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_correction_is_seen_from_now_on_and_not_before(world, january, realdata, tmp_path):
    """Must be the last test of this module that trains: it adds a drop to `world`."""
    first = train(world, JANUARY, estimator="logistic_regression")
    corrected = tmp_path / "corrected"
    corrected.mkdir()
    for file in (realdata / "month_000").iterdir():
        (corrected / file.name).write_bytes(file.read_bytes())
    header, *lines = (corrected / "labels.csv").read_text().splitlines()
    flipped = [
        line.replace("False", "True") if "False" in line else line.replace("True", "False")
        for line in lines[:40]
    ]
    (corrected / "labels.csv").write_text("\n".join([header, *flipped, *lines[40:], ""]))
    assert ingest_folder(world, corrected, JANUARY).changed

    old = train(world, JANUARY, known_at=first.known_at, estimator="logistic_regression")
    assert old.fingerprint == first.fingerprint == january.fingerprint
    assert old.metrics == first.metrics
    new = train(world, JANUARY, estimator="logistic_regression")
    assert new.fingerprint != first.fingerprint
    assert new.rows == 7043
    assert new.positives != first.positives


def test_no_frozen_schema_is_left_behind(world, january):
    with transaction(world.database) as connection:
        left = connection.execute(sa.text(r"SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'known\_%'"))
        assert left.scalar_one() == 0
