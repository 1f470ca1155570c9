"""Middleware around the whole application: request id, API keys, body limit, drain, metrics, access log, fast path.

It is plain ASGI, because every request passes it that `direct_routes` does not answer. `POST /predict` without a query
is answered here: FastAPI's route gives the same answer at three times the cost (validation, dependencies, response
model).
"""

from __future__ import annotations

import time

from streamflow.http.answers import CLIENT_GONE, App, Message, Receive, Scope, Send, send_whole
from streamflow.http.answers import request_id as request_id_of
from streamflow.http.problems import FAILED, Problem, ProblemError
from streamflow.http.receiving import BodyReader, ClientGoneError, refuse_compressed
from streamflow.predict.http import answers, requests
from streamflow.predict.http.access import PREDICT, Access
from streamflow.predict.http.access_log import PROBES, AccessLog
from streamflow.predict.http.direct_routes import DirectRoutes
from streamflow.predict.http.errors import render
from streamflow.predict.observe import metrics, stages
from streamflow.predict.observe.stages import Trace, Tracer
from streamflow.predict.service import Service

_JSON = (b"content-type", b"application/json")


class RequestMiddleware:
    """ASGI middleware around the FastAPI application.

    Args:
        app: The FastAPI application; it answers everything but the fast path.
        service: Answers predictions.
        access: Decides whether a request may reach its route.
        tracer: Traces requests; None traces none.
    """

    def __init__(
        self,
        app: App,
        service: Service,
        access: Access,
        tracer: Tracer | None = None,
    ) -> None:
        self._app = app
        self._access = access
        self._service = service
        self._tracer = tracer
        self._log = AccessLog(service, tracer)
        settings = service.settings
        self._bodies = BodyReader(settings.max_body_bytes, settings.receive_timeout_seconds)

    @property
    def direct(self) -> DirectRoutes | None:
        """What answers some routes straight from the connection; None if requests are traced."""
        if self._tracer is not None:
            return None
        return DirectRoutes(self._service, self._access, self._bodies, self._log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one HTTP request; pass anything else to the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = request_id_of(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        trace = self._begin_trace(scope) if self._tracer is not None else None
        status = 0

        async def send_stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", ()))
                headers.append((b"x-request-id", request_id.encode()))
                if self._service.live.draining:
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": headers}
            await send(message)

        self._log.in_progress += 1
        try:
            await self._route(scope, receive, send_stamped, request_id)
        except ProblemError as error:
            await _send_problem(send_stamped, error.problem, scope["path"], request_id)
        except ClientGoneError:
            status = CLIENT_GONE
        except Exception as error:
            self._log.failed(error, _handler(scope), request_id, trace)
            if not status:
                await _send_problem(send_stamped, FAILED, scope["path"], request_id)
            status = 500
        finally:
            self._log.in_progress -= 1
            self._log.answered(
                _handler(scope),
                scope["method"],
                status or 500,
                time.perf_counter() - began,
                request_id,
                size=scope.get("body_bytes"),
                key_id=scope.get("key_id"),
                trace=trace,
            )

    async def _route(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        # Before the body is read, so that nobody sends one in vain.
        lean = scope["path"] == "/predict" and scope["method"] == "POST" and not scope["query_string"]
        if lean:
            scope["handler"] = "/predict"
            self._access.admit(scope, PREDICT)
        else:
            self._access.check(scope)
        refuse_compressed(scope["headers"])
        body = await self._bodies.read(receive)
        scope["body_bytes"] = len(body)
        if lean:
            await self._predict(body, send, request_id)
            return
        replayed = False

        async def replay() -> Message:
            nonlocal replayed
            if replayed:
                return await receive()
            replayed = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    async def _predict(self, body: bytes, send: Send, request_id: str) -> None:
        key = requests.read_key(body, self._service.settings.join_key)
        outcome = await self._service.one(key)
        if outcome.problem is not None:
            await _send_problem(send, outcome.problem, "/predict", request_id)
            return
        self._service.log.offer(outcome, request_id)
        began = time.perf_counter()
        content = answers.prediction_bytes(outcome, request_id)
        metrics.postprocessed(outcome.served.release.pointer.name, time.perf_counter() - began)
        await send_whole(send, 200, [_JSON], content)

    def _begin_trace(self, scope: Scope) -> Trace | None:
        trace = None
        if self._tracer is not None and scope["path"] not in _UNTRACED:
            trace = self._tracer.begin(scope["headers"])
        stages.enter_request(trace)
        return trace


_UNTRACED = frozenset((*PROBES, "/metrics"))


def _handler(scope: Scope) -> str:
    """Path template for logs and metrics; the path itself may contain an entity's key."""
    return scope.get("handler") or "unmatched"


async def _send_problem(send: Send, problem: Problem, path: str, request_id: str) -> None:
    status, headers, content = render(problem, path, request_id)
    await send_whole(
        send, status, [(name.encode(), value.encode()) for name, value in headers.items()], content
    )
