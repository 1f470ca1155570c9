"""Answers to requests in ASGI: problem documents, request ids, and how an answer is sent."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from streamflow.http.problems import MEDIA_TYPE, Problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CLIENT_GONE = 499
"""Status in metrics and logs of a request whose client disconnected, as in nginx; it is never sent."""
_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")


def request_id(scope: Scope) -> str:
    """The id that the client sent with a request, if it is a sane one; otherwise a new one."""
    return sent_or_new_id(scope["headers"])


def sent_or_new_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The request id in the headers, whose names are in lower case; a new id if it is missing or malformed."""
    for name, value in headers:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            return value.decode()
    return secrets.token_hex(8)


def headers_of(problem: Problem) -> dict[str, str]:
    """Headers of the answer to a problem, without its media type."""
    headers: dict[str, str] = {}
    if problem.code == "unauthorized":
        headers["www-authenticate"] = "Bearer"
    if problem.code == "request_timeout":
        # The rest of the body may still arrive, and would be read as the next request.
        headers["connection"] = "close"
    if problem.code == "unsupported_encoding":
        headers["accept-encoding"] = "identity"
    if problem.retry_after:
        headers["retry-after"] = str(problem.retry_after)
    return headers


def render(problem: Problem, request_id: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to a problem."""
    headers = headers_of(problem) | {"content-type": MEDIA_TYPE}
    return problem.http_status, headers, encoded(problem.document(request_id))


def encoded(document: dict[str, Any]) -> bytes:
    """A document as JSON in UTF-8."""
    # It may quote the client, including half a surrogate pair, which UTF-8 cannot encode.
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


async def send_whole(send: Send, status: int, headers: list[tuple[bytes, bytes]], content: bytes) -> None:
    """Send an answer in one piece."""
    headers.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
