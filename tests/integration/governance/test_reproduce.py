"""Runs are repeated after data, code or threads have changed.

The tests run in this order: each moves the data of `world` a bit further.
"""

import getpass
import io
import json
import os
import shutil
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa
from mlflow.data import get_source

from streamflow.audit.reproduce.rerun import reproduce
from streamflow.challenger import train
from streamflow.drops import ledger
from streamflow.errors import NotFound
from streamflow.jobs.ingest import ingest_folder
from streamflow.mlflow_api import sdk
from streamflow.model_version.contract import drops_digest
from streamflow.postgres import clock
from streamflow.postgres.engine import transaction
from streamflow.registry import versions

ROOT = Path(__file__).resolve().parents[3]
JANUARY, MARCH = date(2024, 1, 31), date(2024, 3, 31)


@pytest.fixture(scope="module")
def small(world):
    """The world, with one candidate for cross-validation."""
    training = world.training.model_copy(update={"estimators": ("logistic_regression",)})
    return world.model_copy(update={"training": training})


@pytest.fixture(scope="module")
def january(small):
    return train(small, JANUARY)


def verdicts(done):
    return {layer.name: layer.verdict for layer in done.layers}


def lines(done, name):
    return next(layer.lines for layer in done.layers if layer.name == name)


SAME = {"data": "same", "code": "same", "environment": "same", "result": "same"}


def test_a_run_is_reproduced_to_the_last_bit(small, january):
    done = reproduce(small.backends, small.training, small.build, january.run_id)
    assert verdicts(done) == SAME
    assert (done.verdict, done.exit_code, done.trained_on) == ("reproduced", 0, "rebuilt")
    assert done.fingerprint == january.fingerprint
    assert "figures and" in lines(done, "result")[0]


def test_the_page_of_a_run_shows_who_trained_it_for_how_long_and_on_which_data(small, january):
    with sdk.client(small.mlflow) as client:
        run = client.get_run(january.run_id)
    tags = run.data.tags
    assert (tags["mlflow.user"], tags["mlflow.source.name"]) == (getpass.getuser(), "streamflow train")
    assert tags["mlflow.source.type"] == "LOCAL"
    assert tags.get("mlflow.source.git.commit", "") == tags["streamflow.code.commit"]
    said = tags["mlflow.note.content"]
    known = f"as known at {january.known_at:%Y-%m-%d %H:%M:%S} UTC"
    assert f"logistic_regression as of 2024-01-31, on the labels of 2024-01-31, {known}" in said
    assert f"{january.rows:,} rows, {january.positives:,} positive, AUC {january.metrics['auc']:.4f}" in said
    # A training takes its known-at first: reading and cross-validation count, too.
    assert run.info.start_time <= january.known_at.timestamp() * 1000 < run.info.end_time
    (used,) = run.inputs.dataset_inputs
    assert {tag.key: tag.value for tag in used.tags} == {"mlflow.data.context": "training"}
    assert (used.dataset.name, used.dataset.digest) == (
        "training set as of 2024-01-31",
        january.fingerprint[8:],
    )
    facts = get_source(used).to_dict()["tags"]
    assert (facts["known_at"], facts["fingerprint"]) == (january.known_at.isoformat(), january.fingerprint)
    assert json.loads(used.dataset.profile)["num_rows"] == january.rows
    columns = {item["name"] for item in json.loads(used.dataset.schema)["mlflow_colspec"]}
    assert {"user_id", "months_active", "label"} <= columns


def test_a_forest_is_reproduced_on_another_number_of_threads(world):
    forest = train(world, JANUARY, estimator="random_forest")
    threads = world.training.threads
    other = world.model_copy(update={"training": world.training.model_copy(update={"threads": threads + 1})})
    done = reproduce(other.backends, other.training, other.build, forest.run_id)
    assert verdicts(done) == SAME
    line = f"training.threads: {threads} then, {threads + 1} now (harmless by itself)"
    assert line in lines(done, "environment")
    assert not [
        line
        for line in lines(
            reproduce(world.backends, world.training, world.build, forest.run_id), "environment"
        )
        if "threads" in line
    ]


def flipped(content):
    """The content with a byte in the middle changed."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


def relabelled(content):
    frame = pd.read_parquet(io.BytesIO(content))
    frame["label"] = ~frame["label"]
    return frame.to_parquet(index=False)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (None, "is missing"),
        (lambda content: content[:5000], "cannot be read"),
        (relabelled, "not the one it was trained on"),
    ],
)
def test_a_run_is_reproduced_from_the_database_when_its_stored_rows_cannot_be_used(
    small, january, spoilt, change, says
):
    with spoilt(small, january.run_id, "training_set/training_set.parquet", change):
        done = reproduce(small.backends, small.training, small.build, january.run_id)
    assert verdicts(done) == SAME
    assert (done.exit_code, done.trained_on) == (0, "rebuilt")
    (line,) = [
        line for line in lines(done, "data") if line.startswith("The training set that the run stored")
    ]
    assert says in line


def command(settings, run_id, **variables):
    done = subprocess.run(
        ["streamflow", "reproduce", run_id, "--json"],
        env={**os.environ, "STREAMFLOW_HOME": str(settings.home), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    document = json.loads(done.stdout)
    assert done.returncode == document["exit_code"], done.stderr
    return document


@pytest.mark.parametrize("change", [None, lambda content: content[:50], flipped])
def test_nothing_can_be_told_from_a_contract_that_was_changed(small, january, spoilt, change):
    with spoilt(small, january.run_id, "model/contract.json", change):
        document = command(small, january.run_id)
    assert (document["verdict"], document["exit_code"]) == ("cannot tell", 4)
    layers = {layer["name"]: layer for layer in document["layers"]}
    assert {name: layer["verdict"] for name, layer in layers.items()} == SAME | {
        "data": "unknown",
        "result": "unknown",
    }
    assert layers["data"]["lines"][0].startswith("contract.json is ")


def test_changed_golden_rows_do_not_count_as_a_different_result(small, january, spoilt):
    def moved(content):
        golden = json.loads(content)
        golden["probabilities"][0] += 0.1
        return json.dumps(golden).encode()

    with spoilt(small, january.run_id, "model/golden.json", moved):
        done = reproduce(small.backends, small.training, small.build, january.run_id)
    assert verdicts(done) == SAME | {"result": "unknown"}
    assert (done.verdict, done.exit_code) == ("cannot tell", 4)
    assert lines(done, "result")[0].startswith("golden.json is not the one that was recorded")


def test_a_forged_manifest_is_not_the_registered_one(small, january, spoilt):
    def other(content):
        manifest = json.loads(content)
        manifest["files"]["golden.json"] = "0" * 64
        return json.dumps(manifest).encode()

    with spoilt(small, january.run_id, "model/manifest.json", other):
        done = reproduce(small.backends, small.training, small.build, january.run_id)
    assert done.exit_code == 4
    assert "manifest.json is not the one that was recorded" in lines(done, "data")[0]


@pytest.mark.parametrize(
    ("now", "says"),
    [("max_iter=-5", "InvalidParameterError"), ("max_iter=1000, nonsense=1", "TypeError")],
)
def test_an_estimator_that_raises_now_is_reported_and_does_not_count_as_a_difference(
    small, january, tmp_path, now, says
):
    changed = with_repo(small, tmp_path, "estimator.py", "max_iter=1000", now)
    done = reproduce(changed.backends, changed.training, changed.build, january.run_id)
    assert verdicts(done) == SAME | {"code": "differs", "result": "unknown"}
    assert done.exit_code == 4
    assert lines(done, "result")[0].startswith(f"It cannot be trained again: {says}")


def test_an_unexpected_failure_does_not_count_as_a_difference(small, january):
    with sdk.client(small.mlflow) as client:
        experiment = client.get_experiment_by_name(small.mlflow.experiment).experiment_id
        run_id = client.create_run(experiment).info.run_id
        client.log_param(run_id, "label_horizon", "soon")
        client.log_param(run_id, "split_digest", "none")
        client.log_text(run_id, "{}", "model/manifest.json")
    document = command(small, run_id)
    assert (document["verdict"], document["exit_code"]) == ("cannot tell", 4)
    assert {layer["verdict"] for layer in document["layers"]} == {"unknown"}
    assert "ValueError" in document["layers"][0]["lines"][0]
    silent = command(small, january.run_id, STREAMFLOW_MLFLOW__TRACKING_URI="http://127.0.0.1:9")
    assert (silent["verdict"], silent["exit_code"]) == ("cannot tell", 4)


def test_every_drop_of_a_version_is_shown_with_its_full_digest(small, january, monkeypatch):
    from typer.testing import CliRunner

    from streamflow.cli.main import app

    monkeypatch.setenv("STREAMFLOW_HOME", str(small.home))
    monkeypatch.setenv("COLUMNS", "200")

    def show(*words):
        result = CliRunner().invoke(app, ["models", "show", str(january.version), *words])
        assert result.exception is None, result.exception
        return result.output

    with transaction(small.database) as connection:
        known = {
            drop.drop_id: drop.digest for drop in ledger.entries(connection, clock.known_now(connection))
        }
    wanted = [{"drop_id": drop_id, "digest": known[drop_id]} for drop_id in january.drops]
    document = json.loads(show("--json"))
    assert document["drops"] == wanted
    assert document["params"]["drops_digest"] == drops_digest(wanted)
    text = show()
    assert all(drop["digest"] in text for drop in wanted)


def test_drops_that_are_not_the_recorded_ones_are_not_shown(small, january, spoilt):
    held = versions.get(small.mlflow, january.version)
    digest = versions.run_of(small.mlflow, held)["params"]["drops_digest"]

    def other(content):
        facts = json.loads(content)
        facts["drops"][0]["digest"] = "0" * 64
        return json.dumps(facts).encode()

    assert versions.drops_of(small.mlflow, held, digest) is not None
    for change in (other, lambda content: content[:20], None):
        with spoilt(small, january.run_id, "training_set/fingerprint.json", change):
            assert versions.drops_of(small.mlflow, held, digest) is None
            assert (
                "cannot be read"
                in lines(reproduce(small.backends, small.training, small.build, january.run_id), "data")[1]
            )


def test_settings_that_changed_since_do_not_matter(small, january):
    training = small.training.model_copy(
        update={"seed": 7, "holdout_share": 0.4, "folds": 3, "threshold": "0.3", "calibration": "none"}
    )
    assert (
        reproduce(
            small.backends,
            training,
            small.build,
            january.run_id,
        ).verdict
        == "reproduced"
    )


def test_a_forest_of_a_sample_says_so_and_is_reproduced_with_the_same_sample(small):
    few = small.training.model_copy(update={"forest_rows": 200})
    trained = train(small.model_copy(update={"training": few}), JANUARY, estimator="random_forest")
    with sdk.client(small.mlflow) as client:
        run = client.get_run(trained.run_id).data
    assert run.params["learned_rows"] == "200"
    assert "It learned from 200 of " in run.tags["mlflow.note.content"]
    again = reproduce(small.backends, small.training, small.build, trained.run_id)
    assert again.verdict == "reproduced"


def test_another_version_of_a_library_is_named_in_text_and_in_json(small, january, tmp_path):
    """A second environment: the same packages with an older scikit-learn before them."""
    overlay = tmp_path / "overlay"
    install = [
        "uv",
        "pip",
        "install",
        "-q",
        "--python",
        sys.executable,
        "--no-deps",
        "--target",
        str(overlay),
    ]
    if subprocess.run([*install, "scikit-learn==1.8.0"], capture_output=True, check=False).returncode:
        pytest.skip("scikit-learn 1.8.0 cannot be installed here")
    done = subprocess.run(
        ["streamflow", "reproduce", january.run_id, "--json"],
        env={**os.environ, "STREAMFLOW_HOME": str(small.home), "PYTHONPATH": str(overlay)},
        capture_output=True,
        text=True,
        check=False,
    )
    document = json.loads(done.stdout)
    layers = {layer["name"]: layer for layer in document["layers"]}
    assert done.returncode == document["exit_code"]
    assert layers["environment"]["verdict"] == "differs"
    assert f"scikit-learn: {version('scikit-learn')} then, 1.8.0 now" in layers["environment"]["lines"]
    assert (layers["data"]["verdict"], layers["code"]["verdict"]) == ("same", "same")
    assert layers["result"]["verdict"] in ("same", "differs")


def test_a_run_of_one_clone_is_reproduced_in_it_and_in_another_clone(small, tmp_path):
    """Trained in one clone; repeated there, and in a second clone in a folder of another name."""
    clones = [tmp_path / "a" / "streamflow", tmp_path / "b" / "elsewhere"]
    for clone in clones:
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True, capture_output=True)

    def streamflow(clone, *arguments):
        done = subprocess.run(
            ["streamflow", *arguments, "--json"],
            cwd=clone,
            env={
                **os.environ,
                "STREAMFLOW_HOME": str(small.home),
                "STREAMFLOW_FEAST__REPO": str(clone / "feature_repo"),
                "PYTHONPATH": str(clone / "src"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    trained = streamflow(clones[0], "train", "--as-of", "2024-01-31", "--estimator", "logistic_regression")
    for clone in clones:
        document = streamflow(clone, "reproduce", trained["run_id"])
        assert {layer["name"]: layer["verdict"] for layer in document["layers"]} == SAME
        assert (document["verdict"], document["fingerprint"]) == ("reproduced", trained["fingerprint"])


def with_repo(settings, tmp_path, file, old, new):
    folder = tmp_path / "feature_repo"
    shutil.copytree(settings.feast.repo, folder, ignore=shutil.ignore_patterns("__pycache__"))
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    return settings.model_copy(update={"feast": settings.feast.model_copy(update={"repo": folder})})


def test_a_hyperparameter_that_changed_is_named(small, january, tmp_path):
    changed = with_repo(small, tmp_path, "estimator.py", "max_iter=1000", "max_iter=1000, C=0.01")
    done = reproduce(changed.backends, changed.training, changed.build, january.run_id)
    assert verdicts(done) == SAME | {"code": "differs", "result": "differs"}
    assert done.exit_code == 1
    assert "feature_repo/estimator.py: changed" in lines(done, "code")
    assert "estimator.logisticregression__C: 1.0 then, 0.01 now" in lines(done, "code")
    assert any("golden rows differ" in line for line in lines(done, "result"))


def test_a_changed_feature_definition_is_named_and_the_stored_training_set_is_used(small, january, tmp_path):
    changed = with_repo(
        small,
        tmp_path,
        "feature_views.py",
        '        _feature("skips_7d", Int64, unit="titles", window="7 days"),\n',
        "",
    )
    done = reproduce(changed.backends, changed.training, changed.build, january.run_id)
    assert verdicts(done) == {"data": "differs", "code": "differs", "environment": "same", "result": "same"}
    assert "feature_repo/feature_views.py: changed" in lines(done, "code")
    assert "column skips_7d: not there now" in lines(done, "data")
    assert done.trained_on == "stored"


def test_a_corrected_drop_does_not_affect_an_earlier_run(small, january, realdata, tmp_path):
    corrected = tmp_path / "corrected"
    shutil.copytree(realdata / "month_000", corrected)
    labels = corrected / "labels.csv"
    labels.write_text(
        labels.read_text().replace("True", "maybe").replace("False", "True").replace("maybe", "False")
    )
    assert ingest_folder(small, corrected, JANUARY).changed
    assert train(small, JANUARY, estimator="logistic_regression").fingerprint != january.fingerprint
    assert verdicts(reproduce(small.backends, small.training, small.build, january.run_id)) == SAME


def test_a_late_drop_does_not_affect_an_earlier_run(small, january, realdata):
    """A drop of a date before the run's as-of, which arrives after it."""
    assert ingest_folder(small, realdata / "month_001", date(2024, 1, 15)).changed
    assert verdicts(reproduce(small.backends, small.training, small.build, january.run_id)) == SAME


def test_deleted_rows_are_named_and_the_stored_training_set_is_used(small, january):
    with transaction(small.database) as connection:
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        connection.execute(sa.text("DELETE FROM source.labels WHERE user_id IN ('0002-ORFBO', '0003-MKNFE')"))
        connection.execute(
            sa.text("UPDATE source.usage_agg_30d SET skips_7d = skips_7d + 1 WHERE user_id = '0004-TLHLJ'")
        )
    done = reproduce(small.backends, small.training, small.build, january.run_id)
    assert verdicts(done) == SAME | {"data": "differs"}
    assert (done.exit_code, done.trained_on) == (1, "stored")
    text = " ".join(lines(done, "data"))
    assert "2 rows are missing now: 0002-ORFBO, 0003-MKNFE" in text
    assert "skips_7d differs in 1 rows" in text
    assert "0004-TLHLJ" in text
    # A training today would differ; the recorded one can still be repeated.
    assert "are equal to the last bit" in lines(done, "result")[0]


def test_a_run_that_does_not_exist_is_not_found(small, january):
    with pytest.raises(NotFound):
        reproduce(small.backends, small.training, small.build, "0" * 32)
