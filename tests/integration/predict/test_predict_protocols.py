"""The Open Inference Protocol with Triton's client, API keys, explanations, and generated requests."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import schemathesis
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from streamflow.http.api_keys import new_key

FEW = 300
CASES = int(os.environ.get("API_CASES", FEW))
OPERATIONS_WITH_MANY_REQUESTS = 9
CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture
def client(predict):
    made = triton.InferenceServerClient(str(predict.client.base_url.netloc, "ascii"))
    yield made
    made.close()


def tensor(keys, *, binary):
    made = triton.InferInput("user_id", [len(keys)], "BYTES")
    made.set_data_from_numpy(np.array(keys, dtype=object), binary_data=binary)
    return made


@pytest.mark.parametrize("binary", [False, True])
def test_tritons_client_gets_the_probabilities_that_predict_gives(simulated, predict, client, users, binary):
    name = simulated.mlflow.registered_model
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(name)
    assert client.is_model_ready(name, "1")
    assert client.get_model_metadata(name)["inputs"][0]["name"] == "user_id"
    outputs = [
        triton.InferRequestedOutput("probability", binary_data=binary),
        triton.InferRequestedOutput("prediction", binary_data=binary),
    ]
    answer = client.infer(name, [tensor(users[:5], binary=binary)], outputs=outputs, request_id="r-1")
    alone = [predict.predict(user).json() for user in users[:5]]
    assert answer.as_numpy("probability").tolist() == [item["probability"] for item in alone]
    assert answer.as_numpy("prediction").tolist() == [item["prediction"] for item in alone]
    assert answer.get_response()["model_version"] == "1"
    assert answer.get_response()["id"] == "r-1"


def test_the_protocol_refuses_a_request_with_a_user_that_has_no_features(simulated, client, users):
    with pytest.raises(InferenceServerException, match="missing_features"):
        client.infer(simulated.mlflow.registered_model, [tensor([users[0], "nobody"], binary=False)])
    with pytest.raises(InferenceServerException, match="The served model is version 1"):
        client.infer("another_model", [tensor([users[0]], binary=False)])
    with pytest.raises(InferenceServerException, match="The served model is version 1"):
        client.infer(
            simulated.mlflow.registered_model, [tensor([users[0]], binary=False)], model_version="99"
        )


def test_contributions_add_up_to_the_probability(predict, users):
    for user in users[:10]:
        answer = predict.client.post("/predict", params={"explain": "true"}, json={"user_id": user}).json()
        explanation = answer["explanation"]
        assert len(explanation["contributions"]) == 14
        total = explanation["reference_probability"] + math.fsum(explanation["contributions"].values())
        assert total == pytest.approx(answer["probability"], abs=1e-12)


@pytest.mark.fault("F34")
def test_with_a_file_of_keys_predictions_need_one_and_keys_can_be_rotated(
    simulated, start, users, tmp_path, production
):
    production(simulated, 1)
    file = tmp_path / "keys"
    old, old_line = new_key("shop", ["predict"])
    file.write_text(old_line)
    body = {"user_id": users[0]}
    with start(simulated, path="/readyz", STREAMFLOW_PREDICT__API_KEYS_FILE=str(file)) as service:

        def ask(key, path="/predict"):
            headers = {"authorization": f"Bearer {key}"} if key else {}
            if path == "/predict":
                return service.client.post(path, json=body, headers=headers)
            return service.client.get(path, headers=headers)

        for refused in (ask(None), ask("wrong")):
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
            assert refused.headers["www-authenticate"] == "Bearer"
        assert ask(old).status_code == 200
        forbidden = ask(old, f"/features/{users[0]}")
        assert (forbidden.status_code, forbidden.json()["code"]) == (403, "forbidden")
        for path in ("/health", "/metrics", "/openapi.json", "/readyz"):
            assert ask(None, path).status_code == 200
        new, new_line = new_key("shop", ["predict", "features"])
        file.write_text(f"{old_line}\n{new_line}\n")
        service.until(lambda: ask(new).status_code == 200)
        assert ask(old).status_code == 200
        assert ask(new, f"/features/{users[0]}").status_code == 200
        file.write_text(new_line)
        service.until(lambda: ask(old).status_code == 401)
        text = service.log.read_text()
        assert old not in text
        assert new not in text


def test_an_invalid_file_of_keys_stops_the_start_with_a_message(simulated, start, tmp_path):
    file = tmp_path / "keys"
    file.write_text("nonsense\n")
    with (
        pytest.raises(pytest.fail.Exception, match="Line 1 of the API keys"),
        start(simulated, STREAMFLOW_PREDICT__API_KEYS_FILE=str(file)),
    ):
        pass


def _operations(document):
    return [(method.upper(), path) for path, operations in document["paths"].items() for method in operations]


def test_every_operation_answers_a_good_request_as_the_document_says(predict, users):
    document = predict.client.get("/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=str(predict.client.base_url))
    for method, path in _operations(document):
        operation = schema[path][method]
        for case in _good_cases(operation, users, predict):
            response = case.call()
            assert response.status_code == 200, (method, path, response.text)
            case.validate_response(response)


def test_generated_requests_are_answered_as_the_document_says(simulated, predict, tmp_path):
    """Valid and invalid ones, `API_CASES` at least; no answer fails one of schemathesis' checks."""
    phases = "examples,coverage,fuzzing" + (",stateful" if CASES > FEW else "")
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "--config-file", CONFIG, "run"),
            str(predict.client.base_url).rstrip("/") + "/openapi.json",
            *("--checks", "all", "--phases", phases, "--continue-on-failure", "--seed", "7"),
            # The other operations have so few different requests that they hardly count.
            *("--max-examples", str(-(-CASES // OPERATIONS_WITH_MANY_REQUESTS))),
        ],
        env={**os.environ, "MODEL_NAME": simulated.mlflow.registered_model, "MODEL_VERSION": "1"},
        # Where it writes what it generated.
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    if CASES > FEW:
        sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    generated, passed = re.search(r"([\d,]+) generated, ([\d,]+) passed", done.stdout).groups()
    assert generated == passed
    assert int(generated.replace(",", "")) >= CASES


def _good_cases(operation, users, predict):
    """Requests as clients send them, so that the schemas of successful answers are checked too."""
    model = predict.client.get("/model").json()["served"]
    tensor = {"name": "user_id", "shape": [2], "datatype": "BYTES", "data": users[:2]}
    bodies = {
        "/predict": {"user_id": users[0]},
        "/predict/batch": {"user_ids": [*users[:3], "nobody"]},
        "/v2/models/{model_name}/infer": {"inputs": [tensor]},
        "/v2/models/{model_name}/versions/{model_version}/infer": {"inputs": [tensor]},
    }
    values = {"user_id": users[0], "model_name": model["name"], "model_version": str(model["version"])}
    path = {name: value for name, value in values.items() if f"{{{name}}}" in operation.path}
    queries = [{}, {"features": True, "explain": True}] if operation.path == "/predict" else [{}]
    made = {"path_parameters": path} if path else {}
    if operation.path in bodies:
        made |= {"body": bodies[operation.path], "media_type": "application/json"}
    return [operation.Case(query=query, **made) for query in queries]
