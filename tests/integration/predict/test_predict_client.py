"""The client, and the documentation's curl, against the real predict service."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from streamflow.client import PredictClient, RequestRefused, Unavailable, UnknownEntity

PAGE = Path(__file__).parents[3] / "docs" / "serving.md"


@pytest.fixture
def client(predict):
    with PredictClient(str(predict.client.base_url)) as opened:
        yield opened


def test_every_answer_of_the_service_is_read(client, predict, users):
    answer = client.predict(users[0], features=True, explain=True, request_id="mine")
    assert 0 <= answer.probability <= 1
    assert (answer.entity, answer.request_id, answer.model.version) == (users[0], "mine", 1)
    assert client.features(users[0]).features.keys() == answer.features.keys()
    contributions = sum(answer.explanation.contributions.values())
    assert answer.explanation.reference_probability + contributions == pytest.approx(answer.probability)

    batch = client.predict_batch([users[0], "nobody"])
    assert batch.predictions[0].probability == answer.probability
    assert batch.predictions[1].problem.reason == "unknown_entity"

    model = client.model()
    assert (model.served.version, model.refused, model.trials) == (1, None, {})
    assert {feature.name for feature in model.served.features} == answer.features.keys()
    assert (client.health().status, client.ready()) == ("ok", True)


def test_problems_of_the_service_are_exceptions(client, predict):
    with pytest.raises(UnknownEntity) as unknown:
        client.predict("nobody", request_id="mine")
    assert (unknown.value.problem.reason, unknown.value.problem.request_id) == ("unknown_entity", "mine")
    with pytest.raises(RequestRefused) as refused:
        client.predict("")
    assert refused.value.code == "bad_request"


def test_a_service_without_a_model_is_unavailable(simulated, start):
    with start(simulated, STREAMFLOW_MLFLOW__REGISTERED_MODEL="nobody_trained_this") as service:
        url = str(service.client.base_url)
        with PredictClient(url, retries=0) as client:
            assert client.ready() is False
            assert client.health().status == "unavailable"
            with pytest.raises(Unavailable) as caught:
                client.predict("anybody")
    assert (caught.value.code, caught.value.retry_after) == ("model_unavailable", 2)


def test_the_example_in_the_documentation_works(predict, users, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    example = example.replace("http://127.0.0.1:8000", str(predict.client.base_url))
    for user, printed in (
        (users[0], r"0\.\d+ 1 {.*}"),
        ("nobody", r"The online store has no features of .*"),
    ):
        exec(compile(example.replace("7590-VHVEG", user), str(PAGE), "exec"), {})
        assert re.fullmatch(printed, capsys.readouterr().out.strip())


def curl_commands():
    """The page's curl commands, one a line."""
    (block,) = re.findall(r"```bash\n(# Predictions.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [line for line in block.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]


def operation(document, command):
    """The operation of the OpenAPI document that a command calls."""
    words = shlex.split(command)
    method = "head" if "--head" in words else "post" if "-d" in words else "get"
    (path,) = re.findall(
        r"http://127\.0\.0\.1:8000(/[^? ]*)", words[-1] if method == "head" else " ".join(words)
    )
    for template in sorted(document["paths"], key=lambda item: item.count("{")):
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path) and method in document["paths"][template]:
            return method, template
    return method, path


def test_the_pages_curl_commands_call_every_operation(simulated, predict, users):
    document = predict.client.get("/openapi.json").json()
    called = {operation(document, command) for command in curl_commands()}
    told = {(method, path) for path, operations in document["paths"].items() for method in operations}
    assert called == told | {("get", "/openapi.json")}
    for command in curl_commands():
        mine = command
        for there, here in (
            ("http://127.0.0.1:8000", str(predict.client.base_url).rstrip("/")),
            ("7590-VHVEG", users[0]),
            ("5575-GNVDE", users[1]),
            ("streamflow_churn", simulated.mlflow.registered_model),
            ("/versions/3", "/versions/1"),
        ):
            mine = mine.replace(there, here)
        done = subprocess.run(
            ["/bin/bash", "-c", mine.replace("curl -s", "curl -s --fail-with-body", 1)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{mine}\n{done.stdout}\n{done.stderr}"
        if "--head" in mine:
            assert done.stdout.startswith("HTTP/1.1 200")
        elif not mine.endswith("/metrics"):
            assert "problem" not in str(json.loads(done.stdout).get("predictions"))
