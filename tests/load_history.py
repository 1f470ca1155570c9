"""What became of the requests of open_loop.py: parse its lines, and count failures, waits and rates. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        start: When it began, in seconds since 1970.
        end: When its answer was read, or it was given up.
        code: HTTP status; 0 without an answer.
        kept: Whether it went over a kept connection.
        controlled: Whether it was refused by a 503 with Retry-After and a problem document.
        what: `version=N` of a prediction, the code of a problem, or the error.
    """

    start: float
    end: float
    code: int
    kept: bool
    controlled: bool
    what: str

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.start

    @property
    def failed(self) -> bool:
        """Whether it got no answer, or a 5xx."""
        return self.code == 0 or self.code >= 500


def parse(text: str) -> list[Asked]:
    """The requests of a client that has ended, by the time they began.

    Raises:
        AssertionError: The client did not end, so that requests are missing.
    """
    lines = text.splitlines()
    assert lines and lines[-1] == "end", f"the client did not end: {lines[-1:]}"
    numbers, asked = set(), []
    for line in lines[:-1]:
        number, start, end, code, kind, controlled, what = line.split(" ", 6)
        numbers.add(int(number))
        asked.append(Asked(float(start), float(end), int(code), kind == "kept", controlled == "1", what))
    assert numbers == set(range(len(asked))), "lines of the client are missing"
    return sorted(asked, key=lambda each: each.start)


def failed(asked: Iterable[Asked]) -> list[Asked]:
    """Requests without an answer, or with a 5xx."""
    return [each for each in asked if each.failed]


def uncontrolled(asked: Iterable[Asked]) -> list[Asked]:
    """Failed requests that were not refused in the documented way."""
    return [each for each in asked if each.failed and not each.controlled]


def between(asked: Iterable[Asked], start: float, end: float) -> list[Asked]:
    """Requests that began in a span of time."""
    return [each for each in asked if start <= each.start < end]


def percentile(asked: Sequence[Asked], share: float) -> float:
    """Seconds within which this share of the requests was answered."""
    assert asked, "no request"
    ordered = sorted(each.seconds for each in asked)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def good_again(asked: Iterable[Asked], after: float) -> float:
    """Seconds from a moment until the first prediction of a request that began after it; infinite if there is none."""
    return min(
        (each.end - after for each in asked if each.start >= after and each.code == 200), default=float("inf")
    )


def summary(asked: Sequence[Asked]) -> dict[str, object]:
    """The figures that every verdict has."""
    return {
        "requests": len(asked),
        "kept": sum(each.kept for each in asked),
        "failed": len(failed(asked)),
        "controlled": sum(each.controlled for each in asked),
        "p50_ms": round(1000 * percentile(asked, 0.5), 1),
        "p99_ms": round(1000 * percentile(asked, 0.99), 1),
        "worst_ms": round(1000 * percentile(asked, 1.0), 1),
    }
