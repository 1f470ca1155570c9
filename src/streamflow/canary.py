"""Which entities a canary answers. Pure."""

from __future__ import annotations

import hashlib

_BUCKETS = 1 << 32


def in_canary(key: str, share: float) -> bool:
    """Whether an entity belongs to the canary's share: the same entities always, more of them as the share grows."""
    digest = hashlib.blake2b(key.encode(), digest_size=4, person=b"canary").digest()
    return int.from_bytes(digest, "big") < share * _BUCKETS
