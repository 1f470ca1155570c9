"""Model versions in MLflow's registry: register, list, show."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from streamflow import tracking
from streamflow.errors import NotFound
from streamflow.settings import Settings

ALIASES = ("production", "staging")
MANIFEST_TAG = "streamflow.manifest_sha256"
"""Tag of a version that pins the SHA-256 of its manifest, and so of every file."""

FINGERPRINT_TAG = "streamflow.fingerprint"
ESTIMATOR_TAG = "streamflow.estimator"
AS_OF_TAG = "streamflow.as_of"


@dataclass(frozen=True)
class Version:
    """One version of the registered model.

    Attributes:
        version: Its number.
        run_id: Run that made it.
        source: URI of its files.
        created_at: When it was registered.
        stage: MLflow's legacy stage, a mirror of the aliases.
        aliases: `production`, `staging`, both or neither.
        tags: Its tags.
    """

    version: int
    run_id: str
    source: str
    created_at: datetime
    stage: str
    aliases: tuple[str, ...]
    tags: dict[str, str] = field(default_factory=dict)


def register(settings: Settings, *, run_id: str, source: str, tags: dict[str, str]) -> int:
    """Register a finished run's model folder as the next version.

    Returns:
        The version's number.

    Raises:
        DependencyDown: MLflow does not answer.
    """
    name = settings.mlflow.registered_model
    with tracking.client(settings) as client:
        _ensure_model(client, name)
        created = client.create_model_version(name, source=source, run_id=run_id, tags=tags)
        return int(created.version)


def _ensure_model(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        client.create_registered_model(name)


def by_alias(settings: Settings, alias: str) -> int | None:
    """Number of the version behind an alias; None when it is not set."""
    with tracking.client(settings) as client:
        return find_alias(client, settings.mlflow.registered_model, alias)


def find_alias(client: Any, name: str, alias: str) -> int | None:
    """Number of the version behind an alias of a registered model, asked of a client."""
    from mlflow.exceptions import MlflowException

    try:
        return int(client.get_model_version_by_alias(name, alias).version)
    except MlflowException as error:
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise


def list_versions(settings: Settings) -> list[Version]:
    """All versions, newest first; empty when none was registered."""
    name = settings.mlflow.registered_model
    with tracking.client(settings) as client:
        aliases = {alias: find_alias(client, name, alias) for alias in ALIASES}
        found = client.search_model_versions(f"name = '{name}'", max_results=1000)
        versions = [_version(item, aliases) for item in found]
    return sorted(versions, key=lambda item: -item.version)


def get(settings: Settings, version: int) -> Version:
    """One version.

    Raises:
        NotFound: there is no such version.
    """
    name = settings.mlflow.registered_model
    with tracking.client(settings) as client:
        from mlflow.exceptions import MlflowException

        aliases = {alias: find_alias(client, name, alias) for alias in ALIASES}
        try:
            return _version(client.get_model_version(name, str(version)), aliases)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    raise NotFound(
        f"There is no version {version} of {name}.", hint="List them with 'streamflow models list'."
    )


def _version(item: Any, aliases: dict[str, int | None]) -> Version:
    number = int(item.version)
    return Version(
        version=number,
        run_id=str(item.run_id),
        source=str(item.source),
        created_at=datetime.fromtimestamp(item.creation_timestamp / 1000, UTC),
        stage=str(item.current_stage),
        aliases=tuple(alias for alias, target in aliases.items() if target == number),
        tags=dict(item.tags),
    )


def run_of(settings: Settings, version: Version) -> dict[str, dict[str, Any]]:
    """Parameters, metrics and StreamFlow's tags of the run that made a version."""
    with tracking.client(settings) as client:
        run = client.get_run(version.run_id)
        return {
            "params": dict(run.data.params),
            "metrics": dict(run.data.metrics),
            "tags": {key: value for key, value in run.data.tags.items() if key.startswith("streamflow.")},
        }
