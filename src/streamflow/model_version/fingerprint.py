"""Compute the fingerprint of a training set, which depends on the typed values but not on the order of rows."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from typing import Any

_BYTES = 16
_MODULUS = 1 << (8 * _BYTES)


def fingerprint(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Any]]) -> str:
    """Compute a digest of typed rows that does not depend on their order.

    Each row is hashed with BLAKE2b (RFC 7693) over an unambiguous encoding of its values. The row hashes are added
    modulo 2^128, an incremental multiset hash (AdHash, Bellare and Micciancio 1997). The fingerprint detects
    accidental changes; it does not protect against an adversary who can choose rows.

    Args:
        columns: Name and type of each column, in order; both are part of the digest.
        rows: Rows with their values in the order of the columns; None is null.

    Returns:
        40 hexadecimal characters: 8 for the number of rows, 32 for the digest.
    """
    total = count = 0
    for row in rows:
        digest = hashlib.blake2b(b"".join(map(encode_value, row)), digest_size=_BYTES).digest()
        total = (total + int.from_bytes(digest, "big")) % _MODULUS
        count += 1
    header = hashlib.blake2b(repr(list(columns)).encode(), digest_size=_BYTES)
    header.update(total.to_bytes(_BYTES, "big"))
    return f"{count:08x}{header.hexdigest()}"


def encode_value(value: Any) -> bytes:
    """Encode a value unambiguously: a type tag, then the value with a fixed or stated length."""
    if value is None:
        return b"n"
    # Before int, because bool is a subclass of int.
    if isinstance(value, bool):
        return b"t" if value else b"f"
    if isinstance(value, int):
        text = str(value).encode()
        return b"i%d:" % len(text) + text
    if isinstance(value, float):
        # Adding 0.0 turns -0.0 into 0.0, which compares equal. Callers pass None for NaN.
        return b"d" + struct.pack(">d", value + 0.0)
    text = str(value).encode()
    return b"s%d:" % len(text) + text
