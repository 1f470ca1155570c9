"""How commands talk to the running predict service: plain HTTP, problems as our errors."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

from streamflow.errors import DependencyDown, NotFound, Refused, StreamFlowError
from streamflow.settings import Settings

# The service is reached directly, whatever proxy the environment names.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def address(settings: Settings) -> str:
    """Base address of the predict service as a client reaches it."""
    host = settings.predict.host
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '') else host}:{settings.predict.port}"  # noqa: S104


def get(settings: Settings, *path: str) -> dict[str, Any]:
    """GET a resource.

    Raises:
        DependencyDown, NotFound, Refused, StreamFlowError: as the service's problem document says.
    """
    return _answer(settings, urllib.request.Request(_url(settings, path)))  # noqa: S310


def post(settings: Settings, path: str, document: dict[str, Any]) -> dict[str, Any]:
    """POST a JSON document; raises as `get` does."""
    body = json.dumps(document).encode()
    headers = {"Content-Type": "application/json"}
    return _answer(settings, urllib.request.Request(_url(settings, (path,)), body, headers))  # noqa: S310


def _url(settings: Settings, path: tuple[str, ...]) -> str:
    return "/".join([address(settings), *(quote(part, safe="") for part in path)])


def _answer(settings: Settings, request: urllib.request.Request) -> dict[str, Any]:
    try:
        with _direct.open(request, timeout=30) as answer:
            document = json.load(answer)
    except urllib.error.HTTPError as error:
        body = error.read()
        if error.headers.get_content_type() != "application/problem+json":
            raise _other(settings) from None
        raise problem(error.code, body) from None
    except (urllib.error.URLError, OSError) as error:
        raise DependencyDown(
            f"The predict service at {address(settings)} does not answer.",
            hint="Start the local stack with 'streamflow up', or check STREAMFLOW_PREDICT__HOST and __PORT.",
            details=(str(getattr(error, "reason", error)),),
        ) from None
    except ValueError as error:
        raise _other(settings) from error
    return document if isinstance(document, dict) else {"answer": document}


def _other(settings: Settings) -> StreamFlowError:
    return StreamFlowError(
        f"What answers at {address(settings)} is no predict service.",
        hint="Check STREAMFLOW_PREDICT__HOST and __PORT; 'streamflow status' says where the local one is.",
    )


def problem(status: int, body: bytes) -> StreamFlowError:
    """Our error for a problem document (RFC 9457) of the service."""
    try:
        document = json.loads(body)
    except ValueError:
        document = {}
    held = document if isinstance(document, dict) else {}
    what = str(
        held.get("detail") or held.get("title") or f"The predict service answered with status {status}."
    )
    code = str(held.get("code", ""))
    hidden = {"type", "title", "status", "detail", "instance", "code", "hint", "request_id"}
    if code == "missing_features":
        # The sentence says it all; an unknown entity lacks every feature there is.
        hidden |= {"reason", "features"}
    details = tuple(
        f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in held.items()
        if name not in hidden and value not in (None, [], {})
    )
    error = _kind(status)(what, hint=str(held.get("hint", "")), details=details)
    error.code = code or error.code
    error.members = {name: value for name, value in held.items() if name in ("reason", "features", "views")}
    return error


def _kind(status: int) -> type[StreamFlowError]:
    if status == 503:
        return DependencyDown
    if status >= 500:
        return StreamFlowError
    return NotFound if status == 404 else Refused
