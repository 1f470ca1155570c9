"""API keys with their scopes, expiry and rate.

The file has one key per line, `NAME SHA256 SCOPE[,SCOPE] [expires=TIME] [rate=COUNT/UNIT]`; only digests are stored.
It is read again when it changes: to rotate a key, add the new line, move the clients, and remove the old line.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from streamflow import log
from streamflow.errors import UsageError
from streamflow.http.problems import Problem
from streamflow.times import parse_moment

_LOG = log.get(__name__)
SCOPES = ("predict", "features", "promote", "write")
_PREFIX = "sf_"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LINE = re.compile(
    rf"(?P<name>{_NAME.pattern})\s+(?P<digest>[0-9a-f]{{64}})\s+(?P<scopes>[a-z,]+)"
    r"(?:\s+expires=(?P<expires>\S+))?(?:\s+rate=(?P<rate>\S+))?"
)
_RATE = re.compile(r"[1-9]\d{0,6}/(second|minute|hour|day)")
_FORM = "NAME SHA256 SCOPE[,SCOPE] [expires=TIME] [rate=COUNT/UNIT]"


@dataclass(frozen=True)
class ApiKey:
    """What a key allows.

    Attributes:
        name: Whom the key is for.
        scopes: What it may do.
        expires: From when on it is refused, in seconds since 1970; None for a key that does not expire.
        rate: Most requests per unit of time and replica, such as `100/second`; "" for no limit.
    """

    name: str
    scopes: frozenset[str]
    expires: float | None = None
    rate: str = ""


def new_key(
    name: str, scopes: Sequence[str], *, expires: datetime | None = None, rate: str = ""
) -> tuple[str, str]:
    """Make a random key of 256 bits and its line for the file.

    Raises:
        UsageError: The name, a scope or the rate is invalid.
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
    if rate and not _RATE.fullmatch(rate):
        raise UsageError(
            f"'{rate}' is not a rate.",
            hint="Write COUNT/UNIT, for example 100/second; a unit is a second, minute, hour or day.",
        )
    key = _PREFIX + secrets.token_urlsafe(32)
    parts = [name, digest_of(key), ",".join(scopes)]
    if expires is not None:
        parts.append(f"expires={expires.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
    if rate:
        parts.append(f"rate={rate}")
    return key, " ".join(parts)


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
        key = _key(_LINE.fullmatch(line.strip()))
        if key is None:
            raise UsageError(
                f"Line {number} of the API keys is not '{_FORM}' with scopes of {', '.join(SCOPES)}.",
                hint="Make a line with 'streamflow keys new NAME --scope predict'.",
            )
        keys[line.split()[1]] = key
    return keys


def _key(found: re.Match[str] | None) -> ApiKey | None:
    if found is None:
        return None
    scopes = frozenset(found["scopes"].split(","))
    expires = None
    if found["expires"]:
        try:
            expires = parse_moment(found["expires"]).timestamp()
        except UsageError:
            return None
    rate = found["rate"] or ""
    if not scopes <= set(SCOPES) or (rate and not _RATE.fullmatch(rate)):
        return None
    return ApiKey(found["name"], scopes, expires, rate)


def read(path: Path) -> dict[str, ApiKey]:
    """Read the keys of a file.

    Raises:
        UsageError: The file cannot be read, or a line is malformed.
    """
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The API keys in {path} cannot be read ({error}).",
            hint="See STREAMFLOW_PREDICT__API_KEYS_FILE, STREAMFLOW_PROMOTION__API_KEYS_FILE, or"
            " STREAMFLOW_FEAST__API_KEYS_FILE.",
        ) from error


class KeyFile:
    """The keys in a file, as last read, and how often each was used."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            UsageError: The file cannot be read, or a line is malformed.
        """
        self._path = path
        self._limiter: Any = None
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

    async def follow(self, seconds: float) -> None:
        """Read the file again whenever it has changed, until cancelled.

        Args:
            seconds: Time between two looks at the file.
        """
        while True:
            await asyncio.sleep(seconds)
            try:
                self.refresh()
            except Exception:
                _LOG.exception("API keys not read; the former keys stay valid")

    def find(self, given: str | None) -> ApiKey | None:
        """Find the key that a caller sent; None if it is unknown."""
        return self.keys.get(digest_of(given)) if given else None

    def check(
        self, headers: Iterable[tuple[bytes, bytes]], needed: frozenset[str]
    ) -> tuple[ApiKey | None, Problem | None]:
        """Find the key in ASGI headers, and count the request against its rate if it is allowed.

        Returns:
            The key, None if it is unknown; and why the request is refused, None if it is allowed.
        """
        given = given_key(headers)
        key = self.find(given)
        return key, refuse(key, given, needed, time.time()) or self.over_rate(key)

    def over_rate(self, key: ApiKey | None) -> Problem | None:
        """Count one request, and return a problem if the key has used up its rate."""
        if key is None or not key.rate:
            return None
        # Imported when needed: most services have no key with a rate.
        import limits

        if self._limiter is None:
            # Counts instead of keeping the time of every request, as a moving window would.
            self._limiter = limits.strategies.SlidingWindowCounterRateLimiter(limits.storage.MemoryStorage())
        rate = limits.parse(key.rate)
        if self._limiter.hit(rate, key.name):
            return None
        reset = self._limiter.get_window_stats(rate, key.name).reset_time
        return Problem(
            "rate_limited",
            f"The key '{key.name}' allows {key.rate} on each replica. Send less, or ask the operator for more.",
            retry_after=max(1, math.ceil(reset - time.time())),
        )


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def refuse(key: ApiKey | None, given: str | None, needed: frozenset[str], now: float) -> Problem | None:
    """Return why a request is refused; None if it is allowed. Pure.

    Args:
        key: The known key; None if the sent key is unknown.
        given: The key as sent; None if the caller sent none.
        needed: Scopes that the request needs.
        now: Current time, in seconds since 1970.
    """
    if not given:
        return Problem("unauthorized", "Send an API key: 'Authorization: Bearer KEY', or 'X-API-Key: KEY'.")
    if key is not None and key.expires is not None and now >= key.expires:
        until = datetime.fromtimestamp(key.expires, UTC)
        return Problem(
            "unauthorized",
            f"The key '{key.name}' expired on {until:%Y-%m-%d %H:%M} UTC. Ask the operator for a new one.",
        )
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
