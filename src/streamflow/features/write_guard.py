"""Closes what changes something in Feast's server to all but holders of an API key with the scope `write`.

Feast's server has no logins, and lets everybody push features, write to the online store and materialize.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamflow.http.answers import App, Receive, Scope, Send, render, request_id, send_whole
from streamflow.http.api_keys import KeyFile
from streamflow.http.problems import Problem

NEEDED = frozenset(("write",))
"""Scope that every request needs that may change something."""
_SAFE = ("GET", "HEAD", "OPTIONS")
_READS = re.compile(
    r"/(get-online-features|search|retrieve-online-documents|v1/vector_stores/[^/]+/search|chat)\Z"
)
"""Paths to which a POST reads. All others are closed, those too that a later version of Feast adds."""
_NO_KEYS = Problem(
    "forbidden",
    "This server of Feast only answers reads. Features come from drops ('streamflow ingest', 'streamflow materialize');"
    " to take writes too, make a key with 'streamflow keys new NAME --scope write', put its line into a file, name the"
    " file in STREAMFLOW_FEAST__API_KEYS_FILE, and start the server again.",
)


def reads(method: str, path: str) -> bool:
    """Whether a request to Feast's server changes nothing. Pure."""
    return method in _SAFE or (method == "POST" and _READS.match(path) is not None)


class WriteGuard:
    """ASGI middleware that answers a request that may change something, unless its API key allows it.

    Args:
        app: Feast's application.
        key_file: API keys; None lets nobody write.
    """

    def __init__(self, app: App, key_file: KeyFile | None) -> None:
        self._app = app
        self._key_file = key_file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        problem = self._refuse(scope) if scope["type"] == "http" else None
        if problem is None:
            await self._app(scope, receive, send)
            return
        status, headers, content = render(problem, request_id(scope))
        await send_whole(
            send, status, [(name.encode(), value.encode()) for name, value in headers.items()], content
        )

    def _refuse(self, scope: Scope) -> Problem | None:
        if reads(scope["method"], scope["path"]):
            return None
        if self._key_file is None:
            return _NO_KEYS
        # At each write, as these are few: the application has no place for a task of its own.
        self._key_file.refresh()
        return self._key_file.check(scope["headers"], NEEDED)[1]


def guarding(make: Callable[..., Any], api_keys_file: Path | None) -> Callable[..., Any]:
    """Wrap the function that makes Feast's application.

    Raises:
        UsageError: The file of the API keys cannot be read.
    """
    key_file = KeyFile(api_keys_file) if api_keys_file else None

    def make_guarded(*arguments: Any, **options: Any) -> Any:
        app = make(*arguments, **options)
        app.add_middleware(WriteGuard, key_file=key_file)
        return app

    return make_guarded
