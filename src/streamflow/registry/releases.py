"""The files of releases in PostgreSQL, and the models that were trained here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa

from streamflow.errors import ReleaseRefused
from streamflow.model_version import files as version_files
from streamflow.model_version import run_record
from streamflow.postgres import statements
from streamflow.release import VersionPointer
from streamflow.release import missing as missing_files

_SQL = statements.load(Path(__file__).with_name("releases.sql"))
_PIECE_BYTES = 2**20


def record_trained(
    connection: sa.Connection, model: str, manifest_sha256: str, run_id: str, split_digest: str
) -> None:
    """Record that a model was trained here; only such models can be promoted.

    Args:
        connection: Connection to write on.
        model: Registered model.
        manifest_sha256: Digest of the manifest, which pins every file of the model.
        run_id: MLflow's id of the run that trained it.
        split_digest: Digest of the split into training rows and holdout.
    """
    values = {
        "model": model,
        "manifest_sha256": manifest_sha256,
        "run_id": run_id,
        run_record.SPLIT_DIGEST: split_digest,
    }
    connection.execute(sa.text(_SQL["record_trained"]), values)


def check_trained(connection: sa.Connection, pointer: VersionPointer) -> None:
    """Check that a version is a model that was trained here.

    Raises:
        ReleaseRefused: It was registered by somebody else.
    """
    values = {"model": pointer.name, "manifest_sha256": pointer.manifest_sha256}
    if not connection.execute(sa.text(_SQL["was_trained"]), values).scalar_one():
        raise ReleaseRefused(
            f"Version {pointer.version} of {pointer.name} may not be served: no training of StreamFlow made it.",
            hint="Only versions that 'streamflow train' or the job 'train' registered can be promoted. Train it again.",
        )


def split_digest(connection: sa.Connection, pointer: VersionPointer) -> str:
    """Digest of the split that a trained model was trained with; "" for a model of an earlier release."""
    values = {"model": pointer.name, "manifest_sha256": pointer.manifest_sha256}
    return str(connection.execute(sa.text(_SQL["split_of"]), values).scalar() or "")


def store(connection: sa.Connection, pointer: VersionPointer, files: Mapping[str, bytes]) -> None:
    """Store the files of a release, which have been verified, unless they are stored already.

    Args:
        connection: Connection with a transaction.
        pointer: Model version that the files belong to.
        files: Content of each file in `SERVED`, by name.
    """
    release = {"manifest_sha256": pointer.manifest_sha256}
    size = sum(len(files[name]) for name in version_files.SERVED)
    if connection.execute(sa.text(_SQL["store"]), {**release, "bytes": size}).first() is None:
        return
    for name in version_files.SERVED:
        content = files[name]
        for piece, start in enumerate(range(0, len(content), _PIECE_BYTES)):
            values = {
                **release,
                "file": name,
                "piece": piece,
                "content": content[start : start + _PIECE_BYTES],
            }
            connection.execute(sa.text(_SQL["store_piece"]), values)


def find(connection: sa.Connection, pointer: VersionPointer) -> dict[str, bytes] | None:
    """Read the files of a release.

    Returns:
        Content of each file, by name; None if they are not stored.
    """
    pieces: dict[str, list[bytes]] = {}
    for name, content in connection.execute(
        sa.text(_SQL["pieces"]), {"manifest_sha256": pointer.manifest_sha256}
    ):
        pieces.setdefault(name, []).append(bytes(content))
    return {name: b"".join(parts) for name, parts in pieces.items()} or None


def read(connection: sa.Connection, pointer: VersionPointer) -> dict[str, bytes]:
    """Read the files of a release.

    Raises:
        ReleaseMissing: They are not stored.
    """
    files = find(connection, pointer)
    if files is None:
        raise missing_files(pointer)
    return files


def current(connection: sa.Connection, model: str, alias: str) -> VersionPointer | None:
    """The release that an alias stands for by the ledger; None when it stands for none."""
    row = connection.execute(sa.text(_SQL["current"]), {"model": model, "alias": alias}).first()
    return None if row is None else VersionPointer(model, row[0], row[1])


def missing(connection: sa.Connection, model: str, versions: list[int]) -> list[VersionPointer]:
    """The releases of these versions, by the ledger, whose files are not stored."""
    rows = connection.execute(sa.text(_SQL["missing"]), {"model": model, "versions": versions})
    return [VersionPointer(model, *row) for row in rows]


def forget(connection: sa.Connection, keep: int) -> int:
    """Delete the files of releases that nobody will ask for; what an alias stands for is always kept.

    Args:
        connection: Connection to write on.
        keep: How many of the releases that were in production are kept, newest first.

    Returns:
        How many were deleted.
    """
    return int(connection.execute(sa.text(_SQL["forget"]), {"keep": keep}).scalar_one())
