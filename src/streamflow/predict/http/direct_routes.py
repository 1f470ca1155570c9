"""`POST /predict` and `GET /features/…` without ASGI: the checks, bytes, metrics and log lines at a fraction of the cost.

A request that has arrived whole is checked at once and put into the queue of the batches. The batch that answers it
writes to its connection. No task, future or message is made for it.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from streamflow.http.answers import sent_or_new_id
from streamflow.http.direct import Exchange, Headers
from streamflow.http.problems import FAILED, Problem, ProblemError
from streamflow.http.receiving import BodyReader, refuse_compressed
from streamflow.predict.batcher import OverloadedError
from streamflow.predict.http import answers, requests
from streamflow.predict.http.access import FEATURES, PREDICT, Access
from streamflow.predict.http.access_log import AccessLog
from streamflow.predict.http.errors import render
from streamflow.predict.observe import metrics
from streamflow.predict.outcome import Outcome
from streamflow.predict.service import Service, overloaded

_PREDICT, _FEATURES = "/predict", "/features/"
_OWN = frozenset((b"x-request-id", b"traceparent", b"tracestate", b"authorization", b"x-api-key", b"cookie"))
"""Headers that differ from one request to the next, or are secret."""


class DirectRoutes:
    """The direct routes of predict.

    Args:
        service: Answers predictions.
        access: Decides whether a caller may ask.
        bodies: Limits of bodies.
        log: Counts and logs answered requests.
    """

    def __init__(self, service: Service, access: Access, bodies: BodyReader, log: AccessLog) -> None:
        self.service, self.access, self.log = service, access, log
        self.join_key = service.settings.join_key
        self.features_handler = f"{_FEATURES}{{{self.join_key}}}"
        self.takes = bodies.takes

    def matches(self, method: str, path: str) -> bool:
        """Whether a request is one of these routes'; a path with a control character is refused over ASGI."""
        if method == "POST":
            return path == _PREDICT
        key = path[len(_FEATURES) :]
        return method == "GET" and path.startswith(_FEATURES) and "/" not in key and requests.is_key(key)

    def repeats(self, path: str, headers: Headers) -> bool:
        """Whether a client may send this head again: neither secret, nor of one request or entity alone."""
        return path == _PREDICT and not any(name in _OWN for name, _ in headers)

    def answer(self, exchange: Exchange, path: str, headers: Headers, body: bytes) -> None:
        """Check a request and queue it, or refuse it."""
        kind = _AskedPrediction if path == _PREDICT else _AskedFeatures
        kind(self, exchange, path, sent_or_new_id(headers), len(body)).ask(headers, body)


class _Asked(ABC):
    """A request that waits for its batch, which calls it as it would call a future."""

    __slots__ = ("_began", "_exchange", "_id", "_key_id", "_path", "_route", "_size")

    _method: ClassVar[str]
    _needed: ClassVar[frozenset[str]]

    def __init__(
        self, route: DirectRoutes, exchange: Exchange, path: str, request_id: str, size: int
    ) -> None:
        self._began = time.perf_counter()
        self._route, self._exchange, self._path, self._id = route, exchange, path, request_id
        self._size = size
        self._key_id: str | None = None
        route.log.in_progress += 1

    def ask(self, headers: Headers, body: bytes) -> None:
        """Check the request and queue it, or refuse it."""
        try:
            self._admit(headers)
            refuse_compressed(headers)
            self._route.service.ask(self._key(body), self)
        except Exception as error:
            self.set_exception(error)

    def _admit(self, headers: Headers) -> None:
        scope: dict[str, Any] = {"headers": headers}
        try:
            self._route.access.admit(scope, self._needed)
        finally:
            self._key_id = scope.get("key_id")

    def done(self) -> bool:
        """Whether it is answered; a client that is gone is answered in vain, as over ASGI."""
        return self._exchange.response_complete

    def set_result(self, outcome: Outcome) -> None:
        """Answer with what was asked for, or a problem."""
        try:
            self._answer(outcome)
        except Exception as error:
            self.set_exception(error)

    def set_exception(self, error: Exception) -> None:
        """Answer with the problem that an exception stands for."""
        if isinstance(error, OverloadedError):
            error = overloaded()
        if isinstance(error, ProblemError):
            self._refuse(error.problem)
        else:
            self._route.log.failed(error, self._handler(), self._id)
            self._refuse(FAILED)

    @abstractmethod
    def _key(self, body: bytes) -> str: ...

    @abstractmethod
    def _answer(self, outcome: Outcome) -> None: ...

    @abstractmethod
    def _handler(self) -> str: ...

    def _refuse(self, problem: Problem) -> None:
        status, headers, content = render(problem, self._path, self._id)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
        self._send(status, b"%bcontent-length: %d\r\n" % (lines, len(content)), content)

    def _send(self, status: int, headers: bytes, content: bytes) -> None:
        """Send an answer, and count and log it."""
        route = self._route
        draining = route.service.live.draining
        last = b"connection: close\r\n" if draining else b""
        headers = b"%bx-request-id: %b\r\n%b" % (headers, self._id.encode(), last)
        self._exchange.reply(status, headers, content, close=draining)
        route.log.in_progress -= 1
        seconds = time.perf_counter() - self._began
        handler = self._handler()
        route.log.answered(
            handler, self._method, status, seconds, self._id, size=self._size, key_id=self._key_id
        )


class _AskedPrediction(_Asked):
    """A request for a probability."""

    __slots__ = ()

    _method, _needed = "POST", PREDICT

    def _handler(self) -> str:
        return _PREDICT

    def _key(self, body: bytes) -> str:
        return requests.read_key(body, self._route.join_key)

    def _answer(self, outcome: Outcome) -> None:
        if outcome.problem is not None:
            raise ProblemError(outcome.problem)
        self._route.service.log.offer(outcome, self._id)
        began = time.perf_counter()
        content = answers.prediction_bytes(outcome, self._id)
        metrics.postprocessed(outcome.served.release.pointer.name, time.perf_counter() - began)
        headers = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(content)
        self._send(200, headers, content)


class _AskedFeatures(_Asked):
    """A request for the values that a probability would be made from."""

    __slots__ = ()

    _method, _needed = "GET", FEATURES

    def _handler(self) -> str:
        return self._route.features_handler

    def _key(self, body: bytes) -> str:
        return requests.check_key(self._path[len(_FEATURES) :], self._route.join_key)

    def _answer(self, outcome: Outcome) -> None:
        service = self._route.service
        content = answers.features_bytes(outcome, service.live, service.settings, self._id)
        # In the order in which Starlette writes them.
        self._send(200, b"content-length: %d\r\ncontent-type: application/json\r\n" % len(content), content)
