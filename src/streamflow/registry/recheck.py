"""Check a version again that was refused, so that it can be promoted if the reason is gone."""

from __future__ import annotations

from streamflow.mlflow_api.transport import registry
from streamflow.registry import artifacts, versions
from streamflow.registry.artifacts import Verified
from streamflow.settings import Backends


def recheck(backends: Backends, version: int) -> Verified:
    """Check a version, whether or not it was refused before; a version that passes is no longer refused.

    Raises:
        NotFound: There is no such version.
        ReleaseUnfit: A check failed; from now on this is why it is refused.
        ReleaseRefused: It was not trained here, or its files are not those that were registered.
        DependencyDown: PostgreSQL or MLflow does not answer.
    """
    found = versions.get(backends.mlflow, version)
    with registry(backends.mlflow) as client:
        return artifacts.trained_here(
            backends.database, client, backends.mlflow.registered_model, found, again=True
        )
