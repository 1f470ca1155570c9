"""A model version fetched, checked and ready: the only form in which a model is ever served.

Talks to MLflow by its REST API, so that the predict service need not import MLflow.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import numpy.typing as npt
import onnxruntime

from streamflow.encoding import Encoder
from streamflow.errors import DependencyDown, ReleaseRefused
from streamflow.model_version import files as version_files
from streamflow.model_version import tags as version_tags
from streamflow.model_version.contract import Contract

"""What is fetched of a version; the estimator itself stays where it is."""

GOLDEN_TOLERANCE = 1e-6
_POINTER = "release.json"
_NOT_MLFLOW = "MLflow did not answer as MLflow does. Check STREAMFLOW_MLFLOW__TRACKING_URI."


@dataclass(frozen=True)
class VersionPointer:
    """What an alias points at.

    Attributes:
        name: Registered model.
        version: Number of the version.
        manifest_sha256: Digest that pins its files; "" when the version carries none.
    """

    name: str
    version: int
    manifest_sha256: str


@dataclass(frozen=True)
class Release:
    """A model that may be served."""

    pointer: VersionPointer
    contract: Contract
    encoder: Encoder
    session: onnxruntime.InferenceSession
    input_name: str

    def probabilities(self, rows: Sequence[Sequence[Any]]) -> npt.NDArray[np.float64]:
        """Probability of the positive class for rows of feature values in the contract's order.

        Raises:
            UnknownCategoryError: a value the model does not know.
        """
        return self.infer(self.encoder.encode(rows))

    def infer(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Probability of the positive class for encoded rows, shape (n, width) -> (n,)."""
        result: npt.NDArray[np.float32] = self.session.run(None, {self.input_name: matrix})[1]
        return result[:, 1].astype(np.float64)


def check(pointer: VersionPointer, files: Mapping[str, bytes]) -> Release:
    """Make a release of a version's files.

    Digests, contract, model and golden rows are checked, in this order; nothing of the files is executed.

    Raises:
        ReleaseRefused: says which check failed.
    """
    try:
        return _checked(pointer, files)
    except ReleaseRefused:
        raise
    except Exception as error:
        # The files are somebody else's: whatever they make our code do is a reason to keep them out.
        raise _refused(pointer, f"it cannot be checked ({type(error).__name__}: {error})") from error


def _checked(pointer: VersionPointer, files: Mapping[str, bytes]) -> Release:
    _check_digests(pointer, files)
    try:
        contract = Contract.from_json(files[version_files.CONTRACT].decode())
    except ValueError as error:
        raise _refused(pointer, f"its contract cannot be read ({error})") from error
    if contract.model != pointer.name:
        raise _refused(pointer, f"its contract is one of '{contract.model}'")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            files[version_files.ONNX], options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise _refused(pointer, f"its model cannot be loaded ({type(error).__name__})") from error
    release = Release(pointer, contract, Encoder(contract.features), session, session.get_inputs()[0].name)
    _check_golden(release, files[version_files.GOLDEN])
    return release


def _check_digests(pointer: VersionPointer, files: Mapping[str, bytes]) -> None:
    if not pointer.manifest_sha256:
        raise _refused(pointer, f"it has no tag {version_tags.MANIFEST_SHA256}, so nothing pins its files")
    if hashlib.sha256(files[version_files.MANIFEST]).hexdigest() != pointer.manifest_sha256:
        raise _refused(pointer, f"{version_files.MANIFEST} is not the one that was registered")
    try:
        pinned = dict(json.loads(files[version_files.MANIFEST])["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise _refused(pointer, f"{version_files.MANIFEST} lists no files") from error
    for name in version_files.SERVED:
        if name != version_files.MANIFEST and hashlib.sha256(files[name]).hexdigest() != pinned.get(name):
            raise _refused(pointer, f"{name} is not the one that was registered")


def _check_golden(release: Release, content: bytes) -> None:
    try:
        golden = json.loads(content)
        expected = np.asarray(golden["probabilities"], dtype=np.float64)
        served = release.probabilities(golden["rows"])
    except Exception as error:
        raise _refused(release.pointer, f"it fails on its golden rows ({error})") from error
    if not len(served) or served.shape != expected.shape:
        raise _refused(release.pointer, "it has no golden rows, or not one probability for each")
    # A NaN compares false with everything, hence "not all within" instead of "any beyond".
    if not bool((np.abs(served - expected) <= GOLDEN_TOLERANCE).all()):
        raise _refused(release.pointer, "its golden rows do not reproduce")


def _refused(pointer: VersionPointer, why: str) -> ReleaseRefused:
    return ReleaseRefused(
        f"Version {pointer.version} of {pointer.name} is not served: {why}.",
        hint="Promote another version, or train this one again; the version served so far stays.",
    )


class Registry:
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
                response = await self._get("/api/2.0/mlflow/registered-models/alias", name=name, alias=alias)
        except TimeoutError as error:
            raise DependencyDown(
                f"MLflow at {self._client.base_url} did not answer within {patience_seconds} s."
            ) from error
        if response.status_code in (400, 404):
            code = _error_code(response)
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
            "/api/2.0/mlflow/model-versions/get-download-uri", name=pointer.name, version=str(pointer.version)
        )
        uri = str(self._json(response).get("artifact_uri", ""))
        scheme, _, path = uri.partition(":/")
        if scheme != "mlflow-artifacts":
            raise _refused(pointer, f"its files are at {scheme}:, not behind MLflow's artifact proxy")
        files = {}
        for name in version_files.SERVED:
            response = await self._get(f"/api/2.0/mlflow-artifacts/artifacts/{path.lstrip('/')}/{name}")
            if response.status_code == 404 or _error_code(response) == "RESOURCE_DOES_NOT_EXIST":
                raise _refused(pointer, f"it has no {name}")
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


def _error_code(response: httpx2.Response) -> str:
    if response.status_code < 400:
        return ""
    try:
        return str(response.json().get("error_code", ""))
    except (ValueError, AttributeError):
        return ""


def keep(folder: Path, pointer: VersionPointer, files: Mapping[str, bytes]) -> None:
    """Keep a good release for a start without MLflow; replaced as a whole, so a crash leaves the old one or none."""
    folder.mkdir(parents=True, exist_ok=True)
    target = _place(folder, pointer)
    if not _holds(target, files):
        writing = Path(tempfile.mkdtemp(dir=folder, prefix=".writing-"))
        for file, content in files.items():
            (writing / file).write_bytes(content)
        shutil.rmtree(target, ignore_errors=True)
        writing.rename(target)
    fresh = folder / f"{_POINTER}.new"
    fresh.write_text(json.dumps(asdict(pointer)))
    fresh.replace(folder / _POINTER)
    for old in folder.iterdir():
        if old.is_dir() and old != target:
            shutil.rmtree(old, ignore_errors=True)


def kept_pointer(folder: Path, name: str) -> VersionPointer | None:
    """Which release is kept in `folder`; None when there is none of this model."""
    try:
        found = json.loads((folder / _POINTER).read_text())
        pointer = VersionPointer(str(found["name"]), int(found["version"]), str(found["manifest_sha256"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pointer if pointer.name == name else None


def kept(folder: Path, pointer: VersionPointer) -> Release:
    """The release kept in `folder`, checked like any.

    Raises:
        ReleaseRefused: the kept files fail a check.
    """
    source = _place(folder, pointer)
    try:
        files = {file: (source / file).read_bytes() for file in version_files.SERVED}
    except OSError as error:
        raise _refused(pointer, f"its kept copy is incomplete ({error.strerror})") from error
    return check(pointer, files)


def _place(folder: Path, pointer: VersionPointer) -> Path:
    return folder / f"{pointer.name}-{pointer.version}-{pointer.manifest_sha256[:16]}"


def _holds(folder: Path, files: Mapping[str, bytes]) -> bool:
    try:
        return all((folder / name).read_bytes() == content for name, content in files.items())
    except OSError:
        return False
