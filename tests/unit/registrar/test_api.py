"""The registrar's API without a database: who may ask, and what is read from a request."""

from __future__ import annotations

import asyncio
import gzip
import json

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.http.api_keys import KeyFile, new_key
from streamflow.http.problems import ProblemError
from streamflow.registrar.api import Api, idempotency_key, read
from streamflow.settings import DatabaseSettings

GOOD = {"version": 3, "to": "staging", "why": "a test"}
ID = "0b0d9a1c-4a52-4a4e-9f5e-3d6c0f5d1b7a"


@pytest.fixture
def keys(tmp_path):
    """A file of keys, and the key of each name in it."""
    made = {
        name: new_key(name, [name.partition("-")[0]], rate="") for name in ("promote", "predict", "features")
    }
    made["promote-slowly"] = new_key("promote-slowly", ["promote"], rate="2/hour")
    file = tmp_path / "keys"
    file.write_text("\n".join(line for _, line in made.values()))
    return file, {name: key for name, (key, _) in made.items()}


def ask(file, method="POST", path="/promotions", **request):
    """Send one request to an API whose PostgreSQL does not answer."""
    api = Api(DatabaseSettings(port=1, connect_timeout_seconds=1), "m", KeyFile(file) if file else None)

    async def once():
        transport = httpx2.ASGITransport(app=api)
        async with httpx2.AsyncClient(transport=transport, base_url="http://registrar") as client:
            return await client.request(method, path, **request)

    return asyncio.run(once())


def bearer(key):
    return {"authorization": f"Bearer {key}"}


def test_without_a_file_of_keys_nobody_may_ask():
    for method, path in (("POST", "/promotions"), ("GET", f"/promotions/{ID}"), ("GET", "/")):
        answer = ask(None, method, path, headers=bearer("sf_anything"))
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert "streamflow keys new NAME --scope promote" in answer.json()["detail"]
        assert "STREAMFLOW_PROMOTION__API_KEYS_FILE" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/promotions"), ("GET", f"/promotions/{ID}"), ("GET", "/secret"), ("PUT", "/")],
)
def test_every_path_needs_a_key_of_the_scope(keys, method, path):
    file, by_name = keys
    assert ask(file, method, path).status_code == 401
    assert ask(file, method, path, headers=bearer("sf_unknown")).status_code == 401
    for name in ("predict", "features"):
        answer = ask(file, method, path, headers=bearer(by_name[name]))
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert "'promote'" in answer.json()["detail"]
    assert ask(file, method, path, headers=bearer(by_name["promote"])).status_code not in (401, 403)


def test_headers_that_a_proxy_would_set_change_nothing(keys):
    file, _ = keys
    forged = {
        "x-forwarded-user": "promote",
        "x-remote-user": "promote",
        "x-forwarded-for": "127.0.0.1",
        "cookie": "a=b",
    }
    assert ask(file, headers=forged, json=GOOD).status_code == 401


def test_a_key_has_a_rate(keys):
    file, by_name = keys
    api = Api(DatabaseSettings(port=1), "m", KeyFile(file))

    async def often():
        transport = httpx2.ASGITransport(app=api)
        async with httpx2.AsyncClient(transport=transport, base_url="http://registrar") as client:
            return [await client.get("/", headers=bearer(by_name["promote-slowly"])) for _ in range(3)]

    answers = asyncio.run(often())
    assert [answer.status_code for answer in answers] == [404, 404, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/promotions", 405, "POST"),
        ("DELETE", f"/promotions/{ID}", 405, "GET"),
        ("POST", "/promotions/", 404, None),
        ("GET", f"/promotions/{ID}/", 404, None),
        ("GET", f"/promotions/{ID}%0A", 404, None),
        ("GET", f"/promotions/{ID.upper()}", 404, None),
        ("GET", "/promotions/1%20OR%201=1", 404, None),
        ("GET", f"/promotions/{ID}?all=1", 422, None),
    ],
)
def test_other_paths_and_methods_are_refused(keys, method, path, status, allow):
    file, by_name = keys
    answer = ask(file, method, path, headers=bearer(by_name["promote"]))
    assert (answer.status_code, answer.headers.get("allow")) == (status, allow)
    assert answer.headers["content-type"] == "application/problem+json"


def test_without_postgresql_a_caller_is_told_to_come_again(keys):
    file, by_name = keys
    for method, path, body in (("POST", "/promotions", GOOD), ("GET", f"/promotions/{ID}", None)):
        answer = ask(file, method, path, headers=bearer(by_name["promote"]), json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, "ledger_unavailable")
        assert answer.headers["retry-after"] == "5"
        # Nothing about where PostgreSQL is.
        assert "127.0.0.1" not in answer.text


def test_a_large_body_is_refused(keys):
    file, by_name = keys
    answer = ask(file, headers=bearer(by_name["promote"]), content=b" " * 16_385)
    assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")


def test_a_compressed_body_is_refused(keys):
    file, by_name = keys
    headers = bearer(by_name["promote"]) | {"content-encoding": "gzip"}
    answer = ask(file, headers=headers, content=gzip.compress(json.dumps(GOOD).encode()))
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_encoding")


WRONG = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "nested too deeply": b"[" * 16_000,
    "no version": json.dumps(GOOD | {"version": None}),
    "a truth": json.dumps(GOOD | {"version": True}),
    "a fraction": json.dumps(GOOD | {"version": 3.0}),
    "a text": json.dumps(GOOD | {"version": "3"}),
    "zero": json.dumps(GOOD | {"version": 0}),
    "beyond an integer": json.dumps(GOOD | {"version": 2**31}),
    "a huge number": b'{"version": ' + b"9" * 5000 + b', "to": "staging", "why": "x"}',
    "infinity": b'{"version": Infinity, "to": "staging", "why": "x"}',
    "another alias": json.dumps(GOOD | {"to": "canary"}),
    "an object as alias": json.dumps(GOOD | {"to": {}}),
    "no reason": json.dumps(GOOD | {"why": " "}),
    "a long reason": json.dumps(GOOD | {"why": "x" * 1001}),
    "a line break": json.dumps(GOOD | {"why": "a\nb"}),
    "a zero byte": json.dumps(GOOD | {"why": "a\0b"}),
    "an escape": json.dumps(GOOD | {"why": "a\x1b[2Jb"}),
    "half a surrogate pair": b'{"version": 3, "to": "staging", "why": "\\ud800"}',
    "a missing member": json.dumps({"version": 3, "to": "staging"}),
    "an unknown member": json.dumps(GOOD | {"by": "root"}),
    "a member twice": b'{"version": 3, "version": 4, "to": "staging", "why": "x"}',
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_body_is_refused_before_postgresql_is_asked(keys, wrong):
    file, by_name = keys
    answer = ask(file, headers=bearer(by_name["promote"]), content=WRONG[wrong])
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_request"), answer.text


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["version", "to", "why", "x"]), inner)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_whatever_is_sent_is_read_or_refused(body):
    try:
        asked = read(body, "key:ci", None)
    except ProblemError as error:
        assert error.problem.http_status == 422
    else:
        assert (type(asked.version), asked.alias in ("staging", "production")) == (int, True)


@pytest.mark.parametrize(
    "values", [[b""], [b"a b"], [b"\xc3\xa9"], [b"x" * 256], [b"a", b"a"], [b"a\n"]], ids=repr
)
def test_an_idempotency_key_that_is_none_is_refused(values):
    with pytest.raises(ProblemError, match="Idempotency-Key"):
        idempotency_key([(b"idempotency-key", value) for value in values])


def test_an_idempotency_key_is_read():
    assert idempotency_key([(b"accept", b"*/*")]) is None
    assert idempotency_key([(b"idempotency-key", b"build-7")]) == "build-7"
