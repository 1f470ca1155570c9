"""A version's files against their digests, and the record of the release that they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamflow import release as releases
from streamflow import release_check
from streamflow.errors import DependencyDown, ReleaseRefused, StreamFlowError
from streamflow.mlflow_api.transport import RegistryClient
from streamflow.model_version import files as version_files
from streamflow.model_version import tags
from streamflow.model_version.contract import Contract
from streamflow.postgres.engine import transaction
from streamflow.registry import refusals
from streamflow.registry import releases as stored
from streamflow.registry.versions import Version
from streamflow.settings import DatabaseSettings


@dataclass(frozen=True)
class Verified:
    """A version whose every file was checked.

    Attributes:
        version: The version.
        release: The release that it is.
        files: Content of each file that serving needs, by name.
        made_by: Tags that identify the code and the environment that made it.
    """

    version: Version
    release: releases.Release
    files: Mapping[str, bytes]
    made_by: Mapping[str, str]

    @property
    def record(self) -> dict[str, Any]:
        """What the ledger says of the release."""
        return record(self.version, self.release.contract, self.made_by)

    def store(self, database: DatabaseSettings) -> None:
        """Store the files that serving needs, unless they are stored already."""
        with transaction(database) as connection:
            stored.store(connection, self.release.pointer, self.files)


def pointer_of(model: str, version: Version) -> releases.VersionPointer:
    """The version with the digest that pins its files. Pure."""
    return releases.VersionPointer(model, version.version, version.tags.get(tags.MANIFEST_SHA256, ""))


def check_known(database: DatabaseSettings, model: str, version: Version) -> None:
    """Refuse a version for what PostgreSQL knows of its digest, before anything is fetched.

    Raises:
        ReleaseRefused: It was not trained here (`ReleaseUnfit`: a check refused it before).
    """
    pointer = pointer_of(model, version)
    with transaction(database) as connection:
        stored.check_trained(connection, pointer)
    refusals.check(database, pointer)


def trained_here(
    database: DatabaseSettings,
    client: RegistryClient,
    model: str,
    version: Version,
    *,
    again: bool = False,
) -> Verified:
    """Verify a version that was trained here.

    Args:
        database: Where the digests of what was trained, and of what was refused, are.
        client: Client that fetches the files.
        model: Registered model.
        version: The version.
        again: Check it although it was refused before.

    Raises:
        ReleaseRefused: It was not trained here, or see `checked`.
    """
    pointer = pointer_of(model, version)
    with transaction(database) as connection:
        stored.check_trained(connection, pointer)
    return checked(database, client, model, version, again=again)


def checked(
    database: DatabaseSettings,
    client: RegistryClient,
    model: str,
    version: Version,
    *,
    again: bool = False,
) -> Verified:
    """Verify a version unless it was refused before, and remember how the check ended.

    Args:
        database: Where refused versions are remembered.
        client: Client that fetches the files.
        model: Registered model.
        version: The version.
        again: Check it although it was refused before.

    Raises:
        ReleaseUnfit: A check fails, or failed before; says which.
        ReleaseRefused: A file is missing or not the one that was registered; says which.
    """
    pointer = pointer_of(model, version)
    if not again:
        refusals.check(database, pointer)
    files, made_by = _fetched(client, pointer, version)
    with refusals.remembered(database, pointer):
        return Verified(version, release_check.check(pointer, files), files, made_by)


def verified(client: RegistryClient, model: str, version: Version) -> Verified:
    """Fetch every file of a version, check it as the predict service would, and more: all digests of the manifest.

    What was refused before is checked again: for versions that were in production.

    Raises:
        ReleaseRefused: a file is missing or not the one that was registered, or the model does not reproduce its
            golden rows; says which.
    """
    pointer = pointer_of(model, version)
    files, made_by = _fetched(client, pointer, version)
    return Verified(version, release_check.check(pointer, files), files, made_by)


def _fetched(
    client: RegistryClient, pointer: releases.VersionPointer, version: Version
) -> tuple[dict[str, bytes], Mapping[str, str]]:
    """The files that serving needs, and what made them; every file that the manifest pins has its digest."""
    manifest = _file(client, version, version_files.MANIFEST)
    if hashlib.sha256(manifest).hexdigest() != pointer.manifest_sha256:
        raise _refused(version, f"{version_files.MANIFEST} is not the one that was registered")
    files = {version_files.MANIFEST: manifest}
    pinned = _pinned(version, manifest)
    if missing := sorted(set(version_files.SERVED) - {version_files.MANIFEST, *pinned}):
        raise _refused(version, f"it has no {', '.join(missing)}")
    # Versions of earlier releases have tags instead of the file.
    made_by: Mapping[str, str] = version.tags
    for name, digest in pinned.items():
        content = _file(client, version, name)
        if hashlib.sha256(content).hexdigest() != digest:
            raise _refused(version, f"{name} is not the one that was registered")
        if name == version_files.LINEAGE:
            made_by = _lineage(version, content)
        if name in version_files.SERVED:
            files[name] = content
            if sum(map(len, files.values())) > version_files.MOST_SERVED_BYTES:
                most = version_files.MOST_SERVED_BYTES // 2**20
                raise _refused(version, f"its files are larger than {most} MiB together")
    return files, made_by


def _lineage(version: Version, content: bytes) -> Mapping[str, str]:
    try:
        return {str(name): str(value) for name, value in json.loads(content).items()}
    except (ValueError, AttributeError) as error:
        raise _refused(version, f"{version_files.LINEAGE} cannot be read") from error


def _pinned(version: Version, manifest: bytes) -> dict[str, str]:
    try:
        found = json.loads(manifest)["files"]
        return {str(name): str(digest) for name, digest in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _refused(version, f"{version_files.MANIFEST} lists no files") from error


def _file(client: RegistryClient, version: Version, name: str) -> bytes:
    try:
        content = client.file(version.source, name, version_files.MOST_SERVED_BYTES)
    except DependencyDown:
        raise
    except StreamFlowError as error:
        raise _refused(version, f"{name} cannot be fetched ({error.what})") from error
    if content is None:
        raise _refused(version, f"it has no {name}")
    return content


def record(version: Version, contract: Contract, made_by: Mapping[str, str]) -> dict[str, Any]:
    """The release: what is promoted and rolled back as one thing. Pure.

    Args:
        version: The version.
        contract: Its contract.
        made_by: Tags that identify the code and the environment that made it.
    """
    return {
        "version": version.version,
        "run_id": version.run_id,
        "manifest_sha256": version.tags.get(tags.MANIFEST_SHA256, ""),
        "feature_service": contract.feature_service,
        "feature_service_version": feature_service_version(contract),
        "fingerprint": contract.fingerprint,
        "image": made_by.get(tags.ENV_IMAGE, ""),
        "threshold": contract.threshold,
        "estimator": contract.estimator,
        "as_of": contract.as_of,
        "known_at": contract.known_at,
    }


def feature_service_version(contract: Contract) -> str:
    """Digest of what the feature service delivers: names, views, types, nullability, largest ages, in order. Pure."""
    content = [
        contract.feature_service,
        contract.join_key,
        [[f.name, f.view, f.type, f.nullable] for f in contract.features],
        [[view.name, view.max_age_seconds] for view in contract.views],
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _refused(version: Version, why: str) -> ReleaseRefused:
    return ReleaseRefused(
        f"Version {version.version} may not be served: {why}.",
        hint="Choose another version ('streamflow models list'), or restore the artifacts from a backup.",
    )
