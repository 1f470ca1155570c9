"""Compute the fingerprint of a training set, which depends on the typed values but not on the order of rows."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

CHUNK_ROWS = 16_384
"""Rows that are encoded at a time."""

_BYTES = 16
_MODULUS = 1 << (8 * _BYTES)
_LIMB = 32
"""Digests are added in parts of so many bits, so that the sum of a chunk fits 64 bits."""

_FLOAT = np.dtype([("tag", "S1"), ("value", ">f8")])


def fingerprint(columns: Sequence[tuple[str, str]], table: pa.Table) -> str:
    """Compute a digest of typed rows that does not depend on their order.

    Each row is hashed with BLAKE2b (RFC 7693) over an unambiguous encoding of its values. The row hashes are added
    modulo 2^128, an incremental multiset hash (AdHash, Bellare and Micciancio 1997). The fingerprint detects
    accidental changes; it does not protect against an adversary who can choose rows.

    Args:
        columns: Name and type of each column, in order; both are part of the digest.
        table: The rows. What is hashed of a value depends on the type of its column here.

    Returns:
        40 hexadecimal characters: 8 for the number of rows, 32 for the digest.
    """
    whole = table.select([name for name, _ in columns])
    digests = (_digests(whole.slice(start, CHUNK_ROWS)) for start in range(0, whole.num_rows, CHUNK_ROWS))
    return _named(columns, whole.num_rows, sum(map(_sum, digests)))


def fingerprint_of_rows(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Any]]) -> str:
    """Compute the same digest of rows of Python values, with None for null, one at a time.

    Args:
        columns: Name and type of each column, in order; both are part of the digest.
        rows: Rows with their values in the order of the columns.
    """
    total = count = 0
    for row in rows:
        digest = hashlib.blake2b(b"".join(map(encode_value, row)), digest_size=_BYTES).digest()
        total += int.from_bytes(digest, "big")
        count += 1
    return _named(columns, count, total)


def _named(columns: Sequence[tuple[str, str]], count: int, total: int) -> str:
    header = hashlib.blake2b(repr(list(columns)).encode(), digest_size=_BYTES)
    header.update((total % _MODULUS).to_bytes(_BYTES, "big"))
    return f"{count:08x}{header.hexdigest()}"


def _digests(rows: pa.Table) -> bytes:
    """The digests of rows, one after the other."""
    encoded = pc.binary_join_element_wise(*(encode_column(column) for column in rows.columns), _scalar(b""))
    made: list[bytes] = []
    for chunk in encoded.chunks if isinstance(encoded, pa.ChunkedArray) else [encoded]:
        made += (hashlib.blake2b(row, digest_size=_BYTES).digest() for row in _views(chunk))
    return b"".join(made)


def _views(encoded: pa.Array) -> Iterator[memoryview]:
    """The elements of an array of bytes, without a copy."""
    _, offsets, data = encoded.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[encoded.offset : encoded.offset + len(encoded) + 1].tolist()
    content = memoryview(data if data is not None else b"")
    return (content[start:end] for start, end in pairwise(ends))


def _sum(digests: bytes) -> int:
    limbs = np.frombuffer(digests, dtype=f">u{_LIMB // 8}").reshape(-1, 8 * _BYTES // _LIMB)
    total = 0
    for limb in limbs.astype(np.uint64).sum(axis=0).tolist():
        total = (total << _LIMB) + limb
    return total


def encode_column(column: pa.ChunkedArray) -> pa.Array:
    """Encode each value of a column as `encode_value` does, into an array of the same length."""
    values = column.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    if pa.types.is_boolean(kind):
        encoded = pc.if_else(values, _scalar(b"t"), _scalar(b"f"))
    elif pa.types.is_integer(kind):
        encoded = _with_length(b"i", values.cast(pa.large_string()))
    elif pa.types.is_floating(kind):
        encoded = _floats(values)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        encoded = _with_length(b"s", values)
    else:
        return pa.array([encode_value(value) for value in values.to_pylist()], pa.large_binary())
    return pc.fill_null(encoded, _scalar(b"n"))


def _scalar(value: bytes) -> pa.Scalar:
    return pa.scalar(value, pa.large_binary())


def _with_length(tag: bytes, texts: pa.Array) -> pa.Array:
    content = texts.cast(pa.large_binary())
    lengths = pc.binary_length(content).cast(pa.large_string()).cast(pa.large_binary())
    return pc.binary_join_element_wise(
        pc.binary_join_element_wise(_scalar(tag), lengths, _scalar(b"")), content, _scalar(b":")
    )


def _floats(values: pa.Array) -> pa.Array:
    made = np.empty(len(values), dtype=_FLOAT)
    made["tag"] = b"d"
    # Adding 0.0 turns -0.0 into 0.0, which compares equal. What a null has here is covered by its mask.
    made["value"] = values.cast(pa.float64()).to_numpy(zero_copy_only=False) + 0.0
    present = pa.array(values.is_valid().to_numpy(zero_copy_only=False))
    fixed = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(_FLOAT.itemsize), len(values), [None, pa.py_buffer(made.tobytes())]
    )
    return pc.if_else(present, fixed.cast(pa.large_binary()), pa.scalar(None, pa.large_binary()))


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
