"""Use MLflow's model registry and artifact proxy through the REST API.

Importing MLflow's SDK takes seconds of CPU, and a rollback must not wait for that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import IO, Any, Literal
from urllib.parse import quote

import httpx2

from streamflow.errors import AccessDenied, DependencyDown, NotFound, StreamFlowError
from streamflow.mlflow_api.connections import connections
from streamflow.settings import MlflowSettings

PROXY = "mlflow-artifacts"
"""Scheme of the URIs of artifacts that MLflow's proxy serves."""

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
FOR_TRAINING = "?workflowType=machine_learning"
"""End of the address of one of MLflow's pages. Without it, a new visitor sees the pages for GenAI, whatever the
experiment is for."""

_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
_BUSY = (429, 502, 503, 504)
"""Statuses of a server, or of a proxy before it, that may answer the same request later."""
_PAGE = 1000
"""Versions per page of a search."""
_PIECE = 1 << 20
"""Bytes per piece of an upload."""


class RegistryClient:
    """Client of the parts of MLflow that StreamFlow uses: registry, runs and artifact proxy.

    Models are addressed by the name of the registered model. Results are MLflow's JSON unless stated otherwise.

    Every method raises DependencyDown if MLflow does not answer, and StreamFlowError if MLflow refuses the request.

    Args:
        uri: Address of the MLflow server.
        timeout_seconds: Timeout of each request.
        login: Account and password; None if MLflow asks for no login.
    """

    def __init__(self, uri: str, timeout_seconds: float, login: tuple[str, str] | None = None) -> None:
        self._uri = uri
        self._http = httpx2.Client(
            base_url=uri, timeout=timeout_seconds, transport=connections(uri), auth=login
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def alias(self, model: str, alias: str) -> int | None:
        """Return the version that an alias points at; None if the alias is not set or the model does not exist."""
        found = self._ask(
            "GET",
            "registered-models/alias",
            # The last is MLflow's answer for an alias that is not set.
            absent=(*_ABSENT, "INVALID_PARAMETER_VALUE"),
            name=model,
            alias=alias,
        )
        return int(found["model_version"]["version"]) if found else None

    def model(self, name: str) -> dict[str, Any] | None:
        """Return a registered model with its aliases and tags, or None if it does not exist."""
        found = self._ask("GET", "registered-models/get", absent=_ABSENT, name=name)
        return found["registered_model"] if found else None

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Point an alias at a version."""
        self._ask("POST", "registered-models/alias", name=model, alias=alias, version=str(version))

    def delete_alias(self, model: str, alias: str) -> None:
        """Remove an alias; does nothing if it is not set."""
        self._ask("DELETE", "registered-models/alias", name=model, alias=alias)

    def versions(self, model: str) -> list[dict[str, Any]]:
        """Return all versions of a model, newest first; an empty list if the model does not exist."""
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
        """Return one version of a model, or None if it does not exist."""
        found = self._ask("GET", "model-versions/get", absent=_ABSENT, name=model, version=str(version))
        return found["model_version"] if found else None

    def create_version(self, model: str, source: str, run_id: str, tags: dict[str, str]) -> int:
        """Register the next version of a model, creating the model if it does not exist.

        Args:
            model: Name of the registered model.
            source: URI of the version's files.
            run_id: Run that produced the files.
            tags: Tags of the version.

        Returns:
            The number of the version.
        """
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
        """Move a version to an MLflow stage, without archiving the versions that are in that stage already."""
        self._ask(
            "POST",
            "model-versions/transition-stage",
            name=model,
            version=str(version),
            stage=stage,
            archive_existing_versions=False,
        )

    def set_description(self, model: str, version: int, text: str) -> None:
        """Set the description of a version."""
        self._ask("PATCH", "model-versions/update", name=model, version=str(version), description=text)

    def set_model_tag(self, model: str, key: str, value: str) -> None:
        """Set a tag of a registered model."""
        self._ask("POST", "registered-models/set-tag", name=model, key=key, value=value)

    def model_tags(self, model: str) -> dict[str, str]:
        """Return the tags of a registered model; empty if the model does not exist."""
        return tags_of(self.model(model) or {})

    def run(self, run_id: str) -> dict[str, Any]:
        """Return the data of a run: `params`, `metrics` and `tags`, each a list of keys and values.

        Raises:
            NotFound: The run does not exist.
        """
        found = self._ask("GET", "runs/get", run_id=run_id)
        data: dict[str, Any] = (found or {})["run"]["data"]
        return data

    def experiment_of(self, run_id: str) -> str:
        """Return the id of a run's experiment.

        Raises:
            NotFound: The run does not exist.
        """
        found = self._ask("GET", "runs/get", run_id=run_id)
        return str((found or {})["run"]["info"]["experiment_id"])

    def run_folders(self, experiment: str, model: str) -> dict[str, str]:
        """Return the artifact folders, behind the artifact proxy, of an experiment's runs and of a model's versions.

        Args:
            experiment: Name of the experiment; its deleted runs are included.
            model: Name of the registered model, whose versions may come from other experiments.

        Returns:
            The folder of each run, by run id.
        """
        given = self._ask("GET", "experiments/get-by-name", absent=_ABSENT, experiment_name=experiment)
        ids = [given["experiment"]["experiment_id"]] if given else []
        infos = [
            run["info"]
            for run in (
                self._pages("runs/search", "runs", experiment_ids=ids, run_view_type="ALL") if ids else ()
            )
        ]
        seen = {info["run_id"] for info in infos}
        for run_id in sorted({str(version["run_id"]) for version in self.versions(model)} - seen):
            found = self._ask("GET", "runs/get", absent=_ABSENT, run_id=run_id)
            infos += [found["run"]["info"]] if found else []
        folders = {}
        for info in infos:
            scheme, _, path = str(info.get("artifact_uri", "")).partition(":/")
            if scheme == PROXY:
                folders[info["run_id"]] = path.strip("/")
        return folders

    def _pages(self, path: str, items: str, **fields: Any) -> Iterator[dict[str, Any]]:
        """The items of all pages of a search."""
        token = ""
        while True:
            more: dict[str, Any] = {"page_token": token} if token else {}
            page = self._ask("POST", path, max_results=_PAGE, **fields, **more) or {}
            yield from page.get(items, [])
            token = page.get("next_page_token", "")
            if not token:
                return

    def file(self, source: str, name: str, most_bytes: int) -> bytes | None:
        """Return the content of a file, or None if it does not exist.

        Args:
            source: URI of the folder that contains the file.
            name: Path of the file in the folder.
            most_bytes: Largest file that is read, in bytes.

        Raises:
            StreamFlowError: MLflow's artifact proxy does not serve the folder, or the file is larger.
        """
        path = _address(f"{_below_root(source)}/{name}")
        parts, size = [], 0
        with self._told(), self._http.stream("GET", path) as response:
            if response.status_code != 200:
                response.read()
            if response.status_code == 404 or error_code(response) in _ABSENT:
                return None
            self._check(response)
            # The size that the server claims spares reading it; the bytes that arrive are what counts.
            if int(response.headers.get("Content-Length", 0)) > most_bytes:
                raise _too_large(most_bytes)
            for part in response.iter_bytes():
                parts.append(part)
                size += len(part)
                if size > most_bytes:
                    raise _too_large(most_bytes)
        return b"".join(parts)

    def listed(self, folder: str) -> list[str]:
        """Return the sorted paths of all files below a folder of the artifact proxy; empty if there are none."""
        found: list[str] = []
        page = self._send("GET", ARTIFACTS, {"path": folder})
        self._check(page)
        for item in page.json().get("files", []):
            path = f"{folder}/{item['path']}"
            found += self.listed(path) if item.get("is_dir") else [path]
        return sorted(found)

    def download(self, path: str, target: IO[bytes]) -> None:
        """Download a file from the artifact proxy to `target`, piece by piece.

        Raises:
            NotFound: The file does not exist.
        """
        with self._told(), self._http.stream("GET", _address(path)) as response:
            # The error message is in the body, which a streamed response reads only on demand.
            if response.status_code != 200:
                response.read()
            self._check(response)
            for piece in response.iter_bytes():
                target.write(piece)

    def upload(self, path: str, content: IO[bytes], size: int) -> None:
        """Upload a file to the artifact proxy, piece by piece.

        Args:
            path: Path of the file in the artifact proxy.
            content: Content of the file, open for reading.
            size: Size of the content in bytes.
        """
        pieces = iter(lambda: content.read(_PIECE), b"")
        with self._told():
            response = self._http.put(_address(path), content=pieces, headers={"Content-Length": str(size)})
        self._check(response)

    def _ask(
        self,
        method: Literal["GET", "POST", "PATCH", "DELETE"],
        path: str,
        *,
        absent: tuple[str, ...] = (),
        **fields: Any,
    ) -> dict[str, Any] | None:
        """Call an endpoint of MLflow's API; return None if it answers with one of the error codes in `absent`."""
        response = self._send(method, f"{API}/{path}", fields)
        if error_code(response) in absent:
            return None
        self._check(response)
        try:
            found: dict[str, Any] = response.json()
        except ValueError as error:
            raise DependencyDown(
                f"What answers at {self._uri} is not MLflow.", hint="Check STREAMFLOW_MLFLOW__TRACKING_URI."
            ) from error
        return found

    def _send(self, method: str, path: str, fields: dict[str, Any]) -> httpx2.Response:
        arguments: dict[str, Any] = {"params" if method == "GET" else "json": fields}
        with self._told():
            return self._http.request(method, path, **arguments)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn connection errors and timeouts into DependencyDown."""
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
        if response.status_code in _BUSY:
            raise DependencyDown(
                f"MLflow at {self._uri} does not work at the moment ({response.status_code}).",
                hint="Try again later, or look at the log of the MLflow server.",
            )
        if response.status_code in (401, 403):
            why = "it asks for a login" if response.status_code == 401 else _message(response)
            raise no_access(self._uri, why)
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
def registry(mlflow: MlflowSettings) -> Iterator[RegistryClient]:
    """Provide a client of MLflow and close it at the end of the `with` block.

    Raises:
        DependencyDown: MLflow does not answer.
    """
    login = (mlflow.username, mlflow.secret) if mlflow.username else None
    client = RegistryClient(mlflow.tracking_uri, mlflow.timeout_seconds, login)
    try:
        yield client
    finally:
        client.close()


def tags_of(item: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of a version, model or run as a dictionary. Pure.

    Args:
        item: MLflow's JSON of the version, model, or data of the run.
    """
    return {tag["key"]: tag.get("value", "") for tag in item.get("tags", [])}


def no_access(uri: str, why: str) -> AccessDenied:
    """The error for a request that MLflow does not allow the account, or without a login."""
    return AccessDenied(
        f"MLflow at {uri} does not allow this account the request ({why}).",
        hint="Set STREAMFLOW_MLFLOW__USERNAME and STREAMFLOW_MLFLOW__PASSWORD_FILE to an account with the role for it.",
    )


def _too_large(most_bytes: int) -> StreamFlowError:
    return StreamFlowError(f"it is larger than {most_bytes // 2**20} MiB")


def _below_root(source: str) -> str:
    """Return the path of a folder in the artifact proxy, given the folder's URI."""
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
    """Return the body of an error answer; empty if it is not a JSON object, as an answer from a proxy may be."""
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
