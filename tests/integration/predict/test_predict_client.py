"""The client against the real predict service."""

import re
from pathlib import Path

import pytest

from streamflow.client import PredictClient, RequestRefused, Unavailable, UnknownEntity


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
    page = Path(__file__).parents[3] / "docs" / "serving.md"
    (example,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    example = example.replace("http://127.0.0.1:8000", str(predict.client.base_url))
    for user, printed in (
        (users[0], r"0\.\d+ 1 {.*}"),
        ("nobody", r"The online store has no features of .*"),
    ):
        exec(compile(example.replace("7590-VHVEG", user), str(page), "exec"), {})
        assert re.fullmatch(printed, capsys.readouterr().out.strip())
