"""MLflow by its SDK, which no other module imports; its failures become StreamFlow's errors."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from streamflow.errors import DependencyDown, NotFound, StreamFlowError
from streamflow.settings import Settings

# MLflow refuses longer values.
_LONGEST_PARAMETER = 6000


def _configure(settings: Settings) -> None:
    # Before MLflow is imported: a server that is down is reported in seconds, not after minutes of retries.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(int(settings.mlflow.timeout_seconds * 6)))
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")


@lru_cache(maxsize=4)
def _client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextlib.contextmanager
def client(settings: Settings) -> Iterator[Any]:
    """An `mlflow.MlflowClient`, whose failures become errors with a next step.

    Raises:
        DependencyDown: the server does not answer.
        NotFound: the server does not have the thing.
        StreamFlowError: the server refused for another reason.
    """
    _configure(settings)
    uri = settings.mlflow.tracking_uri
    from mlflow.exceptions import MlflowException

    try:
        yield _client(uri)
    except MlflowException as error:
        message = str(error).splitlines()[0][:300]
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}:
            raise NotFound(
                f"MLflow has no such thing: {message}", hint="List versions with 'streamflow models list'."
            ) from error
        if "API request to" in message and "failed" in message and "error code" not in message:
            raise DependencyDown(
                f"MLflow at {uri} does not answer.",
                hint="Start the local stack with 'streamflow up', or check STREAMFLOW_MLFLOW__TRACKING_URI.",
            ) from error
        raise StreamFlowError(
            f"MLflow refused: {message}", hint=f"Look at the log of the MLflow server at {uri}."
        ) from error


def experiment_id(mlflow_client: Any, name: str) -> str:
    """Id of the experiment, which is created when missing."""
    found = mlflow_client.get_experiment_by_name(name)
    return str(found.experiment_id if found else mlflow_client.create_experiment(name))


def log_figures(
    mlflow_client: Any, run_id: str, *, metrics: Mapping[str, float], params: Mapping[str, object]
) -> None:
    """Log metrics and parameters of a run in one request; a longer parameter is cut to what MLflow stores."""
    from mlflow.entities import Metric, Param

    now = int(datetime.now(UTC).timestamp() * 1000)
    mlflow_client.log_batch(
        run_id,
        metrics=[Metric(key, value, now, 0) for key, value in metrics.items()],
        params=[Param(key, str(value)[:_LONGEST_PARAMETER]) for key, value in params.items()],
    )


def save_classifier(
    classifier: Any, folder: Path, sample: Any, *, trusted_types: Sequence[str], requirements: Sequence[str]
) -> None:
    """Save a scikit-learn classifier as an ordinary MLflow model in skops format.

    Args:
        classifier: A fitted estimator or pipeline.
        folder: Where the model is written.
        sample: Some rows of features, from which MLflow reads the signature.
        trusted_types: Types beyond skops' own list that the stored classifier may contain.
        requirements: Packages that loading it needs, with their versions.
    """
    with warnings.catch_warnings():
        # MLflow warns of its own type hints, and that integer columns may not be null, which they never are.
        warnings.simplefilter("ignore")
        import mlflow.sklearn
        from mlflow.models import infer_signature

        mlflow.sklearn.save_model(
            classifier,
            str(folder),
            serialization_format="skops",
            skops_trusted_types=list(trusted_types),
            signature=infer_signature(sample, classifier.predict_proba(sample)),
            pyfunc_predict_fn="predict_proba",
            pip_requirements=list(requirements),
        )


def artifact(fetch: Callable[[str], str], path: str) -> bytes | None:
    """Content of one of a run's artifacts; None when MLflow does not have it.

    Args:
        fetch: Returns the local path of an artifact; called inside of `client`, which translates MLflow's failures.
        path: Of the artifact, below the run's.

    Raises:
        DependencyDown: MLflow does not answer.
    """
    from mlflow.exceptions import MlflowException

    try:
        return Path(fetch(path)).read_bytes()
    except (MlflowException, OSError) as error:
        if _is_absent(error):
            return None
        if isinstance(error, MlflowException):
            raise
        raise DependencyDown(
            f"MLflow does not give {path} ({type(error).__name__}: {''.join(str(error).splitlines()[:1])[:200]}).",
            hint="Look at the log of the MLflow server.",
        ) from error


def _is_absent(error: Exception) -> bool:
    """Whether MLflow does not have the file, as against not answering."""
    code = getattr(error, "error_code", "")
    return isinstance(error, FileNotFoundError) or code == "RESOURCE_DOES_NOT_EXIST" or "404" in str(error)
