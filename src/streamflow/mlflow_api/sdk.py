"""The one way to reach MLflow: client, experiment, and its failures as our errors."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from streamflow.errors import DependencyDown, NotFound, StreamFlowError
from streamflow.settings import Settings


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
