"""Selects the entities that a canary answers."""

from __future__ import annotations

import hashlib

_BUCKETS = 1 << 32


def in_canary(key: str, share: float) -> bool:
    """Whether an entity belongs to the canary's share.

    The choice is stable: the same entities always, and a larger share only adds entities. Pure.
    """
    digest = hashlib.blake2b(key.encode(), digest_size=4, person=b"canary").digest()
    return int.from_bytes(digest, "big") < share * _BUCKETS
