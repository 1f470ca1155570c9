"""What a run was made by: code, environment, machine."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
_SOURCES = ("*.py", "*.sql", "*.yaml", "*.html")
_DEPENDENCIES = (
    "scikit-learn",
    "numpy",
    "scipy",
    "pandas",
    "feast",
    "mlflow",
    "skops",
    "skl2onnx",
    "onnxruntime",
)


def lineage(feature_repo: Path) -> dict[str, str]:
    """Tags that say by which code and in which environment a run was made.

    The code digest is taken over file contents and relative names, so that a clone, another clone and an image
    give the same one.
    """
    commit, dirty = _git()
    return {
        "streamflow.code.digest": tree_digest(_PACKAGE),
        "streamflow.code.feature_repo_digest": tree_digest(feature_repo),
        "streamflow.code.commit": os.environ.get("STREAMFLOW_COMMIT", commit),
        "streamflow.code.dirty": dirty,
        "streamflow.env.python": platform.python_version(),
        "streamflow.env.platform": platform.platform(),
        "streamflow.env.image": os.environ.get("STREAMFLOW_IMAGE_DIGEST", ""),
        "streamflow.env.packages_digest": packages_digest(),
        **{f"streamflow.env.{name}": metadata.version(name) for name in _DEPENDENCIES},
    }


def tree_digest(root: Path) -> str:
    """SHA-256 over the sources below a folder: relative name and content of each, in order of name."""
    digest = hashlib.sha256()
    files = {path for pattern in _SOURCES for path in root.rglob(pattern) if "__pycache__" not in path.parts}
    for path in sorted(files, key=lambda path: path.relative_to(root).as_posix()):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def packages() -> dict[str, str]:
    """Name and version of every installed distribution."""
    return {
        item.metadata["Name"].lower(): item.version
        for item in metadata.distributions()
        if item.metadata["Name"]
    }


def packages_digest() -> str:
    """SHA-256 over the installed packages and their versions."""
    return hashlib.sha256("\n".join(f"{n}=={v}" for n, v in sorted(packages().items())).encode()).hexdigest()


def _git() -> tuple[str, str]:
    """Commit and "true"/"false" for uncommitted changes; empty outside a checkout."""
    try:
        commit = _run("rev-parse", "HEAD")
        return commit, "true" if _run("status", "--porcelain", "--untracked-files=no") else "false"
    except (OSError, subprocess.SubprocessError):
        return "", ""


def _run(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(_PACKAGE), *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
