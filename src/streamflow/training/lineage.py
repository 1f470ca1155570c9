"""What a run was made by: code, environment, machine."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from streamflow.model_version import tags
from streamflow.settings import BuildSettings

_PACKAGE = Path(__file__).resolve().parent.parent
_SOURCES = ("*.py", "*.sql", "*.yaml", "*.html")
_LOCK = Path("requirements") / "platform.txt"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
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


def lineage(feature_repo: Path, build: BuildSettings) -> dict[str, str]:
    """Tags that say by which code and in which environment a run was made.

    The code digests are taken over file contents and relative names, so that a clone, another clone and an image
    give the same ones.
    """
    commit, dirty = _git()
    return {
        tags.CODE_DIGEST: files_digest(_loaded(_PACKAGE)),
        tags.CODE_FEATURE_REPO_DIGEST: files_digest(_loaded(feature_repo)),
        tags.CODE_COMMIT: build.commit or commit,
        tags.CODE_DIRTY: dirty,
        tags.ENV_LOCK: lock_digest(feature_repo),
        tags.ENV_IMAGE: build.image,
        tags.ENV_PYTHON: platform.python_version(),
        tags.ENV_PLATFORM: platform.platform(),
        tags.ENV_BLAS: blas(),
        tags.ENV_CPUS: str(os.cpu_count() or 0),
        tags.ENV_THREADS: ",".join(f"{name}={os.environ.get(name, '')}" for name in _THREADS),
        tags.ENV_PACKAGES_DIGEST: packages_digest(),
        **{f"streamflow.env.{name}": metadata.version(name) for name in _DEPENDENCIES},
    }


def sources(feature_repo: Path) -> dict[str, str]:
    """SHA-256 of every source file of StreamFlow and of the feature repo, by relative name."""
    return {
        **{f"streamflow/{name}": digest for name, digest in _loaded(_PACKAGE).items()},
        **{f"feature_repo/{name}": digest for name, digest in _loaded(feature_repo).items()},
    }


@lru_cache(maxsize=8)
def _loaded(root: Path) -> dict[str, str]:
    """The same once per process: code is imported once, so later edits are not what a run is made by."""
    return tree(root)


def tree(root: Path) -> dict[str, str]:
    """SHA-256 of every source file below a folder, by relative name, in order of name."""
    files = {path for pattern in _SOURCES for path in root.rglob(pattern) if "__pycache__" not in path.parts}
    return {
        name: hashlib.sha256((root / name).read_bytes()).hexdigest()
        for name in sorted(path.relative_to(root).as_posix() for path in files)
    }


def files_digest(files: dict[str, str]) -> str:
    """SHA-256 over names and digests of files. Pure."""
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(name.encode() + b"\0")
        digest.update(bytes.fromhex(content))
    return digest.hexdigest()


def lock_digest(feature_repo: Path) -> str:
    """SHA-256 of the lock file, which lies beside the feature repo in a clone and in an image; "" when it does not."""
    for root in (feature_repo.resolve().parent, _PACKAGE.parent.parent):
        if (root / _LOCK).is_file():
            return hashlib.sha256((root / _LOCK).read_bytes()).hexdigest()
    return ""


def packages() -> dict[str, str]:
    """Name and version of every installed distribution; the first one on the path is the one that is imported."""
    found: dict[str, str] = {}
    for item in metadata.distributions():
        if item.metadata["Name"]:
            found.setdefault(item.metadata["Name"].lower(), item.version)
    return found


def packages_digest() -> str:
    """SHA-256 over the installed packages and their versions."""
    return hashlib.sha256("\n".join(f"{n}=={v}" for n, v in sorted(packages().items())).encode()).hexdigest()


def blas() -> str:
    """The libraries that do linear algebra and threads, their versions, and the processor they chose code for."""
    import numpy as np
    from threadpoolctl import threadpool_info

    # A first product makes NumPy load its library.
    np.ones((2, 2)) @ np.ones((2, 2))
    found = {
        " ".join(
            str(item[key])
            for key in ("internal_api", "version", "threading_layer", "architecture")
            if item.get(key)
        )
        for item in threadpool_info()
    }
    return "; ".join(sorted(found))


def _git() -> tuple[str, str]:
    """Commit and "true"/"false" for changes to it; empty outside a checkout of StreamFlow itself."""
    try:
        # An installed copy may lie in somebody else's checkout.
        _run("ls-files", "--error-unmatch", "__init__.py")
        top = _run("rev-parse", "--show-toplevel")
        changed = _run("-C", top, "status", "--porcelain", "--", "src", "feature_repo", "requirements")
        return _run("rev-parse", "HEAD"), "true" if changed else "false"
    except (OSError, subprocess.SubprocessError):
        return "", ""


def _run(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(_PACKAGE), *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
