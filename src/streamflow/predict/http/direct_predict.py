"""`POST /predict` without ASGI: the checks, bytes, metrics and log lines of `middleware`, at a fraction of its cost.

A request that has arrived whole is checked at once and put into the queue of the batches. The batch that answers it
writes to its connection. No task, future or message is made for it.
"""

from __future__ import annotations

import time
from typing import Any

from streamflow.http.answers import sent_or_new_id
from streamflow.http.direct import Exchange, Headers
from streamflow.http.problems import FAILED, Problem, ProblemError
from streamflow.http.receiving import BodyReader, refuse_compressed
from streamflow.predict.batcher import OverloadedError
from streamflow.predict.http import answers, requests
from streamflow.predict.http.access import PREDICT, Access
from streamflow.predict.http.access_log import AccessLog
from streamflow.predict.http.errors import render
from streamflow.predict.observe import metrics
from streamflow.predict.outcome import Outcome
from streamflow.predict.service import Service, overloaded

_PATH, _METHOD = "/predict", "POST"
_JSON = b"content-type: application/json\r\n"
_OWN = frozenset((b"x-request-id", b"traceparent", b"tracestate", b"authorization", b"x-api-key", b"cookie"))
"""Headers that differ from one request to the next, or are secret."""


class DirectPredict:
    """The direct route of `POST /predict`.

    Args:
        service: Answers predictions.
        access: Decides whether a caller may ask.
        bodies: Limits of bodies.
        log: Counts and logs answered requests.
    """

    method, path = _METHOD, _PATH

    def __init__(self, service: Service, access: Access, bodies: BodyReader, log: AccessLog) -> None:
        self.service, self.access, self.log = service, access, log
        self.join_key = service.settings.join_key
        self.takes = bodies.takes

    def repeats(self, headers: Headers) -> bool:
        """Whether nothing in a head is secret or of one request alone."""
        return not any(name in _OWN for name, _ in headers)

    def answer(self, exchange: Exchange, headers: Headers, body: bytes) -> None:
        """Check a request and queue it, or refuse it."""
        _Asked(self, exchange, sent_or_new_id(headers), len(body)).ask(headers, body)


class _Asked:
    """A request that waits for its batch, which calls it as it would call a future."""

    __slots__ = ("_began", "_exchange", "_id", "_key_id", "_route", "_size")

    def __init__(self, route: DirectPredict, exchange: Exchange, request_id: str, size: int) -> None:
        self._began = time.perf_counter()
        self._route, self._exchange, self._id, self._size = route, exchange, request_id, size
        self._key_id: str | None = None
        route.log.in_progress += 1

    def ask(self, headers: Headers, body: bytes) -> None:
        """Check the request and queue it, or refuse it."""
        route = self._route
        try:
            self._admit(headers)
            refuse_compressed(headers)
            route.service.ask(requests.read_key(body, route.join_key), self)
        except Exception as error:
            self.set_exception(error)

    def _admit(self, headers: Headers) -> None:
        scope: dict[str, Any] = {"headers": headers}
        try:
            self._route.access.admit(scope, PREDICT)
        finally:
            self._key_id = scope.get("key_id")

    def done(self) -> bool:
        """Whether it is answered; a client that is gone is answered in vain, as over ASGI."""
        return self._exchange.response_complete

    def set_result(self, outcome: Outcome) -> None:
        """Answer with a probability or a problem."""
        try:
            if outcome.problem is not None:
                self._refuse(outcome.problem)
                return
            service = self._route.service
            service.log.offer(outcome, self._id)
            began = time.perf_counter()
            content = answers.prediction_bytes(outcome, self._id)
            metrics.postprocessed(outcome.served.release.pointer.name, time.perf_counter() - began)
        except Exception as error:
            self._fail(error)
        else:
            self._send(200, _JSON, content)

    def set_exception(self, error: Exception) -> None:
        """Answer with the problem that an exception stands for."""
        if isinstance(error, OverloadedError):
            error = overloaded()
        if isinstance(error, ProblemError):
            self._refuse(error.problem)
        else:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._route.log.failed(error, _PATH, self._id)
        self._refuse(FAILED)

    def _refuse(self, problem: Problem) -> None:
        status, headers, content = render(problem, _PATH, self._id)
        self._send(
            status, "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode(), content
        )

    def _send(self, status: int, headers: bytes, content: bytes) -> None:
        route = self._route
        draining = route.service.live.draining
        headers = b"%bcontent-length: %d\r\nx-request-id: %b\r\n%b" % (
            headers,
            len(content),
            self._id.encode(),
            b"connection: close\r\n" if draining else b"",
        )
        self._exchange.reply(status, headers, content, close=draining)
        route.log.in_progress -= 1
        seconds = time.perf_counter() - self._began
        route.log.answered(_PATH, _METHOD, status, seconds, self._id, size=self._size, key_id=self._key_id)
