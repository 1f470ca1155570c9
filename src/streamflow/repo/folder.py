"""Recognize the folder of a feature repo, and compute its digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

from streamflow.errors import UsageError

STORE_FILE = "feature_store.yaml"
"""Name of Feast's configuration file; each feature repo has one."""


def check_folder(path: Path) -> None:
    """Check that a folder is a feature repo.

    Raises:
        UsageError: The folder lacks Feast's configuration file.
    """
    if not (path / STORE_FILE).is_file():
        raise UsageError(
            f"{path} is not a feature repo: it has no {STORE_FILE}.",
            hint="Run from the project's folder, or set STREAMFLOW_FEAST__REPO.",
        )


def digest(path: Path) -> str:
    """Compute the SHA-256 over names and contents of the repo's Python and YAML files."""
    total = hashlib.sha256()
    for file in sorted(path.glob("*.py")) + sorted(path.glob("*.yaml")):
        total.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()
