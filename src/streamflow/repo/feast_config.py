"""Read `feature_store.yaml`, Feast's configuration, and fill in its variables from the settings."""

from __future__ import annotations

import os
import string
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import yaml

from streamflow.errors import UsageError
from streamflow.repo.folder import STORE_FILE
from streamflow.settings import URL_PASSWORD, DatabaseSettings

if TYPE_CHECKING:
    from feast.repo_config import RepoConfig


Engine = Literal["postgresql", "spark"]
_ON_SPARK = {
    "offline_store": {"type": "streamflow.spark.offline_store.LakeOfflineStore"},
}
"""What stands in Feast's configuration in place of the file's own, with `engine: spark`."""


def read(
    folder: Path, database: DatabaseSettings, *, db_schema: str | None = None, engine: Engine = "postgresql"
) -> RepoConfig:
    """Read Feast's configuration.

    Args:
        folder: The feature repo.
        database: Settings that provide values for variables, along with the environment.
        db_schema: Schema in which the offline store reads snapshots; None keeps the one in the file.
        engine: Whether Feast reads snapshots with what the file names, or with Spark.

    Raises:
        UsageError: The file cannot be read.
    """
    from streamflow.repo.quick_feast import feast

    path = folder.resolve()
    content = _parsed(path / STORE_FILE)
    content = _filled(content, {**os.environ, **database.variables})
    if engine == "spark":
        content |= _ON_SPARK
    elif db_schema is not None:
        content["offline_store"]["db_schema"] = db_schema
    return feast.repo_config.RepoConfig(repo_path=path, **content)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(
            f"{path} cannot be read.",
            details=tuple(line.strip() for line in str(error).splitlines()),
            hint="Correct it there; see docs/feature-repo.md.",
        ) from error
    return content


def _filled(node: Any, variables: Mapping[str, str]) -> Any:
    """Fill in variables in each value of the parsed file, so that a secret cannot change its structure."""
    if isinstance(node, dict):
        return {key: _filled(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, variables) for value in node]
    if isinstance(node, str) and "${" in node:
        # In a URL, special characters must be percent-encoded. The password for URLs already is.
        url = "://" in node
        values = {
            key: quote(value, safe="") if url and key != URL_PASSWORD else value
            for key, value in variables.items()
        }
        return string.Template(node).safe_substitute(values)
    return node
