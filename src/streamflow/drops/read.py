"""Stream a CSV file as records with line numbers; refuse files that are truncated or not UTF-8."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

_BLOCK = 1 << 20
_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


Progress = Callable[[str, int, int], None]
"""Callback for progress: current activity, bytes done so far, total bytes."""


class FileError(Exception):
    """The whole file is unusable; the message gives the reason and the remedy."""


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


class _Meter(io.RawIOBase):
    """A raw stream that counts and digests the bytes read through it, and remembers the last one."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.count = 0
        self.last = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._file.readinto(buffer)  # type: ignore[attr-defined]
        if size:
            block = bytes(memoryview(buffer)[:size])
            # A zero byte is valid UTF-8, but PostgreSQL does not store it in text; it mostly means UTF-16.
            if b"\0" in block:
                raise _UndecodableError
            self.digest.update(block)
            self.count += size
            self.last = block[-1:]
        return int(size)

    def close(self) -> None:
        self._file.close()
        super().close()


class _UndecodableError(Exception):
    """The file contains a zero byte. `_where` finds and describes it."""


class CsvReader:
    """Reads a comma-separated UTF-8 file, with or without a byte order mark and with any line endings."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._meter = _Meter(path.open("rb", buffering=0))
        buffered = io.BufferedReader(self._meter, _BLOCK)
        # newline="" leaves line breaks inside quoted fields as they are.
        self._file = io.TextIOWrapper(buffered, encoding="utf-8-sig", newline="")
        self._text: list[str] = []
        self._end = 0
        self._records = csv.reader(self._lines(), strict=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def bytes_read(self) -> int:
        """Number of bytes read so far."""
        return self._meter.count

    @property
    def sha256(self) -> str:
        """Hex digest of the bytes read so far; that of the whole file once `chunks` is exhausted."""
        return self._meter.digest.hexdigest()

    def _lines(self) -> Iterator[str]:
        for line in self._file:
            self._text.append(line)
            yield line

    def header(self) -> list[str]:
        """Read the column names in the first line, stripped of surrounding whitespace.

        Raises:
            FileError: The file is empty, or uses another encoding or delimiter.
        """
        chunk = self._take(1)
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
        """Yield the records after the header, up to `rows` at a time.

        Raises:
            FileError: The file has undecodable bytes or an unclosed quote, or lacks a final line break.
        """
        while (chunk := self._take(rows)).fields:
            yield chunk
        # Without a final line break, 29.8 may be a complete value or 29.85 cut short.
        if self._meter.last not in {b"\n", b"\r"}:
            raise FileError(
                f"ends in the middle of line {self._end}, as if it were cut off; copy it again, or, if it is"
                " complete, end its last line with a line break."
            )

    def _take(self, rows: int) -> Chunk:
        fields: list[list[str] | None] = []
        starts: list[int] = []
        ends: list[int] = []
        self._text = []
        try:
            while len(fields) < rows:
                before = len(fields)
                try:
                    for record in islice(self._records, rows - before):
                        fields.append(record)
                        starts.append(self._end + 1)
                        self._end = self._records.line_num
                        ends.append(self._end)
                    break
                except csv.Error as error:
                    # The reader resumes at the next line, so one malformed record costs no other.
                    self._refuse_unclosed(str(error))
                    fields.append(None)
                    starts.append(self._end + 1)
                    self._end = self._records.line_num
                    ends.append(self._end)
        except (UnicodeDecodeError, _UndecodableError):
            raise FileError(_where(self.path)) from None
        return Chunk(fields, starts, ends, self._text)

    def _refuse_unclosed(self, error: str) -> None:
        # An unclosed quote swallows all that follows, to the end of the file or to csv's field size limit.
        if "unexpected end of data" in error or "field larger than" in error:
            raise FileError(
                f'has a quote (") that is opened in or after line {self._end + 1} and never closed; the file'
                " is cut off, or a quote in a text was not doubled."
            )


def _where(path: Path) -> str:
    """Describe the first zero or undecodable byte of a file: line, position and remedy."""
    cure = "save the file as UTF-8."
    with path.open("rb") as file:
        if file.read(2) in _UTF16:
            return f"is encoded in UTF-16 (line 1, byte 1); {cure}"
        file.seek(0)
        for number, line in enumerate(file, start=1):
            nul = line.find(b"\0")
            if nul >= 0:
                if line.count(b"\0") > len(line) // 3:
                    return f"looks like UTF-16 (line {number}, byte {nul + 1} is zero); {cure}"
                return f"has a zero byte (line {number}, byte {nul + 1}); it is damaged, copy it again."
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return (
                    f"is not UTF-8: line {number}, byte {error.start + 1} is 0x{line[error.start]:02X}"
                    f" (Latin-1 or Windows-1252?); {cure}"
                )
    return f"is not UTF-8; {cure}"


def raw_records(path: Path, lines: set[int], rows: int) -> Iterator[tuple[int, str]]:
    """Yield line number and original text of the records that begin on `lines`, in file order."""
    with CsvReader(path) as reader:
        reader.header()
        for chunk in reader.chunks(rows):
            for index, line in enumerate(chunk.starts):
                if line in lines:
                    yield line, chunk.raw(index)
