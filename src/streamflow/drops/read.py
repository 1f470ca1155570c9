"""Stream a CSV file as records with line numbers; refuse files that are truncated or not UTF-8.

The file is read in blocks of whole lines. A plain block (see `blocks`) can be had as it is, for a parser of columns;
records of the others come from Python's CSV reader.
"""

from __future__ import annotations

import codecs
import csv
import io
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from streamflow.drops import blocks, limits
from streamflow.drops.blocks import Block
from streamflow.drops.raw_file import BLOCK, FileError, Meter, open_file, undecodable

_CHANGED = "changed while it was read; ingest it when it is complete."
_LINE_BREAK = 2
_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}

Progress = Callable[[str, int, int], None]
"""Callback for progress: current activity, bytes done so far, total bytes."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive records of a file.

    Attributes:
        fields: Fields of each record; None for a record with malformed quoting.
        starts: First line of each record, counted from 1. Quoted fields may span lines.
        ends: Last line of each record.
        text: Original lines, beginning with line `starts[0]`.
    """

    fields: list[list[str] | None]
    starts: list[int]
    ends: list[int]
    text: list[str]

    def raw(self, index: int) -> str:
        """Original text of a record, without its line ending."""
        first = self.starts[0]
        return "".join(self.text[self.starts[index] - first : self.ends[index] - first + 1]).rstrip("\r\n")


@dataclass(frozen=True)
class OneLineEach(Chunk):
    """Records of one line each, which need not be consecutive."""

    def raw(self, index: int) -> str:
        """Original text of a record, without its line ending."""
        return self.text[index]


class CsvReader:
    """Reads a comma-separated UTF-8 file, with or without a byte order mark and with any line endings."""

    def __init__(self, path: Path, size: int = sys.maxsize - 1, block: int = BLOCK) -> None:
        """Open a file.

        Args:
            path: Path of the file.
            size: Its size when it was fingerprinted; a file that grew is refused, and read no further.
            block: Number of bytes to read at a time.
        """
        self.path = path
        self._size = size
        self._meter = Meter(path, open_file(path), size)
        self._blocks = blocks.whole_lines(self._meter, block)
        # What is read and not yet parsed: lines for the CSV reader, then bytes.
        self._lines: deque[str] = deque()
        self._block = b""
        self._text: list[str] = []
        self._line = self._end = 0
        self._characters = self._length = 0
        self._longest = limits.HEADER_BYTES
        self._records = csv.reader(_Until(self._next_line), strict=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._meter.close()

    @property
    def bytes_read(self) -> int:
        """Number of bytes read so far."""
        return self._meter.count

    @property
    def sha256(self) -> str:
        """Hex digest of the bytes read so far; that of the whole file once `chunks` is exhausted."""
        return self._meter.digest.hexdigest()

    def require(self, sha256: str) -> None:
        """Check that the bytes read so far have a digest.

        Raises:
            FileError: They have another one.
        """
        if self.sha256 != sha256:
            raise FileError(_CHANGED)

    def _fetch(self) -> bool:
        """Have bytes to parse, which are valid UTF-8; False at the end of the file."""
        if not self._block:
            self._block = next(self._blocks, b"")
            try:
                if not self._block.isascii():
                    self._block.decode()
            except UnicodeDecodeError:
                raise FileError(undecodable(self.path)) from None
        return bool(self._block)

    def _decode(self) -> None:
        # newline="" leaves line breaks inside quoted fields as they are.
        self._lines.extend(io.StringIO(self._block.decode(), newline=""))
        self._block = b""

    def _next_line(self) -> str | None:
        inside = self._line != self._end
        if not self._lines:
            # At the end of a record, `chunks` decides who parses the next block.
            if not inside or not self._fetch():
                return None
            self._decode()
        line = self._lines.popleft()
        self._line += 1
        # The raw stream limits each line; here it is a record whose quoted fields span many of them.
        self._length = self._length + len(line) if inside else len(line)
        if self._length > self._longest + _LINE_BREAK:
            raise FileError(
                f"has a record of more than {self._longest:,} characters, which begins on line {self._end + 1}."
            )
        self._text.append(line)
        self._characters += len(line)
        return line

    def header(self) -> list[str]:
        """Read the column names in the first line, stripped of surrounding whitespace.

        Raises:
            FileError: The file is empty, uses another encoding or delimiter, or has too many columns.
        """
        if self._fetch():
            self._block = self._block.removeprefix(codecs.BOM_UTF8)
        chunk = self._take(1, plain=False)
        self._longest = limits.RECORD_BYTES
        # The rest of the block may be plain.
        self._block = "".join(self._lines).encode()
        self._lines.clear()
        if not chunk.fields:
            raise FileError("is empty.")
        names = [name.strip() for name in chunk.fields[0] or []]
        if len(names) == 1:
            for delimiter, name in _OTHER_DELIMITERS.items():
                if delimiter in names[0]:
                    raise FileError(f"has {name} between its fields; save it with commas.")
        if not any(names):
            raise FileError("has an empty first line; the first line must hold the column names.")
        return names

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Yield the records after the header, up to `rows` at a time, and fewer if they are long or wide.

        Raises:
            FileError: The file has undecodable bytes, an unclosed quote or too long a line or record, or lacks a
                final line break; or the file grew.
        """
        return (part for part in self._parts(rows, plain=False) if isinstance(part, Chunk))

    def parts(self, rows: int) -> Iterator[Chunk | Block]:
        """Yield the same records as `chunks`, those of plain blocks as `Block`."""
        return self._parts(rows, plain=True)

    def _parts(self, rows: int, *, plain: bool) -> Iterator[Chunk | Block]:
        while True:
            if plain and not self._lines and self._fetch() and blocks.is_plain(self._block):
                yield self._cut(rows)
            elif (chunk := self._take(rows, plain)).fields:
                yield chunk
            else:
                break
        if self.bytes_read > self._size:
            raise FileError(_CHANGED)
        # Without a final line break, 29.8 may be a complete value or 29.85 cut short.
        if self._meter.last not in {b"\n", b"\r"}:
            raise FileError(
                f"ends in the middle of line {self._end}, as if it were cut off; copy it again, or, if it is"
                " complete, end its last line with a line break."
            )

    def _cut(self, rows: int) -> Block:
        """The next lines of a plain block."""
        data, lines, self._block = blocks.first_lines(self._block, rows)
        block = Block(data, self._end + 1, lines)
        self._line = self._end = self._end + lines
        return block

    def _ready(self, plain: bool) -> bool:
        """Have lines for the CSV reader; False at the end of the file, or where `plain` blocks are next."""
        if not self._lines:
            if not self._fetch() or (plain and blocks.is_plain(self._block)):
                return False
            self._decode()
        return True

    def _take(self, rows: int, plain: bool) -> Chunk:
        chunk = Chunk([], [], [], [])
        self._text, self._characters, cells = chunk.text, 0, 0
        while len(chunk.fields) < rows and cells < limits.CHUNK_CELLS and self._ready(plain):
            try:
                for record in islice(self._records, rows - len(chunk.fields)):
                    self._add(chunk, record)
                    cells += len(record)
                    if cells >= limits.CHUNK_CELLS or self._characters >= limits.CHUNK_CHARACTERS:
                        return chunk
            except csv.Error as error:
                # The reader resumes at the next line, so one malformed record costs no other.
                self._refuse_unclosed(str(error))
                self._add(chunk, None)
                if self._characters >= limits.CHUNK_CHARACTERS:
                    return chunk
        return chunk

    def _add(self, chunk: Chunk, record: list[str] | None) -> None:
        start, self._end = self._end + 1, self._line
        if record is not None:
            blocks.require_narrow(record, start)
        chunk.fields.append(record)
        chunk.starts.append(start)
        chunk.ends.append(self._end)

    def _refuse_unclosed(self, error: str) -> None:
        # An unclosed quote swallows all that follows, to the end of the file or to the longest field.
        if "field larger than" in error:
            raise FileError(
                f"has a field of more than {limits.FIELD_CHARACTERS:,} characters in or after line {self._end + 1},"
                ' or a quote (") that is opened there and never closed.'
            )
        if "unexpected end of data" in error:
            raise FileError(
                f'has a quote (") that is opened in or after line {self._end + 1} and never closed; the file'
                " is cut off, or a quote in a text was not doubled."
            )


class _Until:
    """Iterates over what `take` returns until it returns None; unlike with `iter(take, None)`, more may follow."""

    def __init__(self, take: Callable[[], str | None]) -> None:
        self._take = take

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        taken = self._take()
        if taken is None:
            raise StopIteration
        return taken


def raw_records(path: Path, size: int, sha256: str, lines: set[int], rows: int) -> Iterator[tuple[int, str]]:
    """Yield line number and original text of the records that begin on `lines`, in file order.

    Raises:
        FileError: The file is unusable, or its content has changed: `size` or `sha256` differ.
    """
    with CsvReader(path, size) as reader:
        reader.header()
        for part in reader.parts(rows):
            if isinstance(part, Block):
                numbers = [line for line in range(part.start, part.start + part.lines) if line in lines]
                yield from zip(numbers, part.raw([line - part.start for line in numbers]), strict=True)
                continue
            for index, line in enumerate(part.starts):
                if line in lines:
                    yield line, part.raw(index)
        reader.require(sha256)
