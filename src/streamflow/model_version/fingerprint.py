"""The fingerprint of a training set: equal if and only if the same typed values are in it, in any row order."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from typing import Any

_BYTES = 16
_MODULUS = 1 << (8 * _BYTES)


def fingerprint(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Any]]) -> str:
    """Order-independent digest of rows of typed values.

    Each row is digested with BLAKE2b (RFC 7693) over an unambiguous encoding of its values; the digests are
    added modulo 2^128, an incremental multiset hash (AdHash, Bellare and Micciancio 1997). Guards against
    accident, not against an adversary who may choose rows.

    Args:
        columns: Name and type of each column, in order; they are part of the digest.
        rows: The rows, values in the order of the columns; None is null.

    Returns:
        40 hexadecimal characters: 8 of the number of rows, 32 of the digest.
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
    """Unambiguous bytes of one value: a type tag, then the value with a known length."""
    if value is None:
        return b"n"
    if isinstance(value, bool):
        return b"t" if value else b"f"
    if isinstance(value, int):
        text = str(value).encode()
        return b"i%d:" % len(text) + text
    if isinstance(value, float):
        # -0.0 equals 0.0; every NaN is null and never arrives here.
        return b"d" + struct.pack(">d", value + 0.0)
    text = str(value).encode()
    return b"s%d:" % len(text) + text
