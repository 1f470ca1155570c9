"""Closes parts of MLflow's server that StreamFlow does not need, and that run commands or call other servers. ASGI."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# The assistant runs commands for clients that connect from the pod's own address, as a port-forward does.
_CLOSED = frozenset(("assistant", "jobs", "gateway", "gateway-proxy", "mcp-servers", "webhooks"))
_DEPTH = 4
"""Path segments that may name a part: /ajax-api/3.0/mlflow/assistant, /gateway. The paths of artifacts begin later."""


def is_closed(path: str) -> bool:
    """Whether a path belongs to a part that is closed."""
    segments = [segment for segment in path.split("/") if segment]
    return not _CLOSED.isdisjoint(segments[:_DEPTH])


def close(app: App) -> App:
    """Wrap an ASGI application: closed paths are answered with 403, with or without a login; all others are passed on."""

    async def closed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or not is_closed(scope["path"]):
            await app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        said = {"error_code": "PERMISSION_DENIED", "message": "StreamFlow's MLflow does not offer this."}
        content = json.dumps(said).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 403, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return closed
