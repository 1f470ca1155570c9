"""Open a drop's files as bytes: regular files only, never through a link, with lines of limited length.

A writer of the inbox must not be able to make an ingest read a file outside it, wait for a writer of a FIFO, or
fill its memory with one endless line.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import os
import stat
import sys
from pathlib import Path
from typing import Any, BinaryIO

from streamflow.drops import limits
from streamflow.drops.quoting import shown

BLOCK = 1 << 20
"""Number of bytes to read at a time."""

_CURE = "save the file as UTF-8."
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SAMPLE = 1000
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class FileError(Exception):
    """The whole file is unusable; the message gives the reason and the remedy."""


def problem_of(name: str, error: FileError | OSError) -> str:
    """Describe why a file or folder of a drop cannot be used, for the report of the drop."""
    if isinstance(error, FileError):
        return f"{shown(name)} {error}"
    return f"{shown(name)} cannot be read ({error.strerror or type(error).__name__})."


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading, without buffering.

    Neither the file nor its folder may be a symbolic link.

    Raises:
        FileError: It is not a regular file.
        OSError: It does not exist or cannot be opened, or its folder is a symbolic link.
    """
    folder = _open_folder(path.parent)
    try:
        # Even opening a device can have effects, such as rewinding a tape.
        _require_regular(os.stat(path.name, dir_fd=folder, follow_symlinks=False))
        # The file may have been replaced since: do not follow a link, and do not wait for a FIFO's writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
        descriptor = os.open(path.name, flags, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        _require_regular(os.fstat(descriptor))
        return os.fdopen(descriptor, "rb", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise


def too_many() -> str:
    """Say that a folder holds too many files, for the report of the drop."""
    return f"holds more than {limits.ENTRIES:,} files; move those that belong to no table elsewhere."


def names(folder: Path) -> list[str]:
    """List the names in a folder that is not a symbolic link, sorted.

    Raises:
        FileError: There are more than `limits.ENTRIES`.
        OSError: The folder does not exist or cannot be read, or is a symbolic link.
    """
    descriptor = _open_folder(folder)
    found = []
    try:
        with os.scandir(descriptor) as entries:
            for entry in entries:
                found.append(entry.name)
                if len(found) > limits.ENTRIES:
                    raise FileError(too_many())
    finally:
        os.close(descriptor)
    return sorted(found)


def _open_folder(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _require_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise FileError(f"is {kind} and not a regular file; put the file itself into the drop.")


class Meter(io.RawIOBase):
    """A raw stream of a file that counts and digests the bytes read through it, and remembers the last one.

    Reading raises FileError at a zero byte and at a line that is longer than `limits` allow. It ends one byte after
    `most`, so that a file that grows has an end, and its reader sees that there is more.
    """

    def __init__(self, path: Path, file: BinaryIO, most: int = sys.maxsize - 1) -> None:
        self._path = path
        self._file = file
        self._most = most
        self._line = 0
        self._longest = limits.HEADER_BYTES
        self.digest = hashlib.sha256()
        self.count = 0
        self.last = b""

    def readable(self) -> bool:
        """Whether bytes can be read: always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into `buffer`.

        Raises:
            FileError: A line is too long, or there is a zero byte.
        """
        # A line within one block is not measured, so a block may not be longer than a line.
        block = self._file.read(min(len(buffer), limits.RECORD_BYTES, self._most + 1 - self.count))
        if block:
            self._measure(block)
            # A zero byte is valid UTF-8, but PostgreSQL does not store it in text; it mostly means UTF-16.
            if b"\0" in block:
                raise FileError(undecodable(self._path))
            self.digest.update(block)
            self.count += len(block)
            self.last = block[-1:]
            buffer[: len(block)] = block
        return len(block)

    def _measure(self, block: bytes) -> None:
        starts = [at for at in (block.find(b"\n"), block.find(b"\r")) if at >= 0]
        length = self._line + (min(starts) if starts else len(block))
        if length > self._longest:
            line, _ = _place(self._path, self.count)
            what = "header" if self._longest == limits.HEADER_BYTES else "line"
            raise FileError(
                f"has a {what} of more than {self._longest:,} bytes (line {line}); is it a file of lines?"
            )
        if starts:
            length = len(block) - 1 - max(block.rfind(b"\n"), block.rfind(b"\r"))
            self._longest = limits.RECORD_BYTES
        self._line = length

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def undecodable(path: Path) -> str:
    """Describe the first zero or undecodable byte of a file: line, position and remedy."""
    with open_file(path) as file:
        start = file.read(2)
        fault = _first_fault(file)
        if start in _UTF16:
            return f"is encoded in UTF-16 (line 1, byte 1); {_CURE}"
        if fault is None:
            return f"is not UTF-8; {_CURE}"
        file.seek(fault)
        value = file.read(1)[0]
    line, number = _place(path, fault)
    if value:
        return (
            f"is not UTF-8: line {line}, byte {number} is 0x{value:02X} (Latin-1 or Windows-1252?); {_CURE}"
        )
    with open_file(path) as file:
        file.seek(fault - number + 1)
        sample = file.read(_SAMPLE).partition(b"\n")[0]
    if sample.count(b"\0") > len(sample) // 3:
        return f"looks like UTF-16 (line {line}, byte {number} is zero); {_CURE}"
    return f"has a zero byte (line {line}, byte {number}); it is damaged, copy it again."


def _first_fault(file: BinaryIO) -> int | None:
    """Return the offset of the first zero or undecodable byte, or None if there is none."""
    file.seek(0)
    decoder, end = codecs.getincrementaldecoder("utf-8")(), 0
    while True:
        block = file.read(BLOCK)
        zero = block.find(b"\0")
        part = block if zero < 0 else block[: zero + 1]
        try:
            decoder.decode(part, final=not block)
        except UnicodeDecodeError as error:
            # The decoder puts the incomplete character that ended the former block before this one.
            return end - (len(error.object) - len(part)) + error.start
        if zero >= 0:
            return end + zero
        if not block:
            return None
        end += len(block)


def _place(path: Path, offset: int) -> tuple[int, int]:
    """Return the line and the position in it of a byte, both counted from 1."""
    line, start, end, last = 1, 0, 0, b""
    with open_file(path) as file:
        while end < offset and (block := file.read(min(BLOCK, offset - end))):
            line += block.count(b"\n") + block.count(b"\r") - (last + block).count(b"\r\n")
            at = max(block.rfind(b"\n"), block.rfind(b"\r"))
            if at >= 0:
                start = end + at + 1
            end += len(block)
            last = block[-1:]
    return line, offset - start + 1
