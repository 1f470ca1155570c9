"""The part of MLflow's REST API that serving needs, for an event loop: what an alias points at, and a version's files."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2

from streamflow.errors import DependencyDown
from streamflow.mlflow_api.transport import API, ARTIFACTS, PROXY, error_code
from streamflow.model_version import files as version_files
from streamflow.model_version import tags as version_tags
from streamflow.release import VersionPointer, refused

_NOT_MLFLOW = "MLflow did not answer as MLflow does. Check STREAMFLOW_MLFLOW__TRACKING_URI."


class ServingClient:
    """MLflow's registry and artifact proxy, as far as serving needs them."""

    def __init__(self, uri: str, timeout_seconds: float) -> None:
        self._client = httpx2.AsyncClient(base_url=uri, timeout=timeout_seconds)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def resolve(
        self, name: str, alias: str, *, patience_seconds: float | None = None
    ) -> VersionPointer | None:
        """What the alias points at; None when it is not set.

        Args:
            patience_seconds: Longest time to wait for the answer; None waits as long as for anything.

        Raises:
            DependencyDown: MLflow does not answer, or not as MLflow does.
        """
        try:
            async with asyncio.timeout(patience_seconds):
                response = await self._get(f"{API}/registered-models/alias", name=name, alias=alias)
        except TimeoutError as error:
            raise DependencyDown(
                f"MLflow at {self._client.base_url} did not answer within {patience_seconds} s."
            ) from error
        if response.status_code in (400, 404):
            code = error_code(response)
            if code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
        try:
            found = self._json(response)["model_version"]
            tags = {tag["key"]: tag["value"] for tag in found.get("tags", [])}
            return VersionPointer(name, int(found["version"]), tags.get(version_tags.MANIFEST_SHA256, ""))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DependencyDown(_NOT_MLFLOW) from error

    async def fetch(self, pointer: VersionPointer) -> dict[str, bytes]:
        """The files of a version.

        Raises:
            DependencyDown: MLflow does not answer.
            ReleaseRefused: a file is missing, or the files are not behind MLflow's artifact proxy.
        """
        response = await self._get(
            f"{API}/model-versions/get-download-uri", name=pointer.name, version=str(pointer.version)
        )
        uri = str(self._json(response).get("artifact_uri", ""))
        scheme, _, path = uri.partition(":/")
        if scheme != PROXY:
            raise refused(pointer, f"its files are at {scheme}:, not behind MLflow's artifact proxy")
        files = {}
        for name in version_files.SERVED:
            response = await self._get(f"{ARTIFACTS}/{path.lstrip('/')}/{name}")
            if response.status_code == 404 or error_code(response) == "RESOURCE_DOES_NOT_EXIST":
                raise refused(pointer, f"it has no {name}")
            if response.status_code != 200:
                raise DependencyDown(
                    f"MLflow answered {response.status_code} for {name} of version {pointer.version}."
                )
            files[name] = response.content
        return files

    async def _get(self, path: str, **parameters: str) -> httpx2.Response:
        try:
            return await self._client.get(path, params=parameters)
        except httpx2.HTTPError as error:
            raise DependencyDown(
                f"MLflow at {self._client.base_url} does not answer ({type(error).__name__}).",
                hint="Start the local stack with 'streamflow up', or check STREAMFLOW_MLFLOW__TRACKING_URI.",
            ) from error

    @staticmethod
    def _json(response: httpx2.Response) -> dict[str, Any]:
        if response.status_code != 200:
            raise DependencyDown(f"MLflow answered {response.status_code}.")
        try:
            content = response.json()
        except ValueError as error:
            raise DependencyDown(_NOT_MLFLOW) from error
        if not isinstance(content, dict):
            raise DependencyDown(_NOT_MLFLOW)
        return content
