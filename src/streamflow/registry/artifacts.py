"""A version's files against their digests, and the record of the release that they are."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from streamflow.contract import Contract
from streamflow.errors import ReleaseRefused
from streamflow.registry import release as releases
from streamflow.registry.versions import MANIFEST_TAG, Version
from streamflow.settings import Settings

IMAGE_TAG = "streamflow.env.image"


def verified(client: Any, settings: Settings, version: Version) -> dict[str, Any]:
    """Check every file of a version.

    Returns:
        The release record.

    Raises:
        ReleaseRefused: see `verified_release`.
    """
    return record(version, verified_release(client, settings, version).contract)


def verified_release(client: Any, settings: Settings, version: Version) -> releases.Release:
    """Fetch every file of a version, check it as the predict service would, and more: all digests of the manifest.

    Raises:
        ReleaseRefused: a file is missing or not the one that was registered, or the model does not reproduce its
            golden rows; says which.
    """
    name = settings.mlflow.registered_model
    pointer = releases.VersionPointer(name, version.version, version.tags.get(MANIFEST_TAG, ""))
    with tempfile.TemporaryDirectory(prefix="streamflow-verify-") as folder:
        root = fetch(client, version, Path(folder))
        files = {}
        for file in releases.FILES:
            if not (root / file).is_file():
                raise _refused(version, f"it has no {file}")
            files[file] = (root / file).read_bytes()
        if hashlib.sha256(files[releases.MANIFEST]).hexdigest() != pointer.manifest_sha256:
            raise _refused(version, f"{releases.MANIFEST} is not the one that was registered")
        for file, digest in json.loads(files[releases.MANIFEST])["files"].items():
            path = root / file
            if not path.is_file():
                raise _refused(version, f"it has no {file}")
            if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                raise _refused(version, f"{file} is not the one that was registered")
    return releases.check(pointer, files)


def fetch(client: Any, version: Version, folder: Path) -> Path:
    """Download a version's folder.

    Raises:
        ReleaseRefused: it is not there.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        found = download_artifacts(
            artifact_uri=version.source, dst_path=str(folder), tracking_uri=client.tracking_uri
        )
    except (MlflowException, OSError) as error:
        if "API request to" in str(error):
            raise
        raise _refused(
            version, f"its files cannot be fetched ({str(error).splitlines()[0][:200]})"
        ) from error
    return Path(found)


def record(version: Version, contract: Contract) -> dict[str, Any]:
    """The release: what is promoted and rolled back as one thing. Pure."""
    return {
        "version": version.version,
        "run_id": version.run_id,
        "manifest_sha256": version.tags.get(MANIFEST_TAG, ""),
        "feature_service": contract.feature_service,
        "feature_service_version": feature_service_version(contract),
        "fingerprint": contract.fingerprint,
        "image": version.tags.get(IMAGE_TAG, ""),
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
