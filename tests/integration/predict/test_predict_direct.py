"""A request that arrives whole, and is answered directly, gets the bytes of one that arrives in two parts, over ASGI."""

from __future__ import annotations

import re
import socket
import time

import pytest

ID = b"x-request-id: given\r\n"
KEYS = [
    b"",
    b"{}",
    b"[]",
    b"{",
    b"\xff\xfe",
    b'{"user_id": 1}',
    b'{"user_id": ""}',
    b'{"user_id": "nobody"}',
    b' {"user_id" :  "nobody"}\n',
    b'{"user_id": "nobody"} x',
    b'{"user_id": "\\u0000"}',
    b'{"user_id": "\\ud800"}',
    b'{"user_id": "\\u00e9\\" \xe2\x98\x83"}',
    b'{"user_id": "%b"}' % (b"x" * 256),
    b'{"user_id": "%b"}' % (b"x" * 257),
    b'{"user_id": "a", "user_id": "b"}',
    b'{"user_id": "a", "other": 1}',
    b"[" * 5000,
]
PATHS = [
    b"nobody",
    b"a%00b",
    b"a%0A",
    b"%C3%A9%22",
    b"%FF",
    b"a%2Fb",
    b"a/b",
    b"",
    b"x" * 256,
    b"x" * 257,
    b"a?b=c",
]


def post(body, more=ID):
    head = b"POST /predict HTTP/1.1\r\nhost: a\r\n%bcontent-length: %d\r\n\r\n"
    return head % (more, len(body)) + body


def get(key):
    return b"GET /features/%b HTTP/1.1\r\nhost: a\r\n%b\r\n" % (key, ID)


def receive(client):
    """One answer."""
    got = b""
    while True:
        head, blank, content = got.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if blank and length is not None and len(content) >= int(length[1]):
            return re.sub(rb"date: [^\r]*", b"date", got)
        piece = client.recv(65_536)
        assert piece, got
        got += piece


@pytest.fixture
def ask(predict):
    """Send a request in parts and return the bytes of the answer."""
    address = predict.client.base_url
    with socket.create_connection((address.host, address.port), timeout=30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def asked(*parts):
            for number, part in enumerate(parts):
                if number:
                    # So that the parts are read one by one.
                    time.sleep(0.005)
                client.sendall(part)
            return receive(client)

        yield asked


def test_the_answers_are_the_same_to_the_byte(ask, users):
    requests = [post(b'{"user_id": "%b"}' % user.encode()) for user in users[:10]]
    requests += [get(user.encode()) for user in users[:10]]
    requests += [post(body) for body in KEYS] + [get(key) for key in PATHS]
    requests += [post(KEYS[7], ID + b"content-encoding: gzip\r\n")]
    statuses = set()
    for request in requests:
        whole = ask(request)
        assert whole == ask(request[:-1], request[-1:]), request[:200]
        statuses.add(whole[9:12])
    assert statuses == {b"200", b"404", b"415", b"422"}


def test_both_ways_count_the_same(ask, predict, users):
    def counted():
        return [
            predict.metric(name, handler="/predict", **labels)
            for name, labels in (
                ("http_requests_total", {"method": "POST", "status": "200"}),
                ("http_requests_total", {"method": "POST", "status": "422"}),
                ("http_request_duration_seconds_count", {"method": "POST"}),
                ("http_request_size_bytes_sum", {}),
            )
        ]

    def growth(*parts):
        before = counted()
        ask(*parts)
        return [after - one for after, one in zip(counted(), before, strict=True)]

    good, bad = post(b'{"user_id": "%b"}' % users[0].encode()), post(b"{}")
    assert growth(good) == growth(good[:-1], good[-1:]) == [1, 0, 1, len(users[0]) + 15]
    assert growth(bad) == growth(bad[:-1], bad[-1:]) == [0, 1, 1, 2]
    assert predict.metric("http_requests_inprogress") == 1
