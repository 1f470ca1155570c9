"""A model version, verified and ready to infer: the only form in which a model is served.

The rules, in this order; the first that fails refuses the version, and nothing in its files is executed:

    digests       the tag of the version pins the manifest, the manifest pins every other file
    contract      it can be read, and is one of this registered model
    model         ONNX Runtime loads it
    golden rows   the recorded probabilities come out again, within GOLDEN_TOLERANCE

No I/O happens here: `registry.artifacts` fetches the files from MLflow, `registry.releases` and `predict.models.ledger`
read them in PostgreSQL.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from streamflow.encoding import Encoder
from streamflow.errors import ReleaseMissing, ReleaseRefused, ReleaseUnfit
from streamflow.model_version import files as version_files
from streamflow.model_version import tags as version_tags
from streamflow.model_version.contract import Contract

if TYPE_CHECKING:
    import onnxruntime

GOLDEN_TOLERANCE = 1e-6
"""Maximum difference between a golden row's recorded probability and the release's."""


@dataclass(frozen=True)
class VersionPointer:
    """Model version that an alias points at.

    Attributes:
        name: Name of the registered model.
        version: Number of the version.
        manifest_sha256: SHA-256 of the manifest, which pins the version's files; "" if the version has no such tag.
    """

    name: str
    version: int
    manifest_sha256: str


@dataclass(frozen=True)
class Release:
    """A model version that passed all checks and is ready to serve.

    Attributes:
        pointer: Registered model, version and digest.
        contract: Contract of the version.
        encoder: Encoder of the contract's features.
        session: ONNX Runtime session of the version's model.
        input_name: Name of the model's input.
    """

    pointer: VersionPointer
    contract: Contract
    encoder: Encoder
    session: onnxruntime.InferenceSession
    input_name: str

    def probabilities(self, rows: Sequence[Sequence[Any]]) -> npt.NDArray[np.float64]:
        """Return the probability of the positive class for each row.

        Args:
            rows: Rows of feature values, in the order of the contract's features.

        Raises:
            UnknownCategoryError: A string feature has a value that the model does not know.
        """
        return self.infer(self.encoder.encode(rows))

    def infer(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return the probability of the positive class for each encoded row.

        Args:
            matrix: Encoded rows, of shape (n, width).

        Returns:
            Array of shape (n,).
        """
        result: npt.NDArray[np.float32] = self.session.run(None, {self.input_name: matrix})[1]
        return result[:, 1].astype(np.float64)


def check(pointer: VersionPointer, files: Mapping[str, bytes]) -> Release:
    """Check the files of a model version and make a release of them.

    The digests are checked first, then the contract, the model and the golden rows. No code in the files is executed.

    Args:
        pointer: Model version that the files belong to.
        files: Content of each file in `SERVED`, by name.

    Raises:
        ReleaseRefused: The files are not those of the version (`ReleaseUnfit`: they are, and fail a check); the message
            says which.
    """
    with _untrusted(pointer, unfit):
        return _checked(pointer, files)


def verify(pointer: VersionPointer, files: Mapping[str, bytes]) -> None:
    """Check that the files are those of a model version, which is the first part of `check`.

    Raises:
        ReleaseRefused: A file is missing, or is not the one that was registered.
    """
    with _untrusted(pointer, refused):
        _check_digests(pointer, files)


@contextlib.contextmanager
def _untrusted(
    pointer: VersionPointer, refusal: Callable[[VersionPointer, str], ReleaseRefused]
) -> Iterator[None]:
    """Any exception that untrusted files cause is a reason to refuse them."""
    try:
        yield
    except ReleaseRefused:
        raise
    except Exception as error:
        raise refusal(pointer, f"it cannot be checked ({type(error).__name__}: {error})") from error


def _checked(pointer: VersionPointer, files: Mapping[str, bytes]) -> Release:
    _check_digests(pointer, files)
    try:
        contract = Contract.from_json(files[version_files.CONTRACT].decode())
    except ValueError as error:
        raise unfit(pointer, f"its contract cannot be read ({error})") from error
    if contract.model != pointer.name:
        raise unfit(pointer, f"its contract is one of '{contract.model}'")
    try:
        session = _session(files[version_files.ONNX])
    except Exception as error:
        raise unfit(pointer, f"its model cannot be loaded ({type(error).__name__})") from error
    # A session keeps what it was made from, 18 MB for a forest of 300 trees, to start again on another device.
    session._model_bytes = None
    release = Release(pointer, contract, Encoder(contract.features), session, session.get_inputs()[0].name)
    _check_golden(release, files[version_files.GOLDEN])
    return release


def write_compact(model: str, path: str) -> None:
    """Write a model in ONNX Runtime's own form.

    Args:
        model: File of the model in ONNX.
        path: Where to write it.
    """
    _session(model, {"session.save_model_format": "ORT"}, path)


def compact_session(path: str) -> onnxruntime.InferenceSession:
    """Load a model in ONNX Runtime's own form."""
    return _session(path, {"session.load_model_format": "ORT"})


def golden(release: Release, files: Mapping[str, bytes]) -> npt.NDArray[np.float64]:
    """The probabilities of a version's golden rows, by a release."""
    return release.probabilities(json.loads(files[version_files.GOLDEN])["rows"])


def _session(
    model: bytes | str, entries: Mapping[str, str] = MappingProxyType({}), written: str = ""
) -> onnxruntime.InferenceSession:
    # Here, so that predict fetches a model before it loads what runs it.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # Fatal only: ONNX Runtime also raises its errors as exceptions, which become the reason of a refusal.
    options.log_severity_level = 4
    options.optimized_model_filepath = written
    for name, value in entries.items():
        options.add_session_config_entry(name, value)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _check_digests(pointer: VersionPointer, files: Mapping[str, bytes]) -> None:
    if not pointer.manifest_sha256:
        raise refused(pointer, f"it has no tag {version_tags.MANIFEST_SHA256}, so nothing pins its files")
    if hashlib.sha256(files[version_files.MANIFEST]).hexdigest() != pointer.manifest_sha256:
        raise refused(pointer, f"{version_files.MANIFEST} is not the one that was registered")
    try:
        pinned = dict(json.loads(files[version_files.MANIFEST])["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise refused(pointer, f"{version_files.MANIFEST} lists no files") from error
    for name in version_files.SERVED:
        if name != version_files.MANIFEST and hashlib.sha256(files[name]).hexdigest() != pinned.get(name):
            raise refused(pointer, f"{name} is not the one that was registered")


def _check_golden(release: Release, content: bytes) -> None:
    try:
        golden = json.loads(content)
        expected = np.asarray(golden["probabilities"], dtype=np.float64)
        served = release.probabilities(golden["rows"])
    except Exception as error:
        raise unfit(release.pointer, f"it fails on its golden rows ({error})") from error
    if not len(served) or served.shape != expected.shape:
        raise unfit(release.pointer, "it has no golden rows, or not one probability for each")
    # Not "any difference is larger", which is false for NaN.
    if not bool((np.abs(served - expected) <= GOLDEN_TOLERANCE).all()):
        raise unfit(release.pointer, "its golden rows do not reproduce")


def missing(pointer: VersionPointer) -> ReleaseMissing:
    """The error that says that the files of a version are not in PostgreSQL."""
    return ReleaseMissing(
        f"Version {pointer.version} of {pointer.name} is not served yet: its files are not in PostgreSQL.",
        hint="The registrar stores them as soon as MLflow answers.",
    )


def refused(pointer: VersionPointer, why: str, *, hint: str = "") -> ReleaseRefused:
    """The error that says why a version is not served.

    Args:
        pointer: The version.
        why: The reason.
        hint: What to do next; by default, that another version can be served.
    """
    return ReleaseRefused(
        f"Version {pointer.version} of {pointer.name} is not served: {why}.",
        hint=hint or "Promote another version, or train this one again; the version served so far stays.",
    )


def unfit(pointer: VersionPointer, why: str, *, instead: str = "") -> ReleaseUnfit:
    """The error that says why a version is not served, when its files alone are the reason.

    Args:
        pointer: The version.
        why: The reason.
        instead: What else to do next, in one sentence; "" for nothing.
    """
    error = refused(pointer, why)
    return ReleaseUnfit(error.what, hint=" ".join(filter(None, (error.hint, instead))), why=why)
