"""Promotions that the registrar is asked for: check and add one, find it, list those that wait for an answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast

import sqlalchemy as sa

from streamflow.errors import Busy, NotFound, PromotionConflict, UsageError
from streamflow.model_version.aliases import PROMOTION_ALIASES, PromotionAlias
from streamflow.postgres import statements

_SQL = statements.load(Path(__file__).with_name("requests.sql"))
CHANNEL = "streamflow_promotion_requests"
"""Notified at each new request; the payload is the model."""
MOST_OPEN = 100
"""Most requests of a model that may wait for an answer."""
_MOST_REASON = 1000
_MOST_VERSION = 2**31 - 1
_KEY = re.compile(r"[\x21-\x7e]{1,255}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

State = Literal["open", "done", "refused"]


@dataclass(frozen=True)
class NewRequest:
    """What somebody asks for.

    Attributes:
        alias: Where the version is to go.
        version: Number of the version.
        why: The reason, for the ledger.
        by: Who asks, for the ledger.
        key: The client's key of this request; the same key never makes a second one. None without one.
    """

    alias: PromotionAlias
    version: int
    why: str
    by: str
    key: str | None = None


@dataclass(frozen=True)
class PromotionRequest:
    """A request, with its answer once it has one.

    Attributes:
        id: Its id.
        model: Registered model.
        alias: Where the version is to go.
        version: Number of the version.
        why: The reason given.
        asked_by: Who asked, as the ledger names them.
        asked_at: When.
        answered_at: When it was answered; None while it is open.
        promotion_id: The row of the ledger that answers it; None while it is open.
        refused: Why it was refused; None if it was not.
        gate: What the gate said; empty if it was not asked.
    """

    id: str
    model: str
    alias: PromotionAlias
    version: int
    why: str
    asked_by: str
    asked_at: datetime
    answered_at: datetime | None
    promotion_id: int | None
    refused: list[str] | None
    gate: Mapping[str, Any]

    @property
    def state(self) -> State:
        """Whether it waits for an answer, was done, or was refused."""
        if self.answered_at is None:
            return "open"
        return "done" if self.refused is None else "refused"


def new(version: object, to: object, why: object, by: str, key: str | None) -> NewRequest:
    """Check what somebody asks for.

    Args:
        version: Number of the version.
        to: Where the version is to go.
        why: The reason.
        by: Who asks.
        key: The client's key of this request, for which `is_key` holds; None without one.

    Raises:
        UsageError: One of the first three is not what it must be; the message names it.
    """
    # In Python, true is an integer.
    if type(version) is not int or not 1 <= version <= _MOST_VERSION:
        raise UsageError("'version' must be the number of a version, such as 3.")
    if to not in PROMOTION_ALIASES:
        raise UsageError(f"'to' must be one of: {', '.join(sorted(PROMOTION_ALIASES))}.")
    if not isinstance(why, str) or not why.strip() or len(why) > _MOST_REASON or _CONTROL.search(why):
        raise UsageError(f"'why' must be a reason of 1 to {_MOST_REASON} characters in one line.")
    return NewRequest(cast(PromotionAlias, to), version, why.strip(), by, key)


def is_key(text: str) -> bool:
    """Whether a text may be the key of a request: 1 to 255 visible ASCII characters."""
    return _KEY.match(text) is not None


def ask(connection: sa.Connection, model: str, asked: NewRequest) -> PromotionRequest:
    """Add a request, or find the one that was made with the same key.

    Raises:
        PromotionConflict: The key was used for another promotion.
        Busy: Too many requests wait for an answer.
    """
    used = {"model": model, "asked_by": asked.by, "idempotency_key": asked.key}
    before = connection.execute(sa.text(_SQL["by_key"]), used).scalar()
    if before is None:
        if connection.execute(sa.text(_SQL["count_open"]), {"model": model}).scalar_one() >= MOST_OPEN:
            raise Busy(f"{MOST_OPEN} requests wait for an answer.", hint="Try again later.")
        values = {**used, "alias": asked.alias, "version": asked.version, "why": asked.why}
        made = connection.execute(sa.text(_SQL["ask"]), values).scalar()
        if made is not None:
            return find(connection, model, str(made))
        # Another request with this key was made in between.
        before = connection.execute(sa.text(_SQL["by_key"]), used).scalar_one()
    found = find(connection, model, str(before))
    if (found.alias, found.version, found.why) != (asked.alias, asked.version, asked.why):
        raise PromotionConflict(
            f"The Idempotency-Key was used for request {found.id}, which asks for something else.",
            hint="Send a new key with a new request.",
        )
    return found


def find(connection: sa.Connection, model: str, request_id: str) -> PromotionRequest:
    """A request by its id, which must be a UUID.

    Raises:
        NotFound: There is none.
    """
    row = connection.execute(sa.text(_SQL["find"]), {"model": model, "id": request_id}).first()
    if row is None:
        raise NotFound(f"There is no request {request_id}.")
    return PromotionRequest(**row._mapping)


def waiting(connection: sa.Connection, model: str) -> list[PromotionRequest]:
    """The requests that wait for an answer, oldest first."""
    rows = connection.execute(sa.text(_SQL["open"]), {"model": model})
    return [PromotionRequest(**row._mapping) for row in rows]
