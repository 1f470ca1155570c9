"""MLflow's model registry by its REST API: importing MLflow takes seconds of CPU, which a rollback does not have."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import IO, Any, Literal
from urllib.parse import quote

import httpx2

from streamflow.errors import DependencyDown, NotFound, StreamFlowError
from streamflow.settings import Settings

PROXY = "mlflow-artifacts"
API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
_PAGE = 1000
_PIECE = 1 << 20


class RegistryClient:
    """What StreamFlow needs of the registry, by name of a registered model; answers are MLflow's JSON."""

    def __init__(self, uri: str, timeout_seconds: float) -> None:
        # A connection that is refused is tried again; a request that was sent is not.
        transport = httpx2.HTTPTransport(retries=2)
        self._uri = uri
        self._http = httpx2.Client(base_url=uri, timeout=timeout_seconds, transport=transport)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def alias(self, model: str, alias: str) -> int | None:
        """Version behind an alias; None when it is not set, or there is no such model."""
        found = self._ask(
            "GET",
            "registered-models/alias",
            absent=(*_ABSENT, "INVALID_PARAMETER_VALUE"),
            name=model,
            alias=alias,
        )
        return int(found["model_version"]["version"]) if found else None

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Point an alias at a version."""
        self._ask("POST", "registered-models/alias", name=model, alias=alias, version=str(version))

    def delete_alias(self, model: str, alias: str) -> None:
        """Unset an alias; nothing happens when it is not set."""
        self._ask("DELETE", "registered-models/alias", name=model, alias=alias)

    def versions(self, model: str) -> list[dict[str, Any]]:
        """All versions of a model, newest first; empty when there is no such model."""
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            fields: dict[str, Any] = {"filter": f"name = '{model}'", "max_results": _PAGE}
            page = self._ask(
                "GET", "model-versions/search", **fields | ({"page_token": token} if token else {})
            )
            found += (page or {}).get("model_versions", [])
            token = (page or {}).get("next_page_token", "")
            if not token:
                return sorted(found, key=lambda item: -int(item["version"]))

    def version(self, model: str, version: int) -> dict[str, Any] | None:
        """One version; None when there is no such one."""
        found = self._ask("GET", "model-versions/get", absent=_ABSENT, name=model, version=str(version))
        return found["model_version"] if found else None

    def create_version(self, model: str, source: str, run_id: str, tags: dict[str, str]) -> int:
        """Register the files at `source` as the next version of a model, which is made when missing."""
        self._ask("POST", "registered-models/create", absent=("RESOURCE_ALREADY_EXISTS",), name=model)
        found = self._ask(
            "POST",
            "model-versions/create",
            name=model,
            source=source,
            run_id=run_id,
            tags=[{"key": key, "value": value} for key, value in tags.items()],
        )
        return int((found or {})["model_version"]["version"])

    def set_stage(self, model: str, version: int, stage: str) -> None:
        """Move one version to a stage, and nothing else."""
        self._ask(
            "POST",
            "model-versions/transition-stage",
            name=model,
            version=str(version),
            stage=stage,
            archive_existing_versions=False,
        )

    def set_model_tag(self, model: str, key: str, value: str) -> None:
        """Tag a registered model."""
        self._ask("POST", "registered-models/set-tag", name=model, key=key, value=value)

    def model_tags(self, model: str) -> dict[str, str]:
        """Tags of a registered model; empty when there is no such model."""
        found = self._ask("GET", "registered-models/get", absent=_ABSENT, name=model)
        return tags_of(found["registered_model"]) if found else {}

    def run(self, run_id: str) -> dict[str, Any]:
        """Data of a run: `params`, `metrics` and `tags`, as lists of key and value.

        Raises:
            NotFound: there is no such run.
        """
        found = self._ask("GET", "runs/get", run_id=run_id)
        data: dict[str, Any] = (found or {})["run"]["data"]
        return data

    def file(self, source: str, name: str) -> bytes | None:
        """A file below an artifact URI; None when it is not there.

        Raises:
            StreamFlowError: the artifacts are not behind MLflow's proxy.
        """
        response = self._send("GET", _address(f"{_below_root(source)}/{name}"), {})
        if response.status_code == 404 or error_code(response) in _ABSENT:
            return None
        self._check(response)
        return response.content

    def listed(self, folder: str) -> list[str]:
        """Paths of all files below a folder of the artifact proxy, in order; empty when it is not there."""
        found: list[str] = []
        page = self._send("GET", ARTIFACTS, {"path": folder})
        self._check(page)
        for item in page.json().get("files", []):
            path = f"{folder}/{item['path']}"
            found += self.listed(path) if item.get("is_dir") else [path]
        return sorted(found)

    def download(self, path: str, target: IO[bytes]) -> None:
        """Write a file of the artifact proxy to `target`, a piece at a time.

        Raises:
            NotFound: it is not there.
        """
        with self._told(), self._http.stream("GET", _address(path)) as response:
            if response.status_code != 200:
                response.read()
            self._check(response)
            for piece in response.iter_bytes():
                target.write(piece)

    def upload(self, path: str, content: IO[bytes], size: int) -> None:
        """Store a file behind the artifact proxy, a piece at a time."""
        pieces = iter(lambda: content.read(_PIECE), b"")
        with self._told():
            response = self._http.put(_address(path), content=pieces, headers={"Content-Length": str(size)})
        self._check(response)

    def _ask(
        self,
        method: Literal["GET", "POST", "DELETE"],
        path: str,
        *,
        absent: tuple[str, ...] = (),
        **fields: Any,
    ) -> dict[str, Any] | None:
        response = self._send(method, f"{API}/{path}", fields)
        if error_code(response) in absent:
            return None
        self._check(response)
        found: dict[str, Any] = response.json()
        return found

    def _send(self, method: str, path: str, fields: dict[str, Any]) -> httpx2.Response:
        arguments: dict[str, Any] = {"params" if method == "GET" else "json": fields}
        with self._told():
            return self._http.request(method, path, **arguments)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except httpx2.HTTPError as error:
            raise DependencyDown(
                f"MLflow at {self._uri} does not answer ({type(error).__name__}).",
                hint="Start the local stack with 'streamflow up', or check STREAMFLOW_MLFLOW__TRACKING_URI.",
            ) from error

    def _check(self, response: httpx2.Response) -> None:
        if response.status_code == 200:
            return
        code = error_code(response)
        if code in _ABSENT:
            raise NotFound(
                f"MLflow has no such thing: {_message(response)}",
                hint="List versions with 'streamflow models list'.",
            )
        raise StreamFlowError(
            f"MLflow answered {response.status_code}: {_message(response)}",
            hint=f"Look at the log of the MLflow server at {self._uri}.",
        )


@contextlib.contextmanager
def registry(settings: Settings) -> Iterator[RegistryClient]:
    """A client for a while.

    Raises:
        DependencyDown: MLflow does not answer.
    """
    client = RegistryClient(settings.mlflow.tracking_uri, settings.mlflow.timeout_seconds)
    try:
        yield client
    finally:
        client.close()


def tags_of(item: dict[str, Any]) -> dict[str, str]:
    """The tags of a version, a model or a run. Pure."""
    return {tag["key"]: tag.get("value", "") for tag in item.get("tags", [])}


def _below_root(source: str) -> str:
    scheme, _, path = source.partition(":/")
    if scheme != PROXY:
        raise StreamFlowError(f"The files are at {scheme}:, not behind MLflow's artifact proxy.")
    return path.lstrip("/")


def _address(path: str) -> str:
    return f"{ARTIFACTS}/{quote(path)}"


def error_code(response: httpx2.Response) -> str:
    """MLflow's code of a failure; "" when the response is not a failure, or not MLflow's."""
    return "" if response.status_code < 400 else str(_problem(response).get("error_code", ""))


def _message(response: httpx2.Response) -> str:
    lines = str(_problem(response).get("message", "")).splitlines()
    return lines[0][:300] if lines else "no reason given"


def _problem(response: httpx2.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
