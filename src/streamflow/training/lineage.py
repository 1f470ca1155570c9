"""Record the code, the environment and the machine that produced a run."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

from streamflow.model_version import tags
from streamflow.settings import BuildSettings

_PACKAGE = Path(__file__).resolve().parent.parent
_SOURCES = ("*.py", "*.sql", "*.yaml", "*.html")
_LOCK = Path("requirements") / "platform.txt"
# BLAS and OpenMP read their number of threads from these; it decides the order of sums.
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
    """Return tags that identify the code and the environment of a run.

    The code digests cover file contents and relative names only, so every clone and every image of the same code
    has the same digests.

    Args:
        feature_repo: Folder of the feature repo.
        build: Commit and image that the build recorded; without a commit, Git is asked.
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
        **{tags.of_package(name): metadata.version(name) for name in _DEPENDENCIES},
    }


def sources(feature_repo: Path) -> dict[str, str]:
    """Return the SHA-256 of every source file of StreamFlow and of the feature repo, by relative name."""
    return {
        **{f"streamflow/{name}": digest for name, digest in _loaded(_PACKAGE).items()},
        **{f"feature_repo/{name}": digest for name, digest in _loaded(feature_repo).items()},
    }


@lru_cache(maxsize=8)
def _loaded(root: Path) -> dict[str, str]:
    """Digest a folder's source files once per process.

    Python imports code once, so edits made after the first call do not affect the run.
    """
    return tree(root)


def tree(root: Path) -> dict[str, str]:
    """Return the SHA-256 of every source file below a folder, by relative name, sorted by name."""
    files = {path for pattern in _SOURCES for path in root.rglob(pattern) if "__pycache__" not in path.parts}
    return {
        name: hashlib.sha256((root / name).read_bytes()).hexdigest()
        for name in sorted(path.relative_to(root).as_posix() for path in files)
    }


def files_digest(files: dict[str, str]) -> str:
    """Return one SHA-256 over the names and digests of files, in the given order. Pure."""
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(name.encode() + b"\0")
        digest.update(bytes.fromhex(content))
    return digest.hexdigest()


def lock_digest(feature_repo: Path) -> str:
    """Return the SHA-256 of the lock file; "" if there is no lock file.

    In a clone and in an image, the lock file is next to the feature repo.
    """
    for root in (feature_repo.resolve().parent, _PACKAGE.parent.parent):
        if (root / _LOCK).is_file():
            return hashlib.sha256((root / _LOCK).read_bytes()).hexdigest()
    return ""


@lru_cache(maxsize=1)
def packages() -> Mapping[str, str]:
    """Return the version of every installed distribution, by name.

    Read once per process: each look parses the metadata of hundreds of distributions, and Python imports a package once.
    """
    found: dict[str, str] = {}
    # Of two distributions with one name, Python imports the one that comes first on the path.
    for item in metadata.distributions():
        # Each access to an attribute of a distribution parses its file again.
        facts = item.metadata
        if facts["Name"]:
            found.setdefault(facts["Name"].lower(), facts["Version"])
    return MappingProxyType(found)


def packages_digest() -> str:
    """Return one SHA-256 over the names and versions of all installed packages."""
    return hashlib.sha256("\n".join(f"{n}=={v}" for n, v in sorted(packages().items())).encode()).hexdigest()


def blas() -> str:
    """Describe the BLAS and OpenMP libraries in use: name, version, threading layer and processor architecture."""
    import numpy as np
    from threadpoolctl import threadpool_info

    # threadpool_info lists loaded libraries only, and NumPy may load its BLAS at the first product.
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
    """Return the commit and whether the checkout has changes ("true" or "false").

    Both are "" if the package does not run from a checkout of StreamFlow.
    """
    try:
        # Fails if Git does not track the package: a virtual environment may be inside another project's checkout.
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
