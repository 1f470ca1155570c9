"""Every failed request is answered with an error document in the format of its path."""

from __future__ import annotations

import gzip
import json

import pytest

from streamflow.http.api_keys import new_key
from streamflow.predict.http import middleware
from streamflow.predict.service import Service

INFER = "/v2/models/m/infer"


@pytest.mark.parametrize("path", ["/predict/batch", "/predict?features=true", "/predict"])
def test_half_a_surrogate_pair_in_a_member_name_is_a_bad_request(ask, path):
    answer = ask("POST", path, content=b'{"user_id":"a","user_ids":["a"],"\\ud800":1}')
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_request")
    # Strict readers refuse half a pair even if it is escaped.
    assert b"\\ud8" not in answer.content


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", b'{"user_id":"a","user_id":"b"}'),
        ("/predict?explain=false", b'{"user_id":"a","user_id":"b"}'),
        ("/predict/batch", b'{"user_ids":["a"],"user_ids":["b"]}'),
        (INFER, b'{"inputs":[{"name":"user_id","shape":[1],"datatype":"BYTES","data":["a"],"data":["b"]}]}'),
    ],
)
def test_a_member_that_is_given_twice_is_a_bad_request(ask, path, body):
    answer = ask("POST", path, content=body)
    assert answer.status_code == (400 if path == INFER else 422)
    assert "is given twice" in answer.text


def test_an_inference_header_length_beyond_any_integer_is_a_bad_request(ask):
    answer = ask("POST", INFER, content=b"{}", headers={"inference-header-content-length": "1" * 5000})
    assert answer.status_code == 400
    assert "inference-header-content-length" in answer.json()["error"]


def test_a_failure_while_the_answer_is_written_is_a_problem_document(ask, monkeypatch):
    class Answered:
        problem = None

    async def one(self, key):
        return Answered()

    monkeypatch.setattr(Service, "one", one)
    monkeypatch.setattr(middleware.answers, "prediction", lambda *_: 1 / 0)
    monkeypatch.setattr("streamflow.predict.prediction_log.PredictionLog.offer", lambda *_: None)
    answer = ask("POST", "/predict", json={"user_id": "a"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_problem_names_its_request(ask):
    document = ask("GET", "/nowhere", headers={"x-request-id": "abc-1"}).json()
    assert (document["instance"], document["request_id"]) == ("urn:streamflow:request:abc-1", "abc-1")


TENSOR = {"name": "user_id", "shape": [1], "datatype": "BYTES", "data": ["a"]}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"inputs": []}',
        b'{"\\ud800": 1}',
        json.dumps({"inputs": [TENSOR | {"shape": [2]}]}),
        json.dumps({"inputs": [TENSOR | {"data": [5]}]}),
        json.dumps({"inputs": [TENSOR], "outputs": [{"name": "odds"}]}),
        json.dumps({"inputs": [TENSOR], "outputs": [{"name": "probability"}] * 2}),
    ],
)
def test_a_malformed_inference_request_is_a_400_with_an_error(ask, body):
    answer = ask("POST", INFER, content=body)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert answer.json()["error"].startswith("bad_request: ")


def test_every_failure_under_v2_is_an_error_document_of_the_protocol(ask, tmp_path, monkeypatch, live):
    predicting, line = new_key("shop", ["features"])
    file = tmp_path / "keys"
    file.write_text(line)
    keys = {"api_keys_file": file}
    bearer = {"authorization": f"Bearer {predicting}"}
    found = [
        (413, ask("POST", INFER, {"max_body_bytes": 1024}, content=b"x" * 1025)),
        (401, ask("POST", INFER, keys)),
        (403, ask("POST", INFER, keys, headers=bearer)),
        (404, ask("GET", "/v2/nowhere")),
        (404, ask("GET", "/v2/models/another")),
        (405, ask("GET", INFER)),
    ]
    monkeypatch.setattr(Service, "many", lambda *_: 1 / 0)
    found.append((500, ask("POST", INFER, json={"inputs": [TENSOR]})))
    live.served = None
    found.append((503, ask("POST", INFER, json={"inputs": [TENSOR]})))
    for status, answer in found:
        assert (answer.status_code, list(answer.json())) == (status, ["error"])
        assert answer.headers["content-type"] == "application/json"
    assert found[1][1].headers["www-authenticate"] == "Bearer"
    assert found[-1][1].headers["retry-after"]
    # Outside of /v2 the same failure is a problem document.
    assert ask("GET", "/v2x").json()["code"] == "not_found"


@pytest.mark.parametrize("query", ["features=true", "explain=true", "explain=1&features=0"])
def test_a_key_without_the_scope_features_cannot_read_features_through_predict(ask, tmp_path, query):
    predicting, line = new_key("shop", ["predict"])
    both, other = new_key("desk", ["predict", "features"])
    file = tmp_path / "keys"
    file.write_text(f"{line}\n{other}\n")

    def answer(key, path):
        headers = {"authorization": f"Bearer {key}"}
        return ask("POST", path, {"api_keys_file": file}, content=b"{", headers=headers)

    refused = answer(predicting, f"/predict?{query}")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert "'features'" in refused.json()["detail"]
    # The key is accepted, then the body is read, which is not JSON.
    assert answer(both, f"/predict?{query}").status_code == 422
    assert answer(predicting, "/predict?features=false").status_code == 422
    assert answer(predicting, "/predict").status_code == 422


def test_probes_answer_head(ask, live):
    assert [ask("HEAD", path).status_code for path in ("/livez", "/readyz")] == [200, 200]
    live.served = None
    assert [ask("HEAD", path).status_code for path in ("/livez", "/readyz")] == [200, 503]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32-be"])
def test_a_member_that_is_given_twice_is_found_in_every_encoding_of_json(ask, encoding):
    body = '{"user_id":"a","user_id":"b"}'.encode(encoding)
    assert "is given twice" in ask("POST", "/predict", content=body).text


@pytest.mark.parametrize("path", ["/predict", "/predict?features=true", "/predict/batch", INFER])
def test_a_compressed_body_is_refused_unread(ask, path):
    body = gzip.compress(b'{"user_id": "a"}')
    for encoding in ("gzip", "br", "x" * 200):
        answer = ask("POST", path, content=body, headers={"content-encoding": encoding})
        assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
        assert encoding[:40] in answer.text
        assert "uncompressed" in answer.text
    plain = ask("POST", path, content=b"{", headers={"content-encoding": "identity"})
    assert plain.status_code in (400, 422)


def test_no_error_shows_what_a_library_says_about_itself(ask):
    for body in (
        b"{}",
        b'{"inputs": 5}',
        b'{"inputs": [{"name": 5, "shape": "x", "datatype": null}]}',
        b"\xff",
    ):
        said = ask("POST", INFER, content=body).json()["error"]
        assert "The body is not" in said
        for internal in ("pydantic", "type=", "input_value", "validation error", "https://"):
            assert internal not in said, said
