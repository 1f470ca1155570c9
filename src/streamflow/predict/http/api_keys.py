"""API keys and their scopes; without a file of keys, none is required.

The file has one key per line, `NAME SHA256 SCOPE[,SCOPE]`; only digests are stored. It is read again when it changes: to
rotate a key, add the new line, move the clients, and remove the old line.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import QueryParams

from streamflow import log
from streamflow.errors import UsageError
from streamflow.predict.problems import Problem

_LOG = log.get(__name__)
SCOPES = ("predict", "features")
_PREFIX = "sf_"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LINE = re.compile(rf"(?P<name>{_NAME.pattern})\s+(?P<digest>[0-9a-f]{{64}})\s+(?P<scopes>[a-z,]+)")
_OPEN: frozenset[str] = frozenset()
_PREDICT, _FEATURES, _BOTH = frozenset(("predict",)), frozenset(("features",)), frozenset(SCOPES)
_FALSE = frozenset(("0", "false", "off", "f", "no", "n"))
"""Values of a query parameter that FastAPI reads as false."""
_INFER = re.compile(r"/v2/models/[^/]+(/versions/[^/]+)?/infer")


@dataclass(frozen=True)
class ApiKey:
    """Name and scopes of a key."""

    name: str
    scopes: frozenset[str]


def new_key(name: str, scopes: Sequence[str]) -> tuple[str, str]:
    """Make a random key of 256 bits and its line for the file.

    Raises:
        UsageError: The name or a scope is invalid.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' is not a valid name for a key.",
            hint="Use up to 64 letters, digits, dots, dashes and underscores.",
        )
    if not scopes or set(scopes) - set(SCOPES):
        raise UsageError(
            f"'{','.join(scopes)}' are not valid scopes.", hint=f"Valid scopes are: {', '.join(SCOPES)}."
        )
    key = _PREFIX + secrets.token_urlsafe(32)
    return key, f"{name} {digest_of(key)} {','.join(scopes)}"


def digest_of(key: str) -> str:
    """SHA-256 of a key; keys are long and random, so a slow hash is not needed."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def parse(text: str) -> dict[str, ApiKey]:
    """Read keys by digest from the text of a file.

    Raises:
        UsageError: A line is malformed; the message gives its number.
    """
    keys: dict[str, ApiKey] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        scopes = frozenset(found["scopes"].split(",")) if found else frozenset()
        if found is None or not scopes <= set(SCOPES):
            raise UsageError(
                f"Line {number} of the API keys is not 'NAME SHA256 SCOPE[,SCOPE]' with scopes of {', '.join(SCOPES)}.",
                hint="Make a line with 'streamflow keys new NAME --scope predict'.",
            )
        keys[found["digest"]] = ApiKey(found["name"], scopes)
    return keys


def read(path: Path) -> dict[str, ApiKey]:
    """Read the keys of a file.

    Raises:
        UsageError: The file cannot be read, or a line is malformed.
    """
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The API keys in {path} cannot be read ({error}).", hint="See STREAMFLOW_PREDICT__API_KEYS_FILE."
        ) from error


class KeyFile:
    """The keys in a file, as last read."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            UsageError: The file cannot be read, or a line is malformed.
        """
        self._path = path
        self._seen = _state(path)
        self.keys: Mapping[str, ApiKey] = read(path)

    def refresh(self) -> None:
        """Read the file again if it has changed; if it is invalid, keep the former keys."""
        state = _state(self._path)
        if state == self._seen:
            return
        self._seen = state
        try:
            self.keys = read(self._path)
        except UsageError as error:
            _LOG.error("API keys not read; the former keys stay valid", why=error.what)
            return
        _LOG.info("API keys read", keys=len(self.keys))


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def scopes_of(method: str, path: str, query: bytes = b"") -> frozenset[str]:
    """Scopes that a request needs; empty for status, metrics and documentation, which are open.

    Args:
        method: HTTP method.
        path: Path of the request.
        query: Raw query string.
    """
    if path == "/predict":
        return _BOTH if query and _shows_features(query) else _PREDICT
    if path == "/predict/batch" or (method == "POST" and _INFER.fullmatch(path)):
        return _PREDICT
    return _FEATURES if path.startswith("/features/") else _OPEN


def _shows_features(query: bytes) -> bool:
    """Whether the answer would reveal feature values; contributions do too, because they identify values."""
    asked = QueryParams(query).multi_items()
    return any(name in ("features", "explain") and value.lower() not in _FALSE for name, value in asked)


def find(keys: Mapping[str, ApiKey], given: str | None) -> ApiKey | None:
    """Find the key that a caller sent; None if it is unknown."""
    return keys.get(digest_of(given)) if given else None


def refuse(key: ApiKey | None, given: str | None, needed: frozenset[str]) -> Problem | None:
    """Return why a request is refused; None if it is allowed. Pure.

    Args:
        key: The known key; None if the sent key is unknown.
        given: The key as sent; None if the caller sent none.
        needed: Scopes that the request needs.
    """
    if not given:
        return Problem("unauthorized", "Send an API key: 'Authorization: Bearer KEY', or 'X-API-Key: KEY'.")
    if key is None:
        return Problem(
            "unauthorized", "This API key is unknown. Ask the operator of the service for a new one."
        )
    lacking = needed - key.scopes
    if lacking:
        detail = (
            f"The key '{key.name}' has the scope {', '.join(sorted(key.scopes))};"
            f" this request also needs '{', '.join(sorted(lacking))}'."
        )
        return Problem("forbidden", detail)
    return None


def given_key(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Read the key from ASGI headers, whose names are lower-case; None if the caller sent none."""
    for name, value in headers:
        if name == b"x-api-key":
            return value.decode("latin-1")
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].decode("latin-1").strip()
    return None
