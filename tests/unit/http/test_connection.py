"""What one client sends is read up to stated caps; what it sent within them is answered."""

from __future__ import annotations

import asyncio
import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn import Config
from uvicorn.server import ServerState

from recording_transport import Transport
from streamflow.http.connection import MOST_HEAD_BYTES, MOST_QUEUED, capped

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


async def application(scope, receive, send):
    """Answer 200 once the whole body is there; the request carries no header that came behind it."""
    while (message := await receive())["type"] == "http.request" and message["more_body"]:
        pass
    if message["type"] == "http.disconnect":
        return
    assert all(name != b"trailer" for name, _ in scope["headers"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def opened(config, state):
    """A connection and what it writes to."""
    connection = config.http_protocol_class(config=config, server_state=state, app_state={})
    transport = Transport()
    connection.connection_made(transport)
    return connection, transport


def busy(config, state):
    """A connection with a request in progress."""
    connection, transport = opened(config, state)
    connection.cycle = SimpleNamespace(response_complete=False)
    return connection, transport


def exchange(*pieces, most_connections=10, others=0):
    """Statuses that a client gets for what it sends, and whether its connection is closed then."""

    async def scenario():
        state = ServerState()
        config = Config(application, http=capped(most_connections), log_config=None, ws="none")
        config.load()
        for _ in range(others):
            busy(config, state)
        connection, transport = opened(config, state)
        queued = 0
        for piece in pieces:
            if not transport.closed:
                connection.data_received(piece)
                queued = max(queued, len(connection.pipeline))
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            while state.tasks:
                if transport.closed:
                    connection.connection_lost(None)
                await asyncio.wait(state.tasks, timeout=0.01)
        if connection.timeout_keep_alive_task is not None:
            connection.timeout_keep_alive_task.cancel()
        assert queued <= MOST_QUEUED
        return [int(status) for status in STATUS.findall(transport.written)], transport.closed

    return asyncio.run(scenario())


def head(size=0, name="x"):
    request = b"GET / HTTP/1.1\r\nhost: a\r\n"
    return request + (f"{name}: {'y' * size}\r\n".encode() if size else b"") + b"\r\n"


def test_ordinary_requests_are_answered_and_the_connection_stays_open():
    assert exchange(head(), head(1000), head()) == ([200] * 3, False)


def test_a_body_of_many_pieces_is_read():
    body = b"x" * 200_000
    request = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 200000\r\n\r\n" + body
    assert exchange(request, head()) == ([200, 200], False)


@pytest.mark.parametrize("size", [MOST_HEAD_BYTES, 3 * MOST_HEAD_BYTES, 100 * MOST_HEAD_BYTES])
def test_a_head_beyond_the_cap_is_refused(size):
    assert exchange(head(size)) == ([431], True)


def test_a_header_that_never_ends_is_refused_before_it_grows():
    pieces = [b"GET / HTTP/1.1\r\nx: ", *[b"y" * 16_384] * 1000]
    assert exchange(*pieces) == ([431], True)


def test_a_head_of_many_small_headers_is_refused():
    headers = b"".join(b"x%d: y\r\n" % number for number in range(20_000))
    assert exchange(b"GET / HTTP/1.1\r\n" + headers) == ([431], True)


def test_requests_far_ahead_of_the_answers_close_the_connection_after_those_that_were_accepted():
    statuses, closed = exchange(head() * 10_000)
    assert (statuses, closed) == ([200] * (MOST_QUEUED + 1), True)


def test_some_requests_ahead_of_the_answers_are_all_answered():
    assert exchange(head() * MOST_QUEUED) == ([200] * MOST_QUEUED, False)


def test_what_is_not_http_is_a_bad_request():
    assert exchange(b"\x16\x03\x01 hello\r\n\r\n") == ([400], True)


def test_a_body_that_breaks_off_in_its_encoding_is_a_bad_request():
    assert exchange(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n") == ([400], True)


def test_a_connection_beyond_the_largest_number_is_refused():
    assert exchange(head(), most_connections=10, others=9) == ([200], False)
    assert exchange(head(), most_connections=10, others=10) == ([503], True)


CHUNKED = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n"
"""A request without its last chunk."""


def test_trailers_do_not_become_headers():
    trailers = b"trailer: x\r\nauthorization: Bearer key\r\n"
    assert exchange(CHUNKED + b"0\r\n" + trailers + b"\r\n", head()) == ([200, 200], False)


@pytest.mark.parametrize(
    "piece",
    [b"trailer: " + b"y" * 10_000 + b"\r\n", b"y" * 10_000, b"t: y\r\n" * 1000],
    ids=["long trailers", "one trailer without end", "short trailers"],
)
def test_trailers_beyond_the_cap_are_refused(piece):
    assert exchange(CHUNKED, b"0\r\ntrailer: ", *[piece] * 1000) == ([431], True)


def test_the_extension_of_a_chunk_beyond_the_cap_is_refused():
    assert exchange(CHUNKED, b"2;", *[b"y" * 10_000] * 1000) == ([431], True)


def test_a_body_of_many_small_chunks_is_read():
    assert exchange(CHUNKED, *[b"1\r\nx\r\n"] * 30_000, b"0\r\n\r\n", head()) == ([200, 200], False)


@pytest.mark.parametrize("malformed", [b"no http\r\n\r\n", CHUNKED + b"zz\r\n"])
def test_a_malformed_request_is_not_answered_before_those_that_came_first(malformed):
    assert exchange(head() * 3 + malformed) == ([200] * 3, True)


def test_a_websocket_is_not_opened_and_fills_no_log(caplog):
    upgrade = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    statuses, _ = exchange(upgrade)
    assert statuses == [200]
    assert not caplog.records


def test_a_new_connection_takes_the_place_of_the_one_that_was_idle_longest():
    async def scenario():
        state = ServerState()
        config = Config(application, http=capped(3), log_config=None, ws="none")
        config.load()
        _, working = busy(config, state)
        idle = [opened(config, state) for _ in range(2)]
        # The first has had an answer, so the second, which sends half a head, has waited longer.
        await asyncio.sleep(0.01)
        idle[0][0].data_received(head())
        await asyncio.wait(state.tasks)
        idle[1][0].data_received(head()[:-2])
        _, new = opened(config, state)
        assert [each.closed for each in (working, idle[0][1], idle[1][1], new)] == [False, False, True, False]
        _, newer = opened(config, state)
        assert [idle[0][1].closed, new.closed, newer.closed] == [True, False, False]
        for connection, _ in idle:
            connection.connection_lost(None)

    asyncio.run(scenario())


REQUESTS = st.lists(st.integers(0, 2 * MOST_HEAD_BYTES), max_size=30)


@given(REQUESTS, st.randoms(use_true_random=False))
def test_however_it_is_cut_a_client_gets_answers_in_order_and_at_most_one_refusal(sizes, random):
    sent = b"".join(head(size) for size in sizes)
    cuts = sorted(random.randrange(len(sent) + 1) for _ in range(random.randrange(20)))
    pieces = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True) if a < b]
    statuses, closed = exchange(*pieces)
    served = len([status for status in statuses if status == 200])
    assert statuses[:served] == [200] * served
    assert statuses[served:] in ([], [431])
    if not closed:
        assert served == len(sizes)
    # Nothing is refused that lies within the caps.
    if len(sizes) <= MOST_QUEUED and all(size < MOST_HEAD_BYTES - 1000 for size in sizes):
        assert (served, closed) == (len(sizes), False)
