"""Model versions in MLflow's registry: register, list, show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from streamflow.errors import DependencyDown, NotFound, StreamFlowError
from streamflow.mlflow_api.transport import RegistryClient, registry, tags_of
from streamflow.model_version import files
from streamflow.model_version import tags as version_tags
from streamflow.model_version.aliases import PROMOTION_ALIASES, STAGING
from streamflow.model_version.contract import drops_digest
from streamflow.settings import MlflowSettings


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


def register(mlflow: MlflowSettings, *, run_id: str, source: str, tags: dict[str, str]) -> int:
    """Register a finished run's model folder as the next version.

    Returns:
        The version's number.

    Raises:
        DependencyDown: MLflow does not answer.
    """
    with registry(mlflow) as client:
        return client.create_version(mlflow.registered_model, source, run_id, tags)


def by_alias(mlflow: MlflowSettings, alias: str) -> int | None:
    """Number of the version behind an alias; None when it is not set."""
    with registry(mlflow) as client:
        return client.alias(mlflow.registered_model, alias)


def list_versions(mlflow: MlflowSettings) -> list[Version]:
    """All versions, newest first; empty when none was registered."""
    name = mlflow.registered_model
    with registry(mlflow) as client:
        aliases = {alias: client.alias(name, alias) for alias in PROMOTION_ALIASES}
        return [_version(item, aliases) for item in client.versions(name)]


def waiting(found: Sequence[Version]) -> str:
    """Which version waits at staging for a person, and what to do about it; "" when none does. Pure."""
    item = next((item for item in found if STAGING in item.aliases), None)
    if item is None:
        return ""
    verdict = item.tags.get(version_tags.GATE)
    number = item.version
    if verdict == "passed":
        step = f'passed the gate; promote it with: streamflow models promote {number} --why "…"'
    elif verdict == "failed":
        step = f"the gate refused it; see: streamflow gate {number}"
    else:
        step = f"not judged yet; see: streamflow gate {number}"
    return f"Version {number} waits at staging: {step}"


def get(mlflow: MlflowSettings, version: int) -> Version:
    """One version.

    Raises:
        NotFound: there is no such version.
    """
    with registry(mlflow) as client:
        return read(client, mlflow.registered_model, version)


def read(client: RegistryClient, name: str, version: int) -> Version:
    """One version of the model `name`, with a client that is open already.

    Raises:
        NotFound: There is no such version.
    """
    found = client.version(name, version)
    aliases = {alias: client.alias(name, alias) for alias in PROMOTION_ALIASES}
    if found is None:
        raise NotFound(
            f"There is no version {version} of {name}.", hint="List them with 'streamflow models list'."
        )
    return _version(found, aliases)


def _version(item: dict[str, Any], aliases: dict[str, int | None]) -> Version:
    number = int(item["version"])
    return Version(
        version=number,
        run_id=str(item.get("run_id", "")),
        source=str(item["source"]),
        created_at=datetime.fromtimestamp(int(item["creation_timestamp"]) / 1000, UTC),
        stage=str(item.get("current_stage", "None")),
        aliases=tuple(alias for alias, target in aliases.items() if target == number),
        tags=tags_of(item),
    )


def drops_of(mlflow: MlflowSettings, version: Version, digest: str | None) -> list[dict[str, str]] | None:
    """Id and digest of every drop that a version's training saw, in order.

    Args:
        digest: Over all of them, as the run recorded it; None when it recorded none.

    Returns:
        None when the list is gone, or is not the recorded one.
    """
    source = f"{version.source.rsplit('/', 1)[0]}/{files.TRAINING_SET}"
    try:
        with registry(mlflow) as client:
            content = client.file(source, files.FINGERPRINT, files.MOST_SERVED_BYTES)
        found = json.loads(content or b"")["drops"]
        drops = [{"drop_id": str(item["drop_id"]), "digest": str(item["digest"])} for item in found]
    except DependencyDown:
        raise
    except (StreamFlowError, ValueError, KeyError, TypeError):
        return None
    return drops if digest in (None, drops_digest(drops)) else None


def run_of(mlflow: MlflowSettings, version: Version) -> dict[str, dict[str, Any]]:
    """Parameters, metrics and StreamFlow's tags of the run that made a version."""
    with registry(mlflow) as client:
        data = client.run(version.run_id)
    return {
        "params": {item["key"]: item.get("value", "") for item in data.get("params", [])},
        "metrics": {item["key"]: float(item["value"]) for item in data.get("metrics", [])},
        "tags": {key: value for key, value in tags_of(data).items() if key.startswith(version_tags.PREFIX)},
    }
