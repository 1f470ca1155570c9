"""A direct route answers with the bytes of the ASGI application, whatever a client sends and however it is cut."""

from __future__ import annotations

import asyncio
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn import Config
from uvicorn.server import ServerState

from recording_transport import Transport
from streamflow.http.connection import MOST_HEAD_BYTES, CappedProtocol, capped
from streamflow.http.direct import direct

CLOSE = b"close"
"""Part of a body that lets an answer announce that the connection is closed."""
LATER = b"later"
"""Part of a body that is answered some iterations of the event loop later."""


def answer_to(headers, body):
    """Status, headers and content of the answer to a request."""
    content = hashlib.sha256(repr((sorted(headers), body)).encode()).hexdigest().encode()
    lines = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(content))]
    if CLOSE in body:
        lines.append((b"connection", b"close"))
    return 200 if body else 422, lines, content


async def application(scope, receive, send):
    """Answer once the whole body is there."""
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
    else:
        return
    if LATER in body:
        await asyncio.sleep(0.001)
    status, headers, content = answer_to(scope["headers"], body)
    if (scope["method"], scope["path"], scope["query_string"]) != ("POST", "/p", b""):
        status = 404
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


class Route:
    """Answers as the application does, and counts its answers."""

    def __init__(self):
        self.answers = 0

    def matches(self, method, path):
        return (method, path) == ("POST", "/p")

    def takes(self, size):
        return size <= 1000

    def repeats(self, path, headers):
        return all(name != b"x-request-id" for name, _ in headers)

    def answer(self, exchange, path, headers, body):
        self.answers += 1
        status, lines, content = answer_to(headers, body)
        made = b"".join(b"%b: %b\r\n" % line for line in lines)

        def reply():
            exchange.reply(status, made, content, close=CLOSE in body)

        if LATER in body:
            asyncio.get_running_loop().call_later(0.001, reply)
        else:
            reply()


def exchange(pieces, protocol, *, gone_after=None):
    """What a client is sent in return for pieces, whether it is closed, and the statuses."""

    async def scenario():
        state = ServerState()
        state.default_headers = [(b"date", b"today")]
        config = Config(application, http=protocol, log_config=None, ws="none")
        config.load()
        connection = config.http_protocol_class(config=config, server_state=state, app_state={})
        transport = Transport()
        connection.connection_made(transport)
        for number, piece in enumerate(pieces):
            if number == gone_after:
                connection.connection_lost(None)
                break
            if not transport.closed:
                connection.data_received(piece)
            # uvloop reads again only after what was ready has run.
            await asyncio.sleep(0)
        for _ in range(200):
            if connection.cycle is None or connection.cycle.response_complete or connection.cycle.more_body:
                break
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.005)
        if connection.parser is not None:
            connection.connection_lost(None)
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=10)
        if connection.timeout_keep_alive_task is not None:
            connection.timeout_keep_alive_task.cancel()
        return transport.written, transport.closed, state.total_requests

    return asyncio.run(scenario())


def both(pieces, **options):
    """What both ways have sent, which must be the same; and how many requests were answered directly."""
    route = Route()
    short = exchange(pieces, direct(10, route), **options)
    assert short == exchange(pieces, capped(10), **options)
    return short[0], route.answers


def request(body=b'{"a": 1}', *, method=b"POST", target=b"/p", version=b"HTTP/1.1", more=b""):
    head = b"%b %b %b\r\nhost: a\r\n%bcontent-length: %d\r\n\r\n"
    return head % (method, target, version, more, len(body)) + body


PLAIN = request()
CHUNKED = b"POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
ODD = {
    "of another method": request(method=b"PUT"),
    "HEAD": b"HEAD /p HTTP/1.1\r\nhost: a\r\n\r\n",
    "OPTIONS": b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
    "with a query": request(target=b"/p?a=b"),
    "of another path": request(target=b"/other"),
    "with an escaped path": request(target=b"/%70"),
    "with a whole address": request(target=b"http://a/p"),
    "chunked": CHUNKED,
    "chunked with trailers": CHUNKED[:-2] + b"x-request-id: 1\r\n\r\n",
    "chunked and with a length": CHUNKED.replace(b"host: a", b"host: a\r\ncontent-length: 3"),
    "with two lengths": request(more=b"content-length: 8\r\n"),
    "with a length that is none": PLAIN.replace(b"content-length: 8", b"content-length: x"),
    "with a length in other digits": PLAIN.replace(b"content-length: 8", b"content-length: 08"),
    "without a body": request(b""),
    "of HTTP/1.0": request(version=b"HTTP/1.0"),
    "of HTTP/1.0 that stays": request(version=b"HTTP/1.0", more=b"connection: keep-alive\r\n"),
    "that closes": request(more=b"connection: close\r\n"),
    "that waits for 100": request(more=b"expect: 100-continue\r\n"),
    "that upgrades": request(more=b"connection: upgrade\r\nupgrade: websocket\r\n"),
    "with a large head": request(more=b"x: " + b"y" * 2000 + b"\r\n"),
    "with a head beyond the cap": request(more=b"x: " + b"y" * 2 * MOST_HEAD_BYTES + b"\r\n"),
    "with a large body": request(b"x" * 2000),
    "in pieces of the parser": request(b"x" * 40_000),
    "behind empty lines": b"\r\n\r\n" + PLAIN,
    "before an empty line": PLAIN + b"\r\n",
    "with bare line feeds": PLAIN.replace(b"\r\n", b"\n"),
    "with a folded header": request(more=b"x: a\r\n b\r\n"),
    "with its own id": request(more=b"x-request-id: 1\r\n"),
    "with bytes behind it": PLAIN + b"no http\r\n\r\n",
    "with half a request behind it": PLAIN + PLAIN[:9],
    "with a malformed chunk": CHUNKED.replace(b"3\r\n", b"zz\r\n"),
    "that is not HTTP": b"\x16\x03\x01 hello\r\n\r\n",
    "that closes with its answer": request(CLOSE),
    "answered later": request(LATER),
    "answered later and closed": request(LATER + CLOSE),
    "answered later with bytes behind it": request(LATER) + b"no http\r\n\r\n",
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_a_request_among_plain_ones_is_answered_with_the_same_bytes(odd):
    _, answers = both([PLAIN, PLAIN, odd, PLAIN, PLAIN])
    assert answers >= 2
    both([odd, odd])


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_a_request_behind_one_that_is_being_answered_is_answered_with_the_same_bytes(odd):
    both([PLAIN, request(LATER), odd, PLAIN])
    both([PLAIN, PLAIN + odd + PLAIN])


def test_plain_requests_are_all_answered_directly():
    requests = [request(b"%d" % number) for number in range(20)]
    written, answers = both(requests)
    assert (answers, written.count(b"HTTP/1.1 200 OK\r\ndate: today\r\n")) == (20, 20)


def test_a_known_head_is_not_parsed_again(monkeypatch):
    parsed = []
    parse = CappedProtocol._parse
    monkeypatch.setattr(
        CappedProtocol, "_parse", lambda self, piece: (parsed.append(piece), parse(self, piece))
    )
    bodies = [b"11111111", b"22222222", b"333", b"444"]
    written, _, answers = exchange([request(body) for body in bodies], direct(10, Route()))
    assert parsed == [request(bodies[0]), request(bodies[2])]
    assert answers == written.count(b"HTTP/1.1 200") == 4


@pytest.mark.parametrize("name", ["x-request-id: 1", "transfer-encoding: chunked", "content-length: 08"])
def test_a_head_that_may_not_be_remembered_is_not(name):
    protocol = direct(10, Route())
    exchange([request(more=name.encode() + b"\r\n")] * 2, protocol)
    assert not protocol.known


def test_the_memory_for_heads_is_bounded():
    protocol = direct(10, Route())
    exchange([request(more=b"x: %d\r\n" % number) for number in range(1000)], protocol)
    assert 0 < len(protocol.known) <= 256


@pytest.mark.parametrize("cut", range(1, len(PLAIN)))
def test_a_request_cut_anywhere_is_answered_with_the_same_bytes(cut):
    both([PLAIN, PLAIN[:cut], PLAIN[cut:], PLAIN])
    both([PLAIN + PLAIN[:cut], PLAIN[cut:] + PLAIN[:cut], PLAIN[cut:], PLAIN])


@pytest.mark.parametrize("after", range(1, 4))
@pytest.mark.parametrize("pieces", [[PLAIN, request(LATER), PLAIN], [PLAIN[:20], PLAIN[20:], request(LATER)]])
def test_nothing_is_sent_to_a_client_that_is_gone(pieces, after):
    both(pieces, gone_after=after)


def test_a_client_that_does_not_read_is_not_answered_further():
    async def scenario():
        config = Config(application, http=direct(10, route := Route()), log_config=None, ws="none")
        config.load()
        state = ServerState()
        connection = config.http_protocol_class(config=config, server_state=state, app_state={})
        transport = Transport()
        connection.connection_made(transport)
        connection.data_received(PLAIN)
        connection.pause_writing()
        for _ in range(100):
            connection.data_received(PLAIN)
            await asyncio.sleep(0)
        assert (route.answers, transport.written.count(b"HTTP/1.1 200")) == (1, 1)
        assert connection.cycle.keep_alive is False or len(connection.pipeline) <= 16
        connection.connection_lost(None)
        await asyncio.wait(state.tasks, timeout=10)
        connection._unset_keepalive_if_required()

    asyncio.run(scenario())


STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@given(
    st.lists(st.sampled_from([PLAIN, request(LATER), *ODD.values()]), max_size=8),
    st.randoms(use_true_random=False),
)
def test_however_requests_are_mixed_and_cut_the_bytes_are_the_same(requests, random):
    sent = b"".join([PLAIN, *requests])
    cuts = sorted(random.randrange(len(sent) + 1) for _ in range(random.randrange(12)))
    both([sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True) if a < b])


@given(st.lists(st.sampled_from([PLAIN, *ODD.values()]), max_size=8))
def test_whole_requests_in_any_order_get_the_same_bytes(requests):
    both([PLAIN, *requests])
