"""Give memory back to the system after a model was loaded, and keep the collector off what stays.

Parsing a forest of 20 MB takes some 200 MB for a moment, and glibc keeps what it freed: measured 241 MiB resident
before, 166 MiB after.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc


def trim() -> None:
    """Let glibc return free pages, where it is the C library; a full collection skips what is there by now."""
    gc.collect()
    gc.freeze()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
