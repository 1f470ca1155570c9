"""The candidates of a training are runs below it in MLflow, and nothing that walks over runs stumbles over them."""

import shutil

import numpy as np
import pytest

from conftest import small_training_set
from streamflow.audit.reproduce import recorded_run
from streamflow.errors import NotFound
from streamflow.forget import runs as forget
from streamflow.mlflow_api import sdk
from streamflow.mlflow_api.transport import registry
from streamflow.postgres import clock
from streamflow.repo import definitions
from streamflow.training import fit
from streamflow.training.record import record

ESTIMATORS = """
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

ESTIMATORS = {
    "stump": lambda seed: DecisionTreeClassifier(max_depth=1, random_state=seed),
    "tree": lambda seed: DecisionTreeClassifier(max_depth=2, random_state=seed),
    "neighbours": lambda seed: KNeighborsClassifier(),
}
"""


@pytest.fixture
def trained(settings, mlflow_server, tmp_path):
    """The run of a training that chose among three candidates, what was fitted, and the runs below it by name."""
    folder = shutil.copytree(settings.feast.repo, tmp_path / "feature_repo")
    (folder / "estimator.py").write_text(ESTIMATORS)
    repo = definitions.load(folder)
    data, training = (
        small_training_set(),
        settings.training.model_copy(update={"estimators": ("stump", "tree", "neighbours")}),
    )
    fitted = fit.fit(repo, data.features, data.x, data.y.to_numpy(), data.frame[data.key], training)
    run = record(settings.mlflow, training, settings.build, repo, data, fitted, [], clock.machine())
    with sdk.client(settings.mlflow) as client:
        experiment = client.get_run(run.run_id).info.experiment_id
        found = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{run.run_id}'")
    return run, fitted, {item.info.run_name.removeprefix("candidate "): item for item in found}


def test_each_candidate_has_a_run_with_its_figures_and_one_left_out_says_why(settings, trained):
    _, fitted, below = trained
    assert {name: run.info.status for name, run in below.items()} == {
        "stump": "FINISHED",
        "tree": "FINISHED",
        "neighbours": "FAILED",
    }
    assert {name: below[name].data.metrics["cv_auc"] for name in ("stump", "tree")} == fitted.cross_validated
    assert below["tree"].data.params["estimator.max_depth"] == "2"
    with sdk.client(settings.mlflow) as client:
        folds = client.get_metric_history(below["tree"].info.run_id, "auc_of_fold")
    assert [item.step for item in folds] == list(range(settings.training.folds))
    assert np.mean([item.value for item in folds]) == pytest.approx(fitted.cross_validated["tree"])
    said = {name: run.data.tags["mlflow.note.content"] for name, run in below.items()}
    assert said["neighbours"].startswith("Left out, because it cannot be served: ")
    assert said[fitted.estimator].endswith("It was chosen.")


def test_a_candidate_is_not_reproduced_and_the_answer_names_the_training(settings, trained):
    run, _, below = trained
    with pytest.raises(NotFound) as refused:
        recorded_run.read(settings.mlflow, below["stump"].info.run_id)
    assert f"whose run is {run.run_id}" in refused.value.hint


def test_an_erasure_walks_over_candidates_and_counts_the_training(settings, trained):
    run, _, below = trained
    wanted = forget.Wanted(lambda key: key == "u0007", "u0007", "")
    with registry(settings.mlflow) as client:
        found = forget.erase(settings.database, settings.mlflow, client, wanted)
    assert found.rows[run.run_id] == 1
    assert not found.rows.keys() & {item.info.run_id for item in below.values()}
    assert not found.left
