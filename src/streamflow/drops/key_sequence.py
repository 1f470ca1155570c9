"""Digest the keys of a file in their order, so that files with the same keys need not be compared in PostgreSQL."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class KeySequence:
    """Digests a sequence of texts that arrives in parts; how it is cut into parts makes no difference."""

    def __init__(self) -> None:
        # The lengths tell where each text ends.
        self._lengths, self._texts = hashlib.sha256(), hashlib.sha256()

    def add(self, keys: pa.ChunkedArray) -> None:
        """Add the next texts."""
        for part in keys.chunks:
            if not len(part):
                continue
            _, offsets, texts = part.buffers()
            ends = np.frombuffer(offsets, np.int32)[part.offset : part.offset + len(part) + 1]
            self._lengths.update(pc.binary_length(part).cast(pa.int32()).to_numpy(zero_copy_only=False))
            self._texts.update(memoryview(texts)[ends[0] : ends[-1]])

    def digest(self) -> str:
        """The digest of all texts so far."""
        return self._lengths.hexdigest() + self._texts.hexdigest()
