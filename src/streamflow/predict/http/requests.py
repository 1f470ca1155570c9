"""Entities' keys from request bodies and paths."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

from streamflow.http import json_body
from streamflow.http.problems import Problem, ProblemError, bad_request
from streamflow.predict.http.schema import KEY_PATTERN, MAX_KEY_LENGTH

_KEY = re.compile(KEY_PATTERN)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def read_key(body: bytes, join_key: str) -> str:
    """Read the entity's key from a body that is a JSON object with exactly that member.

    Raises:
        ProblemError: `bad_request`; the detail names the error.
    """
    plain = _plain(join_key).fullmatch(body)
    if plain is not None:
        return plain[1].decode()
    return check_key(_only_member(body, join_key, '"…"'), join_key)


@functools.cache
def _plain(join_key: str) -> re.Pattern[bytes]:
    """A body as nearly every client writes it, which needs no parser: JSON and `check_key` take its key as it stands."""
    name = re.escape(json.dumps(join_key).encode())
    return re.compile(rb"\{%b: ?\"([A-Za-z0-9._:-]{1,%d})\"\}" % (name, MAX_KEY_LENGTH))


def read_keys(body: bytes, join_key: str, most: int) -> list[str]:
    """Read the entities' keys from a body that is a JSON object whose only member is a list of keys.

    Raises:
        ProblemError: `bad_request`, or `request_too_large` for more than `most` keys.
    """
    name = f"{join_key}s"
    keys = _only_member(body, name, '["…", "…"]')
    if not isinstance(keys, list) or not keys:
        raise bad_request(f"'{name}' must be a list with at least one key.")
    if len(keys) > most:
        detail = f"{len(keys)} entities were requested; one request may have at most {most}. Send several requests."
        raise ProblemError(Problem("request_too_large", detail))
    return [check_key(key, join_key) for key in keys]


def _only_member(body: bytes, name: str, example: str) -> Any:
    try:
        content = json_body.parse(body)
    except (ValueError, RecursionError):
        raise bad_request(f'The body is not JSON. Send {{"{name}": {example}}}.') from None
    if not isinstance(content, dict):
        raise bad_request(f'The body must be an object: {{"{name}": {example}}}.')
    if name not in content:
        raise bad_request(f"The member '{name}' is missing.")
    if len(content) > 1:
        extra = sorted(str(other)[:60] for other in content if other != name)
        raise bad_request(f"Unknown member(s): {', '.join(extra[:5])}. Only '{name}' is taken.")
    return content[name]


def is_key(key: str) -> bool:
    """Whether a text has the length and the characters of a key."""
    return 1 <= len(key) <= MAX_KEY_LENGTH and _CONTROL.search(key) is None


def check_key(key: Any, join_key: str) -> str:
    """Check that a key can be looked up, and return it.

    Raises:
        ProblemError: `bad_request`.
    """
    if not isinstance(key, str):
        raise bad_request(f"'{join_key}' must be a string, not {type(key).__name__}.")
    if not 1 <= len(key) <= MAX_KEY_LENGTH or not _KEY.match(key) or _KEY.match(key).end() != len(key):  # type: ignore[union-attr]
        raise bad_request(
            f"'{join_key}' must have 1 to {MAX_KEY_LENGTH} characters, none of them a control character."
        )
    try:
        key.encode()
    except UnicodeEncodeError:
        raise bad_request(
            f"'{join_key}' contains half of a surrogate pair, which is not a character."
        ) from None
    return key
