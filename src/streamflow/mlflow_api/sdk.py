"""Use MLflow through its SDK and translate its exceptions into StreamFlow's errors.

No other module imports MLflow.
"""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from streamflow import disk_full
from streamflow.errors import DependencyDown, DiskFull, NotFound, StreamFlowError
from streamflow.mlflow_api.transport import no_access
from streamflow.settings import MlflowSettings

_NO_ACCESS = ("PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED")

# MLflow refuses longer parameter values.
_LONGEST_PARAMETER = 6000

_EXAMPLE_ROWS = 5

_TYPICAL_ROWS = 100

_PARENT = "mlflow.parentRunId"

# MLflow refuses these in the name of a run's model.
_NOT_IN_A_NAME = str.maketrans(dict.fromkeys("/:.%\"'", "-"))

_KIND, _FOR_TRAINING = "mlflow.experimentKind", "custom_model_development"


def _configure(mlflow: MlflowSettings) -> None:
    # Set before MLflow is imported. With MLflow's defaults, a server that is down is reported only after minutes of
    # retries. A value that the user set in the environment stays.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(int(mlflow.timeout_seconds * 6)))
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    if mlflow.username:
        os.environ["MLFLOW_TRACKING_USERNAME"] = mlflow.username
        os.environ["MLFLOW_TRACKING_PASSWORD"] = mlflow.secret


@lru_cache(maxsize=4)
def _client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextlib.contextmanager
def _requirements_as_given() -> Iterator[None]:
    """Have MLflow not compare requirements with what is installed, for which it reads the file lists of all packages."""
    from mlflow.utils import environment

    theirs = environment.warn_dependency_requirement_mismatches
    environment.warn_dependency_requirement_mismatches = lambda _: None
    try:
        yield
    finally:
        environment.warn_dependency_requirement_mismatches = theirs


@contextlib.contextmanager
def client(mlflow: MlflowSettings) -> Iterator[Any]:
    """Provide an `mlflow.MlflowClient`; exceptions of MLflow in the `with` block become StreamFlow's errors.

    Raises:
        DependencyDown: The server does not answer.
        NotFound: The run, model or version does not exist.
        DiskFull: The disk of the server's artifacts, or of temporary files here, is full.
        StreamFlowError: The server refuses a request for another reason.
    """
    _configure(mlflow)
    uri = mlflow.tracking_uri
    from mlflow.exceptions import MlflowException

    try:
        yield _client(uri)
    except OSError as error:
        # MLflow lets errors of the library `requests`, which are OSErrors, through.
        answer = getattr(error, "response", None)
        if answer is None or answer.status_code != HTTPStatus.INSUFFICIENT_STORAGE:
            raise
        raise DiskFull(
            "The disk of MLflow's artifacts is full.",
            hint=f"Free some space on the disk or volume of the MLflow server at {uri}, then run this again.",
        ) from error
    except MlflowException as error:
        if (full := disk_full.behind(error)) is not None:
            # MLflow takes a full disk for a model that it cannot write.
            raise full from error
        message = str(error).splitlines()[0][:300]
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}:
            raise NotFound(
                f"MLflow has no such thing: {message}", hint="List versions with 'streamflow models list'."
            ) from error
        if error.error_code in _NO_ACCESS or any(f"error code {status}" in message for status in (401, 403)):
            raise no_access(uri, message) from error
        # Only the text tells an unreachable server ("failed with exception") from an answer with an error status
        # ("failed with error code"): MLflow raises the same class for both.
        if "API request to" in message and "failed" in message and "error code" not in message:
            raise DependencyDown(
                f"MLflow at {uri} does not answer.",
                hint="Start the local stack with 'streamflow up', or check STREAMFLOW_MLFLOW__TRACKING_URI.",
            ) from error
        raise StreamFlowError(
            f"MLflow refused: {message}", hint=f"Look at the log of the MLflow server at {uri}."
        ) from error


def experiment_id(mlflow_client: Any, name: str) -> str:
    """Return the id of an experiment whose pages are those for training models; create it if it does not exist."""
    from mlflow.exceptions import MlflowException

    found = mlflow_client.get_experiment_by_name(name)
    if found is None:
        return str(mlflow_client.create_experiment(name, tags={_KIND: _FOR_TRAINING}))
    if _KIND not in found.tags:
        # Without it, MLflow's pages ask each person what the experiment is for. A person's choice stays.
        with contextlib.suppress(MlflowException):
            mlflow_client.set_experiment_tag(found.experiment_id, _KIND, _FOR_TRAINING)
    return str(found.experiment_id)


def log_figures(
    mlflow_client: Any,
    run_id: str,
    *,
    metrics: Mapping[str, float],
    params: Mapping[str, object],
    series: Mapping[str, Sequence[float]] | None = None,
    model_id: str | None = None,
) -> None:
    """Log metrics and parameters of a run in one request.

    Args:
        mlflow_client: Client from `client`.
        run_id: Run to log to.
        metrics: Values of the metrics, by name.
        params: Values of the parameters, by name. A value longer than MLflow stores is truncated.
        series: Metrics with a value for each step, by name.
        model_id: Model among the run's outputs that the metrics are of, too.
    """
    from mlflow.entities import Metric, Param

    now = int(datetime.now(UTC).timestamp() * 1000)
    values = {key: (value,) for key, value in metrics.items()} | {**(series or {})}
    mlflow_client.log_batch(
        run_id,
        metrics=[
            Metric(key, value, now, step, model_id=model_id)
            for key, steps in values.items()
            for step, value in enumerate(steps)
        ],
        params=[Param(key, value) for key, value in _stored(params).items()],
    )


def _stored(params: Mapping[str, object]) -> dict[str, str]:
    return {key: str(value)[:_LONGEST_PARAMETER] for key, value in params.items()}


def log_model(
    mlflow_client: Any, experiment: str, run_id: str, *, name: str, params: Mapping[str, object]
) -> str:
    """Create the model among a run's outputs, for MLflow's pages of models; return its id.

    Its files stay among the run's: MLflow has no other way to keep a version's files beside the rows it was trained on.

    Args:
        mlflow_client: Client from `client`.
        experiment: Id of the experiment.
        run_id: Run that made it.
        name: What the pages call it.
        params: Values of its parameters, by name.
    """
    from mlflow.entities import LoggedModelOutput

    model = mlflow_client.create_logged_model(
        experiment,
        name=name.translate(_NOT_IN_A_NAME),
        source_run_id=run_id,
        params=_stored(params),
        model_type="classifier",
    )
    mlflow_client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    return str(model.model_id)


def name_version(mlflow_client: Any, model_id: str, name: str, version: int) -> None:
    """Let MLflow's page of a run's model name the version that it was registered as."""
    versions = json.dumps([{"name": name, "version": str(version)}])
    mlflow_client.set_logged_model_tags(model_id, {"mlflow.modelVersions": versions})


def page_tags(
    *, user: str, source: str, is_job: bool, commit: str, description: str, parent: str = ""
) -> dict[str, str]:
    """Return the tags from which MLflow's pages show who made a run, from where, and its description.

    Args:
        user: Who made it; "" if nobody knows.
        source: Name of the program.
        is_job: Whether it ran as a job, and not by hand.
        commit: Git commit of the code; "" if nobody knows.
        description: Text of the description, in Markdown.
        parent: Run that the pages show it below; "" for none.
    """
    shown = {
        "mlflow.user": user,
        "mlflow.source.name": source,
        "mlflow.source.type": "JOB" if is_job else "LOCAL",
        "mlflow.source.git.commit": commit,
        "mlflow.note.content": description,
        _PARENT: parent,
    }
    return {name: value for name, value in shown.items() if value}


def parent_of(run_tags: Mapping[str, str]) -> str:
    """The run that MLflow's pages show a run below; "" if there is none. Pure."""
    return run_tags.get(_PARENT, "")


def log_data_set(
    mlflow_client: Any,
    run_id: str,
    frame: Any,
    *,
    label: str,
    name: str,
    digest: str,
    facts: Mapping[str, str],
) -> None:
    """Log which data a run was trained on: name, digest, columns and number of rows, and no value.

    Args:
        mlflow_client: Client from `client`.
        run_id: Run to log to.
        frame: The data.
        label: Column of the label.
        name: Name of the data set.
        digest: Its digest, of at most 36 characters.
        facts: What it is made of.
    """
    with warnings.catch_warnings():
        # MLflow warns about its own type hints, and that integer columns cannot be null. These never are.
        warnings.simplefilter("ignore")
        from mlflow.data.code_dataset_source import CodeDatasetSource
        from mlflow.data.pandas_dataset import from_pandas
        from mlflow.entities import Dataset, DatasetInput, InputTag

        source = CodeDatasetSource(dict(facts))
        few = from_pandas(_typical(frame), source=source, targets=label, name=name, digest=digest).to_dict()
    made = {**few, "profile": json.dumps({"num_rows": len(frame), "num_elements": int(frame.size)})}
    tags = [InputTag("mlflow.data.context", "training")]
    mlflow_client.log_inputs(run_id, datasets=[DatasetInput(Dataset(**made), tags)])


def _typical(frame: Any) -> Any:
    """A few rows from which MLflow infers the same columns as from all, of which it would look at each value."""
    first_nulls = {int(nulls.argmax()) for name in frame if (nulls := frame[name].isna().to_numpy()).any()}
    return frame.iloc[sorted({*range(min(_TYPICAL_ROWS, len(frame))), *first_nulls})]


def save_classifier(
    classifier: Any,
    folder: Path,
    sample: Any,
    answers: Any,
    *,
    trusted_types: Sequence[str],
    requirements: Sequence[str],
    code: str,
    loader: str,
) -> None:
    """Save a scikit-learn classifier as an MLflow model in skops format, which `pyfunc` loads with code of its own.

    Args:
        classifier: Fitted estimator or pipeline.
        folder: Folder to write the model to.
        sample: Rows of raw features, from which MLflow infers the signature; the first few are the input example.
        answers: What the code answers for these rows.
        trusted_types: Types that the classifier may contain beyond those that skops trusts by default.
        requirements: Packages that are needed to load the classifier, as pip requirements; of those that are installed.
        code: Folder in `folder`, which the caller adds, with the code that `pyfunc` loads the model with.
        loader: Name of the module in `code` that loads it.
    """
    with warnings.catch_warnings():
        # MLflow warns about its own type hints, and that integer columns cannot be null. These never are.
        warnings.simplefilter("ignore")
        import mlflow.sklearn
        from mlflow.models import Model, infer_signature

        with _requirements_as_given():
            mlflow.sklearn.save_model(
                classifier,
                str(folder),
                serialization_format="skops",
                # MLflow refuses ordinary pipelines in this format unless their types are listed.
                skops_trusted_types=list(trusted_types),
                signature=infer_signature(sample, answers),
                input_example=sample.head(_EXAMPLE_ROWS),
                pip_requirements=list(requirements),
            )
        saved = Model.load(str(folder))
        by_default = saved.flavors["python_function"]
        kept = {name: by_default[name] for name in ("env", "python_version")}
        saved.flavors["python_function"] = {"loader_module": loader, "code": code, **kept}
        saved.save(str(folder / "MLmodel"))


def artifact(fetch: Callable[[str], str], path: str) -> bytes | None:
    """Return the content of one of a run's artifacts, or None if it does not exist.

    Call it in the `with` block of `client`, which translates MLflow's exceptions.

    Args:
        fetch: Downloads an artifact and returns its local path.
        path: Path of the artifact, relative to the run's artifacts.

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
    """Return whether an error means that the file does not exist, rather than that MLflow failed."""
    code = getattr(error, "error_code", "")
    return isinstance(error, FileNotFoundError) or code == "RESOURCE_DOES_NOT_EXIST" or "404" in str(error)
