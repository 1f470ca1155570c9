"""API keys: who may ask for what. Off unless a file of keys is named.

A file has one key a line, `NAME SHA256 SCOPE[,SCOPE]`; only digests are stored. The file is read again when it changes,
so a key is rotated by adding the new line, moving the clients, and removing the old one.
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
"""What FastAPI reads as false; anything else in a query asks for something."""
_INFER = re.compile(r"/v2/models/[^/]+(/versions/[^/]+)?/infer")


@dataclass(frozen=True)
class ApiKey:
    """Whom a key belongs to, and what it may do."""

    name: str
    scopes: frozenset[str]


def new_key(name: str, scopes: Sequence[str]) -> tuple[str, str]:
    """A new random key of 256 bits, and its line for the file.

    Raises:
        UsageError: the name or a scope is not allowed.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' is no name for a key.",
            hint="Use up to 64 letters, digits, dots, dashes and underscores.",
        )
    if not scopes or set(scopes) - set(SCOPES):
        raise UsageError(
            f"'{','.join(scopes)}' are no scopes of a key.", hint=f"Scopes are: {', '.join(SCOPES)}."
        )
    key = _PREFIX + secrets.token_urlsafe(32)
    return key, f"{name} {digest_of(key)} {','.join(scopes)}"


def digest_of(key: str) -> str:
    """SHA-256 of a key. Keys are random and long, so no slow hash is needed."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def parse(text: str) -> dict[str, ApiKey]:
    """Keys by digest.

    Raises:
        UsageError: a line is not of the form; says which.
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
    """The keys of a file.

    Raises:
        UsageError: it cannot be read, or a line is not of the form.
    """
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The API keys in {path} cannot be read ({error}).", hint="See STREAMFLOW_PREDICT__API_KEYS_FILE."
        ) from error


class KeyFile:
    """The keys in a file, as of the last look at it."""

    def __init__(self, path: Path) -> None:
        """Read the file; raises as `read` does."""
        self._path = path
        self._seen = _state(path)
        self.keys: Mapping[str, ApiKey] = read(path)

    def refresh(self) -> None:
        """Read the file again when it changed; one that cannot be read leaves the keys as they were."""
        state = _state(self._path)
        if state == self._seen:
            return
        self._seen = state
        try:
            self.keys = read(self._path)
        except UsageError as error:
            _LOG.error("API keys not taken; the former ones hold", why=error.what)
            return
        _LOG.info("API keys read", keys=len(self.keys))


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def scopes_of(method: str, path: str, query: bytes = b"") -> frozenset[str]:
    """The scopes that a request needs; none when it is open to all (status, metrics, documentation).

    Args:
        query: The query string, raw.
    """
    if path == "/predict":
        return _BOTH if query and _shows_features(query) else _PREDICT
    if path == "/predict/batch" or (method == "POST" and _INFER.fullmatch(path)):
        return _PREDICT
    return _FEATURES if path.startswith("/features/") else _OPEN


def _shows_features(query: bytes) -> bool:
    """Whether the answer would tell feature values; contributions tell them too, each value has its own."""
    asked = QueryParams(query).multi_items()
    return any(name in ("features", "explain") and value.lower() not in _FALSE for name, value in asked)


def find(keys: Mapping[str, ApiKey], given: str | None) -> ApiKey | None:
    """The key that a caller gave, if it is one of ours."""
    return keys.get(digest_of(given)) if given else None


def refuse(key: ApiKey | None, given: str | None, needed: frozenset[str]) -> Problem | None:
    """Why a request is refused; None when it is allowed. Pure.

    Args:
        key: What was found for the given key.
        given: The key as the caller sent it; None without one.
        needed: The scopes that the request needs, all of them.
    """
    if not given:
        return Problem("unauthorized", "Send an API key: 'Authorization: Bearer KEY', or 'X-API-Key: KEY'.")
    if key is None:
        return Problem("unauthorized", "This API key is not known. Ask the service's operator for a new one.")
    lacking = needed - key.scopes
    if lacking:
        detail = (
            f"The key '{key.name}' may do {', '.join(sorted(key.scopes))};"
            f" this needs '{', '.join(sorted(lacking))}'."
        )
        return Problem("forbidden", detail)
    return None


def given_key(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The key in a request's headers (ASGI: lower-case names, raw values)."""
    for name, value in headers:
        if name == b"x-api-key":
            return value.decode("latin-1")
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].decode("latin-1").strip()
    return None
