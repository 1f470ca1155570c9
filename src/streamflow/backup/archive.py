"""Copy the files of all model versions from MLflow's artifact proxy into one tar file, and back.

Besides the model, a version's run has the training set, the gate's reports and plots; they are copied too.
"""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from streamflow.mlflow_api.transport import PROXY, RegistryClient
from streamflow.model_version import files

_IN_MEMORY = 16 << 20
_PIECE = 1 << 20
_MOST_OF_A_MANIFEST = 16 << 20
_FOLDER = "artifacts"
Through = Callable[[str, IO[bytes], int], Iterator[tuple[str, IO[bytes], int]]]


@dataclass(frozen=True)
class Packed:
    """Result of `pack`.

    Attributes:
        digests: SHA-256 of each file in the archive, by path.
        manifests: Content of the files named as a version's manifest, by path.
        versions: Versions whose files are in the archive.
        elsewhere: Versions left out, because their files are not stored behind the artifact proxy.
    """

    digests: Mapping[str, str]
    manifests: Mapping[str, bytes]
    versions: tuple[int, ...]
    elsewhere: tuple[int, ...]


NOTHING = Packed({}, {}, (), ())


def pack(client: RegistryClient, sources: Mapping[int, str], target: Path) -> Packed:
    """Write the files of versions into the tar file `target`.

    Args:
        client: Client of MLflow.
        sources: URI of each version's files.
        target: Path of the archive.

    Raises:
        DependencyDown: MLflow does not answer.
    """
    folders = {number: folder_of(source) for number, source in sources.items()}
    digests: dict[str, str] = {}
    manifests: dict[str, bytes] = {}
    with tarfile.open(target, "w") as tar:
        for folder in sorted({folder for folder in folders.values() if folder}):
            for path in client.listed(folder):
                with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(target.parent)) as content:
                    client.download(path, content)
                    digests[path] = _add(tar, path, content)
                    if path.rpartition("/")[2] == files.MANIFEST:
                        content.seek(0)
                        manifests[path] = content.read(_MOST_OF_A_MANIFEST)
    return Packed(
        digests,
        manifests,
        tuple(sorted(number for number, folder in folders.items() if folder)),
        tuple(sorted(number for number, folder in folders.items() if not folder)),
    )


def _add(tar: tarfile.TarFile, path: str, content: IO[bytes]) -> str:
    """Add a file; return its SHA-256."""
    entry = tarfile.TarInfo(path)
    entry.size = content.tell()
    content.seek(0)
    digest = hashlib.sha256()
    while piece := content.read(_PIECE):
        digest.update(piece)
    content.seek(0)
    tar.addfile(entry, content)
    return digest.hexdigest()


def _as_they_are(path: str, content: IO[bytes], size: int) -> Iterator[tuple[str, IO[bytes], int]]:
    yield path, content, size


def unpack(client: RegistryClient, archive: Path, through: Through = _as_they_are) -> int:
    """Upload the files of an archive to their original paths; return how many.

    Args:
        client: MLflow's server.
        archive: The archive.
        through: Returns the files to upload instead of one file: path, content and size of each.

    Raises:
        DependencyDown: MLflow does not answer.
    """
    files = 0
    with tarfile.open(archive, "r:") as tar:
        for entry in tar:
            content = tar.extractfile(entry)
            if content is not None:
                for path, changed, size in through(entry.name, content, entry.size):
                    client.upload(path, changed, size)
                    files += 1
    return files


def path_of(source: str) -> str:
    """Path in the artifact proxy of the folder that a URI names. Pure."""
    return source.partition(":/")[2].strip("/")


def folder_of(source: str) -> str:
    """Folder of a version's run in the artifact proxy; "" if the version is stored elsewhere. Pure.

    mlflow-artifacts:/1/0e06fd/artifacts/model -> 1/0e06fd/artifacts
    """
    parts = path_of(source).split("/")
    if source.partition(":/")[0] != PROXY or _FOLDER not in parts:
        return ""
    return "/".join(parts[: parts.index(_FOLDER) + 1])
