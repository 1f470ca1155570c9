"""Another entity, other tables, views and labels, on the same platform: nothing in it knows churn."""

from __future__ import annotations

import ast
import csv
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from datetime import date
from pathlib import Path

import feast
import numpy as np
import pytest
import sqlalchemy as sa

from streamflow import settings as settings_module
from streamflow.apply import apply
from streamflow.audit.reproduce.rerun import reproduce
from streamflow.challenger import train
from streamflow.gate.decision import promote_through_gate
from streamflow.jobs.ingest import ingest_folder
from streamflow.jobs.materialize import materialize
from streamflow.jobs.score import score_as_of
from streamflow.local import home, processes
from streamflow.postgres.engine import transaction
from streamflow.repo import definitions, feast_config

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MONTHS = (date(2025, 5, 31), date(2025, 6, 30))
TURBINES = 400
NO_MOORINGS, NO_VIBRATION = "T-0001", "T-0007"


def write_drops(folder: Path) -> list[Path]:
    """Two months; a turbine with strong vibration fails in the month after."""
    rng = np.random.default_rng(5)
    rotor = rng.uniform(80, 240, TURBINES)
    foundation = rng.choice(["land", "monopile", "floating"], TURBINES)
    foundation[1] = "land"
    fails = np.zeros(TURBINES, dtype=bool)
    made = []
    for month in MONTHS:
        vibration = rng.gamma(2.0, 1.5, TURBINES)
        tables: dict[str, list[list[object]]] = {"turbines": [], "sensors": [], "failures": []}
        for i in range(TURBINES):
            key = f"T-{i:04d}"
            moorings = int(rng.integers(3, 9)) if foundation[i] == "floating" else ""
            strain = "" if key == NO_VIBRATION else float(vibration[i])
            tables["turbines"].append([key, float(rotor[i]), str(foundation[i]), moorings])
            tables["sensors"].append([key, strain, int(rng.poisson(2)), bool(rng.random() < 0.2)])
            tables["failures"].append([key, bool(fails[i])])
        headers = {
            "turbines": ["turbine_id", "rotor_m", "foundation", "moorings"],
            "sensors": ["turbine_id", "vibration_mm_s", "hot_starts", "icing"],
            "failures": ["turbine_id", "failed"],
        }
        target = folder / month.isoformat()
        target.mkdir(parents=True)
        for name, rows in tables.items():
            with (target / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([headers[name], *rows])
        fails = rng.random(TURBINES) < 1 / (1 + np.exp(-2.0 * (vibration - 4.0)))
        made.append(target)
    return made


@pytest.fixture
def windpark(settings, mlflow_server, monkeypatch):
    for name, value in {
        "FEAST__REPO": str(HERE),
        "PREDICT__JOIN_KEY": "turbine_id",
        "MLFLOW__REGISTERED_MODEL": "turbine_failures",
        "TRAINING__ESTIMATORS": '["small_forest", "both", "nearest"]',
        "PREDICT__POLL_SECONDS": "0.2",
        "PREDICT__DRAIN_SECONDS": "0",
    }.items():
        monkeypatch.setenv(f"STREAMFLOW_{name}", value)
    return settings_module.load(home=settings.home)


class Service:
    """The predict service as a process, and what it answers."""

    def __init__(self, settings, folder: Path) -> None:
        self.log = folder / "predict.log"
        with home.choosing_ports():
            port = home.free_port(18500)
            self.process = processes.launch(
                (sys.executable, "-m", "streamflow", "serve", "predict"),
                log=self.log,
                port=port,
                environment={
                    **{k: v for k, v in os.environ.items() if not k.startswith("PROMETHEUS_MULTIPROC")},
                    "STREAMFLOW_HOME": str(settings.home),
                    "STREAMFLOW_PREDICT__PORT": str(port),
                },
            )
            self.url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 90
            while self.ask("/readyz")[0] != 200:
                if time.monotonic() > deadline or not processes.alive(self.process):
                    self.stop()
                    pytest.fail("predict is not ready:\n" + "\n".join(processes.last_lines(self.log)))
                time.sleep(0.1)

    def stop(self) -> None:
        processes.stop(self.process, first=signal.SIGTERM, grace_seconds=10)

    def ask(self, path: str, document: object = None) -> tuple[int, dict]:
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, {}


def test_another_feature_repo_goes_from_drops_to_predictions(windpark, tmp_path):
    applied = apply(windpark)
    assert (applied.project, set(applied.feature_views)) == ("windpark", {"design_fv", "strain_fv"})
    folders = write_drops(tmp_path / "drops")
    for month, folder in zip(MONTHS, folders, strict=True):
        done = ingest_folder(windpark, folder, month)
        assert done.accepted == dict.fromkeys(("turbines", "sensors", "failures"), TURBINES)
    assert {view.feature_view: view.entities for view in materialize(windpark).views} == {
        "design_fv": TURBINES,
        "strain_fv": TURBINES,
    }

    # The label is the next drop's, and a turbine without a required value teaches nothing.
    trained = train(windpark, MONTHS[0])
    with transaction(windpark.database) as connection:
        failed = connection.execute(
            sa.text(
                "SELECT count(*) FROM features.failure_snapshots WHERE failed AND as_of = :d AND turbine_id <> :k"
            ),
            {"d": MONTHS[1], "k": NO_VIBRATION},
        ).scalar_one()
    assert (trained.rows, trained.positives) == (TURBINES - 1, failed)
    assert trained.incomplete == {"vibration_mm_s": 1}
    assert trained.label_as_of.date() == MONTHS[1]
    assert trained.metrics["auc"] > 0.8
    assert (trained.estimator, set(trained.left_out)) == ("both", {"nearest"})
    assert (
        reproduce(windpark.backends, windpark.training, windpark.build, trained.run_id).verdict
        == "reproduced"
    )

    for alias in ("staging", "production"):
        promote_through_gate(
            windpark.backends,
            windpark.promotion,
            trained.version,
            alias,
            why="a test",
            by="tests",
            expected=None,
        )
    scored = score_as_of(windpark)
    assert (scored.model, scored.scored) == ("turbine_failures", TURBINES - 1)
    assert scored.refused == {"null_values": 1}

    service = Service(windpark, tmp_path)
    try:
        _answers(service, windpark, folders[1])
    finally:
        service.stop()


def _answers(service: Service, windpark, newest: Path) -> None:
    status, answer = service.ask("/predict", {"turbine_id": NO_MOORINGS})
    assert status == 200, answer
    assert answer["turbine_id"] == NO_MOORINGS
    assert answer["model"] == {"name": "turbine_failures", "version": 1}
    with transaction(windpark.database) as connection:
        batch = connection.execute(
            sa.text("SELECT probability FROM streamflow.scores WHERE entity = :k"), {"k": NO_MOORINGS}
        ).scalar_one()
    assert np.float32(batch) == np.float32(answer["probability"])

    status, problem = service.ask("/predict", {"turbine_id": NO_VIBRATION})
    assert (status, problem["code"]) == (422, "missing_features")
    assert problem["features"] == ["strain_fv:vibration_mm_s"]
    status, problem = service.ask("/predict", {"turbine_id": "T-9999"})
    assert (status, problem["reason"]) == (404, "unknown_entity")
    assert len(problem["features"]) == 6
    # The word of the other problem is unknown here.
    assert service.ask("/predict", {"user_id": NO_MOORINGS})[0] == 422

    keys = [f"T-{i:04d}" for i in range(TURBINES)]
    status, batch = service.ask("/predict/batch", {"turbine_ids": keys})
    assert status == 200
    assert [item["turbine_id"] for item in batch["predictions"] if "problem" in item] == [NO_VIBRATION]

    held = service.ask(f"/features/{NO_MOORINGS}")[1]["features"]
    with (newest / "sensors.csv").open(encoding="utf-8") as file:
        sensors = next(row for row in csv.DictReader(file) if row["turbine_id"] == NO_MOORINGS)
    values = {name: item["value"] for name, item in held.items()}
    assert values["vibration_mm_s"] == float(sensors["vibration_mm_s"])
    assert values["hot_starts"] == int(sensors["hot_starts"])
    assert values["icing"] is (sensors["icing"] == "True")
    assert (values["foundation"], values["moorings"]) == ("land", None)
    store = feast.FeatureStore(config=feast_config.read(windpark.feast.repo, windpark.database))
    read = store.get_online_features(
        features=store.get_feature_service("failure_v3"), entity_rows=[{"turbine_id": NO_MOORINGS}]
    ).to_dict()
    assert {name: read[name][0] for name in values} == values


def test_no_module_names_a_column_a_view_or_a_service_of_the_feature_repo():
    repo = definitions.load(ROOT / "feature_repo")
    names = {column.name for table in repo.tables for column in table.columns}
    names |= {table.snapshots for table in repo.tables}
    names |= {view.name for view in repo.feature_views} | {view.name for view in repo.feature_services}
    assert len(names) > 30
    found = []
    for module in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in names:
                found.append(f"{module.relative_to(ROOT)}:{node.lineno}: {node.value}")
    assert found == []
