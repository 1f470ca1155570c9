"""The client of the fault tests keeps its rate against a server that fails, and its history misses nothing."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

import load_history

CLIENT = Path(__file__).resolve().parents[1] / "open_loop.py"
PROBLEM = "application/problem+json\r\nretry-after: 1"


def answer(code, body, content_type="application/json"):
    return f"HTTP/1.1 {code} X\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


ANSWERS = [
    answer(200, '{"model": {"version": 3}}'),
    answer(503, '{"code": "busy"}', PROBLEM),
    answer(503, '{"code": "busy"}'),
    answer(500, '{"code": "oops"}'),
    b"",
]


async def served(requests):
    """Serve the answers in turn, one a connection but for the first kind; return the client's output."""
    turn = iter(range(10**9))

    async def serve(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    line for line in head.decode().split("\r\n") if line.startswith("content-length")
                )
                await reader.readexactly(int(length.split(": ")[1]))
                given = ANSWERS[next(turn) % len(ANSWERS)]
                writer.write(given)
                if b"close" in head or not given:
                    break
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(CLIENT), "127.0.0.1", str(port), f"100x0.02,50x{(requests - 2) / 50}", "a", "b",
        stdout=subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    server.close()
    return out.decode()


def test_every_request_is_in_the_history_with_what_became_of_it():
    text = asyncio.run(served(5))
    asked = load_history.parse(text)
    assert len(asked) == 5
    assert {each.code for each in asked} == {0, 200, 500, 503}
    assert {each.what for each in asked if each.code == 200} == {"version=3"}
    assert len(load_history.failed(asked)) == 4
    assert len(load_history.uncontrolled(asked)) == 3
    assert sum(each.kept for each in asked) == 3
    assert load_history.summary(asked)["controlled"] == 1


def test_a_history_that_lacks_lines_is_refused():
    text = asyncio.run(served(5))
    lines = text.splitlines()
    for less in (lines[:-1], lines[1:], []):
        with pytest.raises(AssertionError, match=r"end|missing"):
            load_history.parse("\n".join(less))


def test_figures_of_a_history():
    asked = [
        load_history.Asked(float(n), n + 0.1 * n, 200 if n != 3 else 0, n % 2 == 0, False, "-")
        for n in range(10)
    ]
    assert load_history.percentile(asked, 0.5) == pytest.approx(0.5)
    assert load_history.good_again(asked, 3.0) == pytest.approx(1.4)
    assert load_history.good_again(asked, 30.0) == float("inf")
    assert [each.start for each in load_history.between(asked, 2, 4)] == [2.0, 3.0]
