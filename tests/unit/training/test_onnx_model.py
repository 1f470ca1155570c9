"""The code that a version carries loads its ONNX model where neither StreamFlow nor scikit-learn is installed."""

import json
import subprocess
import sys
from dataclasses import asdict

import pytest
from people import FEATURES, people
from sklearn.tree import DecisionTreeClassifier

from streamflow.model_version import files
from streamflow.training import package
from streamflow.training.fit import build_pipeline
from streamflow.training.runtime import compile_classifier

ELSEWHERE = """
import importlib, json, sys
folder, loader, frames = sys.argv[1:]
for name in ("streamflow", "sklearn", "mlflow"):
    sys.modules[name] = None
sys.path.insert(0, folder + "/code")
import pandas as pd
model = importlib.import_module(loader)._load_pyfunc(folder)
for path in json.loads(frames):
    try:
        print(json.dumps(model.predict(pd.read_pickle(path)).to_dict("list")))
    except ValueError as error:
        print(json.dumps(str(error)))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What another process answers for people, for an unknown region and for an absent fee; and what is right."""
    folder = tmp_path_factory.mktemp("version")
    x, y = people()
    pipeline = build_pipeline(FEATURES, DecisionTreeClassifier(max_depth=5, random_state=3)).fit(x, y)
    (folder / files.ONNX).write_bytes(compile_classifier(pipeline, FEATURES, x).model)
    contract = {"features": [asdict(feature) for feature in FEATURES]}
    (folder / files.CONTRACT).write_text(json.dumps(contract))
    package.write_code(folder / files.CODE)
    asked = [x[reversed(x.columns)], x.assign(region="east"), x.assign(fee=x["fee"].where(x.index != 3))]
    paths = [str(folder / f"{number}.pickle") for number in range(len(asked))]
    for frame, path in zip(asked, paths, strict=True):
        frame.to_pickle(path)
    command = [sys.executable, "-c", ELSEWHERE, str(folder), package.loader(), json.dumps(paths)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, timeout=60)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], pipeline.predict_proba(x)[:, 1]


def test_it_answers_what_the_estimator_does_whatever_the_order_of_the_columns(answers):
    assert answers[0][0]["probability"] == pytest.approx(answers[1], abs=1e-6)


def test_it_refuses_what_the_model_cannot_take(answers):
    assert answers[0][1:] == [
        "600 rows have a category that the model does not know.",
        "fee is null in 1 rows.",
    ]
