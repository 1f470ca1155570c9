"""The part of MLflow's REST API that serving needs, for an event loop: what an alias points at, and a version's files."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import httpx2

from streamflow.errors import DependencyDown
from streamflow.mlflow_api.transport import API, ARTIFACTS, PROXY, error_code
from streamflow.model_version import files as version_files
from streamflow.model_version import tags as version_tags
from streamflow.release import VersionPointer, refused

_NOT_MLFLOW = "MLflow did not answer as MLflow does. Check STREAMFLOW_MLFLOW__TRACKING_URI."


class ServingClient:
    """Asynchronous client of MLflow's registry and artifact proxy, with what serving needs.

    Args:
        uri: Address of the MLflow server.
        timeout_seconds: Timeout of each request.
    """

    def __init__(self, uri: str, timeout_seconds: float) -> None:
        self._client = httpx2.AsyncClient(base_url=uri, timeout=timeout_seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def resolve(
        self, name: str, alias: str, *, patience_seconds: float | None = None
    ) -> VersionPointer | None:
        """Return the model version that an alias points at, or None if the alias is not set.

        Args:
            name: Name of the registered model.
            alias: Name of the alias.
            patience_seconds: Maximum time to wait for the answer; None applies the client's timeout only.

        Raises:
            DependencyDown: MLflow does not answer, or the answer is not one of MLflow's.
        """
        try:
            async with asyncio.timeout(patience_seconds):
                response = await self._get(f"{API}/registered-models/alias", name=name, alias=alias)
        except TimeoutError as error:
            raise DependencyDown(
                f"MLflow at {self._client.base_url} did not answer within {patience_seconds} s."
            ) from error
        if response.status_code in (400, 404):
            # MLflow reports an alias that is not set as INVALID_PARAMETER_VALUE.
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
        """Download the files of a model version that serving needs.

        Returns:
            Content of each file in `SERVED`, by name.

        Raises:
            DependencyDown: MLflow does not answer.
            ReleaseRefused: A file is missing, the files are too large, or MLflow's artifact proxy does not serve them.
        """
        response = await self._get(
            f"{API}/model-versions/get-download-uri", name=pointer.name, version=str(pointer.version)
        )
        uri = str(self._json(response).get("artifact_uri", ""))
        scheme, _, path = uri.partition(":/")
        if scheme != PROXY:
            raise refused(pointer, f"its files are at {scheme}:, not behind MLflow's artifact proxy")
        files: dict[str, bytes] = {}
        for name in version_files.SERVED:
            left = version_files.MOST_SERVED_BYTES - sum(map(len, files.values()))
            response, content = await self._download(f"{ARTIFACTS}/{path.lstrip('/')}/{name}", left)
            if response.status_code == 404 or error_code(response) == "RESOURCE_DOES_NOT_EXIST":
                raise refused(pointer, f"it has no {name}")
            if response.status_code != 200:
                raise DependencyDown(
                    f"MLflow answered {response.status_code} for {name} of version {pointer.version}."
                )
            if len(content) > left:
                most = version_files.MOST_SERVED_BYTES // 2**20
                raise refused(pointer, f"its files are larger than {most} MiB")
            files[name] = content
        return files

    async def _download(self, path: str, most: int) -> tuple[httpx2.Response, bytes]:
        """Return the answer and its content, of which no more is read than a little over `most` bytes."""
        parts = []
        with self._told():
            async with self._client.stream("GET", path) as response:
                if response.status_code != 200:
                    await response.aread()
                    return response, b""
                async for part in response.aiter_bytes():
                    parts.append(part)
                    most -= len(part)
                    if most < 0:
                        break
        return response, b"".join(parts)

    async def _get(self, path: str, **parameters: str) -> httpx2.Response:
        with self._told():
            return await self._client.get(path, params=parameters)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
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
