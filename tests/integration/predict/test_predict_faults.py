"""Faults around predict: PostgreSQL hangs; clients are slow or send too much."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time

import httpx2
import psutil
import pytest

LONGEST_ANSWER_SECONDS = 10.0
"""The deadline is 2 s; the rest is slack for a busy machine."""


@pytest.mark.fault("F7")
def test_postgresql_that_hangs_is_a_503_in_time_until_it_is_back(simulated, start, switch, users, production):
    production(simulated, 1)
    database = switch(simulated.database.port)
    with start(simulated, path="/readyz", STREAMFLOW_DATABASE__PORT=str(database.port)) as service:
        assert service.predict(users[0]).status_code == 200
        database.freeze()
        for user in users[:3]:
            began = time.monotonic()
            answer = service.predict(user)
            assert time.monotonic() - began < LONGEST_ANSWER_SECONDS
            assert (answer.status_code, answer.headers["retry-after"] > "0") == (503, True)
        assert service.client.get("/readyz").status_code == 200
        database.mend()
        service.until(lambda: service.predict(users[0]).status_code == 200)
        assert [service.predict(user).status_code for user in users[:20]] == [200] * 20


@pytest.mark.fault("F32")
def test_clients_that_never_finish_a_request_do_not_block_others(predict, users):
    url = predict.client.base_url
    half = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    slow = []
    try:
        for number in range(200):
            slow.append(socket.create_connection((url.host, url.port)))
            slow[-1].sendall(half if number % 2 else half[:20])
        assert [predict.predict(user).status_code for user in users[:50]] == [200] * 50
    finally:
        for connection in slow:
            connection.close()
    assert predict.predict(users[0]).status_code == 200


def _answer(connection: socket.socket) -> bytes:
    """Everything received until the server closes."""
    connection.settimeout(60)
    found = b""
    while data := connection.recv(65536):
        found += data
    return found


@pytest.mark.fault("F32")
def test_a_request_that_arrives_too_slowly_is_closed_and_an_idle_client_is_not(
    simulated, start, users, production
):
    production(simulated, 1)
    with start(simulated, path="/readyz", STREAMFLOW_PREDICT__RECEIVE_TIMEOUT_SECONDS="1") as service:
        url = service.client.base_url
        half = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
        silent, head, body = (socket.create_connection((url.host, url.port)) for _ in range(3))
        idle = http.client.HTTPConnection(url.host, url.port)
        with silent, head, body, contextlib.closing(idle):
            idle.request("GET", "/livez")
            assert idle.getresponse().read()
            idle_socket = idle.sock
            head.sendall(half[:20])
            body.sendall(half)
            said = _answer(body)
            assert said.startswith(b"HTTP/1.1 408 ")
            assert b"connection: close" in said
            assert b'"code": "request_timeout"' in said
            # Without a whole request there is no answer, and the connection is closed.
            assert (_answer(silent), _answer(head)) == (b"", b"")
            assert service.metric("http_requests_total", handler="/predict", status="408") == 1
            idle.request("GET", "/livez")
            assert idle.getresponse().status == 200
            assert idle.sock is idle_socket
        assert service.predict(users[0]).status_code == 200


@pytest.mark.fault("F32")
def test_deep_wide_and_endless_bodies_are_refused_cheaply(predict, users, verdict):
    before = memory(predict)
    deep = b'{"user_id":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    wide = b'{"user_id":"x",' + b",".join(b'"k%d":0' % n for n in range(50_000)) + b"}"
    for body in (deep, wide, b"\x00" * 1000, b'{"user_id":' + b"9" * 5000 + b"}"):
        for path in ("/predict", "/predict/batch", "/v2/models/streamflow_churn/infer"):
            answer = predict.client.post(path, content=body, headers={"content-type": "application/json"})
            assert 400 <= answer.status_code < 500, (path, body[:20], answer.text)
            # The protocol has its own error document.
            assert answer.json()["error" if path.startswith("/v2") else "code"]
    answer = predict.client.post("/predict", content=(b"x" * 65536 for _ in range(1600)))
    assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")
    more = memory(predict) - before
    verdict(more_mib=round(more / 2**20, 1))
    assert more < 50 * 2**20
    assert predict.predict(users[0]).status_code == 200


def memory(service) -> int:
    """Resident bytes of the process."""
    return psutil.Process(service.process.pid).memory_info().rss


def test_overload_is_shed_with_retry_after_and_the_rest_is_answered(
    simulated, start, switch, users, production
):
    production(simulated, 1)
    database = switch(simulated.database.port)
    variables = {
        "STREAMFLOW_DATABASE__PORT": str(database.port),
        "STREAMFLOW_PREDICT__MAX_QUEUE": "8",
        "STREAMFLOW_PREDICT__MAX_BATCH": "4",
        "STREAMFLOW_PREDICT__DEADLINE_SECONDS": "60",
    }
    with start(simulated, path="/readyz", **variables) as service:
        assert service.predict(users[0]).status_code == 200
        database.freeze()
        answers: list[httpx2.Response] = []
        clients = [
            threading.Thread(target=lambda user=user: answers.append(service.predict(user)))
            for user in users[:60]
        ]
        for client in clients:
            client.start()
        # At most four are read at a time and eight wait; the others are answered while PostgreSQL hangs.
        service.until(lambda: len(answers) >= 60 - 12)
        assert {answer.status_code for answer in answers} == {503}
        database.mend()
        for client in clients:
            client.join()
        shed = [answer for answer in answers if answer.status_code == 503]
        assert {answer.status_code for answer in answers} == {200, 503}
        assert {answer.json()["code"] for answer in shed} == {"overloaded"}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in shed)
        assert [service.predict(user).status_code for user in users[:20]] == [200] * 20
