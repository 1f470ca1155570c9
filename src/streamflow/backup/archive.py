"""Copy the files of all model versions from MLflow's artifact proxy into one tar file, and back.

Besides the model, a version's run has the training set, the gate's reports and plots; they are copied too.
"""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from streamflow.mlflow_api.transport import PROXY, RegistryClient

_IN_MEMORY = 16 << 20
_FOLDER = "artifacts"
Through = Callable[[str, IO[bytes], int], Iterator[tuple[str, IO[bytes], int]]]


@dataclass(frozen=True)
class Packed:
    """Result of `pack`.

    Attributes:
        files: Number of files in the archive.
        versions: Versions whose files are in the archive.
        elsewhere: Versions left out, because their files are not stored behind the artifact proxy.
    """

    files: int
    versions: tuple[int, ...]
    elsewhere: tuple[int, ...]


def pack(client: RegistryClient, model: str, target: Path) -> Packed:
    """Write the files of all versions of a model into the tar file `target`.

    Raises:
        DependencyDown: MLflow does not answer.
    """
    folders = {int(item["version"]): folder_of(str(item["source"])) for item in client.versions(model)}
    files = 0
    with tarfile.open(target, "w") as tar:
        for folder in sorted({folder for folder in folders.values() if folder}):
            for path in client.listed(folder):
                with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(target.parent)) as content:
                    client.download(path, content)
                    _add(tar, path, content)
                files += 1
    return Packed(
        files,
        tuple(sorted(number for number, folder in folders.items() if folder)),
        tuple(sorted(number for number, folder in folders.items() if not folder)),
    )


def _add(tar: tarfile.TarFile, path: str, content: IO[bytes]) -> None:
    entry = tarfile.TarInfo(path)
    entry.size = content.tell()
    content.seek(0)
    tar.addfile(entry, content)


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


def folder_of(source: str) -> str:
    """Folder of a version's run in the artifact proxy; "" if the version is stored elsewhere. Pure.

    mlflow-artifacts:/1/0e06fd/artifacts/model -> 1/0e06fd/artifacts
    """
    scheme, _, path = source.partition(":/")
    parts = path.strip("/").split("/")
    if scheme != PROXY or _FOLDER not in parts:
        return ""
    return "/".join(parts[: parts.index(_FOLDER) + 1])
