"""The outermost layer: request id, body limit, drain, metrics and access log; and the short way to /predict.

Plain ASGI, because it is on the path of every request: FastAPI's own route for /predict answers the same, at three
times the cost (validation, dependency stack, response model).
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from streamflow import log
from streamflow.predict import answers, api_keys, metrics
from streamflow.predict.api_keys import KeyFile
from streamflow.predict.problems import FAILED, MEDIA_TYPE, Problem, ProblemError
from streamflow.predict.service import Service

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOG = log.get("streamflow.access")
_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_JSON = (b"content-type", b"application/json")
_PROBLEM = (b"content-type", MEDIA_TYPE.encode())


class Front:
    """ASGI application around the FastAPI one."""

    def __init__(self, app: App, service: Service, key_file: KeyFile | None = None) -> None:
        self._app = app
        self._key_file = key_file
        self._service = service
        self._limit = service.settings.max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; anything but HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 500

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

        metrics.IN_PROGRESS.inc()
        try:
            await self._route(scope, receive, send_stamped, request_id)
        finally:
            metrics.IN_PROGRESS.dec()
            self._note(scope, status, time.perf_counter() - started, request_id)

    async def _route(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        refusal = self._refusal(scope)
        if refusal is not None:
            await _send_problem(send, refusal, request_id)
            return
        try:
            body = await self._body(receive)
        except ProblemError as error:
            await _send_problem(send, error.problem, request_id)
            return
        if body is None:
            return
        if scope["path"] == "/predict" and scope["method"] == "POST" and not scope["query_string"]:
            scope["handler"] = "/predict"
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

    def _refusal(self, scope: Scope) -> Problem | None:
        """Why the caller may not ask this; None when it may."""
        if self._key_file is None:
            return None
        needed = api_keys.scope_of(scope["method"], scope["path"])
        if needed is None:
            return None
        return api_keys.refuse(self._key_file.keys, api_keys.given_key(scope["headers"]), needed)

    async def _predict(self, body: bytes, send: Send, request_id: str) -> None:
        try:
            key = answers.read_key(body, self._service.settings.join_key)
            outcome = await self._service.one(key)
        except ProblemError as error:
            await _send_problem(send, error.problem, request_id)
            return
        except Exception:
            _LOG.exception("request failed", handler="/predict", request_id=request_id)
            await _send_problem(send, FAILED, request_id)
            return
        if outcome.problem is not None:
            await _send_problem(send, outcome.problem, request_id)
            return
        self._service.log.offer(outcome, request_id)
        content = json.dumps(answers.prediction(outcome, request_id)).encode()
        await _send(send, 200, [_JSON], content)

    async def _body(self, receive: Receive) -> bytes | None:
        """The whole body; None when the client went away."""
        message = await receive()
        if message["type"] != "http.request":
            return None
        body: bytes = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            if len(body) > self._limit:
                break
        if len(body) > self._limit:
            raise ProblemError(
                Problem("request_too_large", f"The body is over {self._limit} bytes. Send less at a time.")
            )
        return body

    def _note(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        handler = str(scope.get("handler") or getattr(scope.get("route"), "path", "unmatched"))
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        metrics.answered(handler, method, status, seconds)
        if status >= 500 or self._service.settings.access_log:
            served = self._service.live.served
            _LOG.info(
                "request",
                handler=handler,
                method=method,
                status=status,
                duration_ms=round(seconds * 1000, 2),
                request_id=request_id,
                model_version=served.release.pointer.version if served else None,
            )


_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            given: str = value.decode()
            return given
    return secrets.token_hex(8)


async def _send_problem(send: Send, problem: Problem, request_id: str) -> None:
    headers = [_PROBLEM]
    if problem.code == "unauthorized":
        headers.append((b"www-authenticate", b"Bearer"))
    if problem.retry_after:
        headers.append((b"retry-after", str(problem.retry_after).encode()))
    await _send(send, problem.http_status, headers, problem.body(request_id))


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], content: bytes) -> None:
    headers.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
