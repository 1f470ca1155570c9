"""Cut a file into blocks of whole lines, and tell which are plain: one record a line, without quotes."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from streamflow.drops import limits
from streamflow.drops.raw_file import FileError

_WINDOW = limits.FIELD_CHARACTERS // 2


@dataclass(frozen=True)
class Block:
    """Consecutive lines of a file, each a record without quotes.

    Attributes:
        data: The lines as they are in the file, in UTF-8, each with its line break.
        start: Line number of the first one, counted from 1.
        lines: Number of lines.
    """

    data: bytes
    start: int
    lines: int

    @cached_property
    def array(self) -> Any:
        """The bytes as an array."""
        return np.frombuffer(self.data, np.uint8)

    @cached_property
    def ends(self) -> Any:
        """Position of the line feed of each line."""
        return np.flatnonzero(self.array == ord("\n"))

    def raw(self, indexes: Sequence[int]) -> list[str]:
        """Original text of some lines, without their line ending."""
        if not len(indexes):
            return []
        ends = self.ends
        return [
            self.data[(ends[at - 1] + 1 if at else 0) : ends[at]].decode().rstrip("\r\n") for at in indexes
        ]

    def fields(self, raw: Sequence[str], indexes: Sequence[int]) -> list[list[str]]:
        """Fields of lines whose text is given.

        Raises:
            FileError: A line has too many fields.
        """
        records = list(csv.reader(raw, strict=True))
        for at, record in zip(indexes, records, strict=True):
            require_narrow(record, self.start + int(at))
        return records

    def misshapen(self, width: int) -> Any:
        """Whether each line has another number of fields than `width`, as an array."""
        commas = np.flatnonzero(self.array == ord(","))
        until = np.searchsorted(commas, self.ends)
        lengths = np.diff(self.ends, prepend=-1) - 1
        if b"\r" in self.data:
            lengths -= (self.array[self.ends - 1] == ord("\r")) & (lengths > 0)
        return (np.diff(until, prepend=0) != width - 1) | (lengths == 0)

    def without(self, lines: Any) -> bytes:
        """The bytes without some lines, which an array of booleans marks."""
        starts = np.concatenate(([0], self.ends[:-1] + 1))
        return b"".join(
            self.data[start : end + 1] for start, end in zip(starts[~lines], self.ends[~lines], strict=True)
        )


def whole_lines(file: io.RawIOBase, size: int) -> Iterator[bytes]:
    """Yield the bytes of a file in blocks that end with a line, of about `size` bytes or a line."""
    rest = b""
    while data := file.read(size):
        rest += data
        # A carriage return at the end may be half of a line break.
        end = max(rest.rfind(b"\n"), rest.rfind(b"\r", 0, len(rest) - 1)) + 1
        if end:
            yield rest[:end]
            rest = rest[end:]
    if rest:
        yield rest


def is_plain(block: bytes) -> bool:
    """Whether each line of a block that begins with a record is a record, so that only commas and line feeds matter."""
    if b'"' in block or not block.endswith(b"\n") or block.startswith(codecs.BOM_UTF8):
        return False
    if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
        return False
    # With a line feed in each window, no line is longer than two, and no field longer than the CSV reader takes.
    return all(block.find(b"\n", at, at + _WINDOW) >= 0 for at in range(0, len(block), _WINDOW))


def first_lines(block: bytes, most: int) -> tuple[bytes, int, bytes]:
    """Cut off the first lines of a plain block, at most `most`; return them, their number and the rest."""
    lines = block.count(b"\n")
    if lines <= most:
        return block, lines, b""
    end = int(np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n"))[most - 1]) + 1
    return block[:end], most, block[end:]


def require_narrow(record: Sequence[str], line: int) -> None:
    """Check that a record, which begins on a line, does not have more fields than a table has columns.

    Raises:
        FileError: It has.
    """
    if len(record) > limits.COLUMNS:
        raise FileError(
            f"has {len(record):,} fields on line {line}; at most {limits.COLUMNS:,} columns are read."
        )
