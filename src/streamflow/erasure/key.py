"""The key of the list of erasures: HMAC-SHA256 of an entity's key, in Python and, by its pads, in SQL."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from streamflow.errors import UsageError
from streamflow.settings import ErasureSettings

_BLOCK = 64
_LEAST_CHARACTERS = 16
_ID_OF = "streamflow erasures"


@dataclass(frozen=True)
class Key:
    """A secret key.

    Attributes:
        secret: The key as bytes.
    """

    secret: bytes = field(repr=False)

    @property
    def pads(self) -> dict[str, bytes]:
        """The key's inner and outer pad (RFC 2104), as parameters of the SQL functions."""
        block = self.secret if len(self.secret) <= _BLOCK else hashlib.sha256(self.secret).digest()
        block = block.ljust(_BLOCK, b"\0")
        return {"inner": bytes(b ^ 0x36 for b in block), "outer": bytes(b ^ 0x5C for b in block)}

    @property
    def id(self) -> str:
        """A name of the key that tells nothing about it."""
        return self.hash(_ID_OF)[:16]

    def hash(self, entity: str) -> str:
        """The keyed hash of an entity, in hexadecimal."""
        return hmac.new(self.secret, entity.encode(), hashlib.sha256).hexdigest()


def optional(erasure: ErasureSettings) -> Key | None:
    """The key in the settings; None without one.

    Raises:
        UsageError: The key is too short to keep what it hashes from being guessed, or its file cannot be read.
    """
    secret = erasure.secret
    if secret and len(secret) < _LEAST_CHARACTERS:
        raise UsageError(
            f"The key of erasures has {len(secret)} characters; it needs at least {_LEAST_CHARACTERS}.",
            hint="Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    return Key(secret.encode()) if secret else None


def required(erasure: ErasureSettings) -> Key:
    """The key in the settings.

    Raises:
        UsageError: There is none, or it is too short.
    """
    key = optional(erasure)
    if key is None:
        raise UsageError(
            "The key of erasures is not set.",
            hint="Set STREAMFLOW_ERASURE__KEY_FILE; 'streamflow up' makes a key on a laptop, the chart on Kubernetes.",
        )
    return key
