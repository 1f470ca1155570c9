"""Exceptions in logs: types and places only, because a message may quote a feature's value or an entity's key."""

from __future__ import annotations

import traceback
from typing import Any

_FRAMES = 12
_CAUSES = 4


def describe(error: BaseException) -> dict[str, Any]:
    """Describe an exception and its causes by type and innermost frames, as fields of a log line."""
    fields: dict[str, Any] = {"error": _type(error), "frames": _frames(error)}
    causes: list[dict[str, Any]] = []
    cause = error.__cause__ or error.__context__
    while cause is not None and len(causes) < _CAUSES:
        causes.append({"error": _type(cause), "frames": _frames(cause)})
        cause = cause.__cause__ or cause.__context__
    return {**fields, "causes": causes} if causes else fields


def _type(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _frames(error: BaseException) -> list[str]:
    return [
        f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ][-_FRAMES:]
