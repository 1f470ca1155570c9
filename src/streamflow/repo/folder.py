"""The folder of a feature repo: whether it is one, and its digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

from streamflow.errors import UsageError

STORE_FILE = "feature_store.yaml"
"""Feast's configuration; a folder without it is not a feature repo."""


def check_folder(path: Path) -> None:
    """Check that a folder is a feature repo.

    Raises:
        UsageError: It is not.
    """
    if not (path / STORE_FILE).is_file():
        raise UsageError(
            f"{path} is not a feature repo: it has no {STORE_FILE}.",
            hint="Run from the project's folder, or set STREAMFLOW_FEAST__REPO.",
        )


def digest(path: Path) -> str:
    """SHA-256 over names and contents of the repo's Python and YAML files."""
    total = hashlib.sha256()
    for file in sorted(path.glob("*.py")) + sorted(path.glob("*.yaml")):
        total.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()
