"""The registrar's API: ask for a promotion, and see what became of it. Plain ASGI; nothing is decided here."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import sqlalchemy as sa

from streamflow import log
from streamflow.errors import Busy, DependencyDown, NotFound, PromotionConflict, UsageError
from streamflow.http import json_body
from streamflow.http.answers import Receive, Scope, Send, encoded, render, request_id, send_whole
from streamflow.http.api_keys import KeyFile
from streamflow.http.problems import FAILED, Problem, ProblemError, bad_request
from streamflow.http.receiving import BodyReader, ClientGoneError, refuse_compressed
from streamflow.postgres.engine import transaction
from streamflow.registry import requests
from streamflow.registry.requests import NewRequest, PromotionRequest
from streamflow.settings import DatabaseSettings

_LOG = log.get("streamflow.access")
_Found = TypeVar("_Found")

NEEDED = frozenset(("promote",))
"""Scope that every request needs."""
RECEIVE_SECONDS = 10.0
"""Longest time for a request's headers, and again for its body, in seconds."""
_MOST_BODY_BYTES = 16_384
_MOST_WAITING = 32
_DATABASE_SECONDS = 10.0
_COLLECTION = "/promotions"
_ITEM = re.compile(rf"{_COLLECTION}/([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})\Z")
_EXAMPLE = '{"version": 3, "to": "production", "why": "…"}'
_MEMBERS = {"version", "to", "why"}
_NO_KEYS = Problem(
    "forbidden",
    "This registrar has no API keys, so nobody may ask here. Make one with 'streamflow keys new NAME --scope promote',"
    " put its line into a file, name the file in STREAMFLOW_PROMOTION__API_KEYS_FILE, and start the registrar again.",
)


class Api:
    """The ASGI application.

    Args:
        database: Where PostgreSQL is.
        model: Registered model.
        key_file: API keys; None lets nobody ask.
    """

    def __init__(self, database: DatabaseSettings, model: str, key_file: KeyFile | None) -> None:
        self._database = database
        self._model = model
        self._key_file = key_file
        self._bodies = BodyReader(_MOST_BODY_BYTES, RECEIVE_SECONDS)
        # Two connections at most: the others of this process are for answering.
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="promotions")
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one HTTP request."""
        if scope["type"] != "http":
            return
        id_ = request_id(scope)
        began = time.perf_counter()
        headers: dict[str, str] = {"content-type": "application/json", "cache-control": "no-store"}
        try:
            status, document, more = await self._answer(scope, receive)
            headers |= more
            content = encoded({**document, "request_id": id_})
        except ClientGoneError:
            return
        except ProblemError as error:
            status, headers, content = render(error.problem, id_)
            if status == 405:
                headers["allow"] = "POST" if scope["path"] == _COLLECTION else "GET"
        except Exception as error:
            _LOG.error("request failed", request_id=id_, **log.describe(error))
            status, headers, content = render(FAILED, id_)
        headers["x-request-id"] = id_
        _LOG.info(
            "request",
            method=scope["method"] if scope["method"] in ("GET", "POST") else "OTHER",
            status=status,
            duration_ms=round((time.perf_counter() - began) * 1000, 2),
            request_id=id_,
            key_id=scope.get("key_id"),
        )
        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send_whole(send, status, fields, content)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, document and further headers of an answer.

        The key comes before everything else, so that nobody without one learns anything or sends a body in vain.
        """
        by = self._admit(scope)
        path, method = scope["path"], scope["method"]
        item = _ITEM.match(path)
        if path != _COLLECTION and item is None:
            raise ProblemError(Problem("not_found", f"There is POST {_COLLECTION} and GET {_COLLECTION}/ID."))
        if method != ("POST" if item is None else "GET"):
            raise ProblemError(
                Problem("method_not_allowed", f"There is POST {_COLLECTION} and GET {_COLLECTION}/ID.")
            )
        if scope["query_string"]:
            raise bad_request("There are no query parameters.")
        if item is not None:
            found = await self._read(lambda connection: requests.find(connection, self._model, item[1]))
            return 200, document_of(found), {}
        refuse_compressed(scope["headers"])
        key = idempotency_key(scope["headers"])
        asked = read(await self._bodies.read(receive), by, key)
        made = await self._read(lambda connection: requests.ask(connection, self._model, asked))
        return 202, document_of(made), {"location": f"{_COLLECTION}/{made.id}"}

    def _admit(self, scope: Scope) -> str:
        """Name of the caller in the ledger."""
        if self._key_file is None:
            raise ProblemError(_NO_KEYS)
        key, problem = self._key_file.check(scope["headers"], NEEDED)
        if key is not None:
            scope["key_id"] = key.name
        if problem is not None or key is None:
            raise ProblemError(problem or FAILED)
        return f"key:{key.name}"

    async def _read(self, work: Callable[[sa.Connection], _Found]) -> _Found:
        """Run something in a transaction, in another thread."""
        if self._waiting >= _MOST_WAITING:
            raise ProblemError(Problem("overloaded", "Too many requests arrive at a time.", retry_after=1))

        def run() -> _Found:
            with transaction(self._database) as connection:
                return work(connection)

        self._waiting += 1
        try:
            async with asyncio.timeout(_DATABASE_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._pool, run)
        except (DependencyDown, TimeoutError, sa.exc.OperationalError, sa.exc.TimeoutError) as error:
            why = error.what if isinstance(error, DependencyDown) else "PostgreSQL does not answer."
            _LOG.warning("PostgreSQL does not answer", why=why)
            raise ProblemError(
                Problem("ledger_unavailable", "PostgreSQL does not answer. Try again.", retry_after=5)
            ) from error
        except NotFound as error:
            raise ProblemError(Problem("not_found", error.what)) from None
        except PromotionConflict as error:
            raise ProblemError(Problem("conflict", f"{error.what} {error.hint}")) from None
        except Busy as error:
            raise ProblemError(Problem("overloaded", f"{error.what} {error.hint}", retry_after=10)) from None
        finally:
            self._waiting -= 1


def idempotency_key(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The header `Idempotency-Key` of a request; None without one.

    Raises:
        ProblemError: It is sent twice, too long, or not of visible ASCII characters.
    """
    given = [value for name, value in headers if name == b"idempotency-key"]
    if not given:
        return None
    if len(given) > 1 or not requests.is_key(given[0].decode("latin-1")):
        raise bad_request("Idempotency-Key must be one header of 1 to 255 visible ASCII characters.")
    return given[0].decode()


def read(body: bytes, by: str, key: str | None) -> NewRequest:
    """Read what somebody asks for.

    Args:
        body: The request's body.
        by: Who asks, as the ledger names them.
        key: The client's key of this request.

    Raises:
        ProblemError: `bad_request`; the detail names the error.
    """
    try:
        content = json_body.parse(body)
    except (ValueError, RecursionError):
        raise bad_request(f"The body is not JSON. Send {_EXAMPLE}.") from None
    if not isinstance(content, dict):
        raise bad_request(f"The body must be an object: {_EXAMPLE}.")
    if unknown := sorted(str(name)[:60] for name in content.keys() - _MEMBERS):
        raise bad_request(f"Unknown member(s): {', '.join(unknown[:5])}. Send {_EXAMPLE}.")
    if missing := sorted(_MEMBERS - content.keys()):
        raise bad_request(f"The member(s) {', '.join(missing)} are missing. Send {_EXAMPLE}.")
    try:
        return requests.new(content["version"], content["to"], content["why"], by, key)
    except UsageError as error:
        raise bad_request(error.what) from None


def document_of(request: PromotionRequest) -> dict[str, Any]:
    """A request and its answer as a JSON document."""
    answered = request.answered_at
    return {
        "id": request.id,
        "state": request.state,
        "model": request.model,
        "version": request.version,
        "to": request.alias,
        "why": request.why,
        "asked_by": request.asked_by,
        "asked_at": request.asked_at.isoformat(),
        "answered_at": None if answered is None else answered.isoformat(),
        "promotion_id": request.promotion_id,
        "reasons": request.refused or [],
        "gate": dict(request.gate) or None,
    }
