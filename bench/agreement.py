"""Check that all contenders return the same probabilities: a fast wrong answer would win every benchmark."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable
from itertools import islice
from typing import Any

from bench.contenders import Contender
from bench.measure import BenchError

PREDICTING = ("predict", "obvious", "mlflow_serve")
"""Contenders that return a probability. Their request files name the same users in the same order."""

_DIFFERENCE = 1e-6
_ASKED = 20


def check(servers: Iterable[Contender], asked: int = _ASKED) -> None:
    """Request predictions for the same users from every contender in `PREDICTING`.

    Args:
        servers: The running contenders.
        asked: Number of users.

    Raises:
        BenchError: Two probabilities differ by more than 1e-6.
    """
    answers = {
        server.name: [_ask(server, request) for request in _requests(server, asked)]
        for server in servers
        if server.name in PREDICTING
    }
    found = difference(answers)
    if found is not None:
        raise BenchError(found)


def difference(answers: dict[str, list[float]]) -> str | None:
    """Describe the first disagreement; None if all agree. Pure."""
    first, *others = answers
    for other in others:
        for number, (one, two) in enumerate(zip(answers[first], answers[other], strict=True)):
            # Not `>`: a NaN must count as a difference.
            if not abs(one - two) <= _DIFFERENCE:
                return f"User {number}: {first} answers {one}, {other} answers {two}."
    return None


def probability(name: str, document: dict[str, Any]) -> float:
    """Extract the probability from a contender's answer. Pure."""
    if name == "mlflow_serve":
        return float(document["predictions"][0]["probability"])
    return float(document["probability"])


def _requests(server: Contender, count: int) -> list[str]:
    with server.requests.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in islice(lines, count)]


def _ask(server: Contender, request: str) -> float:
    head, body = request.split("\r\n\r\n", 1)
    url = f"http://127.0.0.1:{server.port}{head.split(' ')[1]}"
    asked = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310  # our own address
            return probability(server.name, json.load(answer))
    except urllib.error.HTTPError as error:
        raise BenchError(f"{server.name} answers {error.code} to {head.splitlines()[0]}.") from None
