"""Disks of a few megabytes, which a test may fill: tmpfs, which only root may mount."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[Path]:
    """A disk of its own in an empty folder; the test is skipped where none can be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777"]
    done = subprocess.run(["mount", *options, "none", folder], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here, so none is filled: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextlib.contextmanager
def filled(folder: Path, leave: int = 0) -> Iterator[None]:
    """Fill the disk of a folder but for some bytes, for the duration of a `with` block."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(shutil.disk_usage(folder).free - leave, 1))
        yield
    finally:
        ballast.unlink(missing_ok=True)
