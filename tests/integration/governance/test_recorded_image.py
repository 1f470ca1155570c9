"""The image that a run was made in, as MLflow has it."""

import pytest

from streamflow.audit.reproduce.in_image import recorded_image
from streamflow.errors import NotFound, UsageError
from streamflow.mlflow_api import sdk
from streamflow.registry import versions


def test_the_image_is_read_from_the_run(settings, make):
    run_id = versions.get(settings.mlflow, make(1)[0]).run_id
    with pytest.raises(UsageError, match=f"Run {run_id} was not made in an image"):
        recorded_image(settings.mlflow, run_id)
    with sdk.client(settings.mlflow) as client:
        client.set_tag(run_id, "streamflow.env.image", "streamflow/platform:1")
    assert recorded_image(settings.mlflow, run_id) == "streamflow/platform:1"


def test_a_run_that_does_not_exist_has_no_image(settings, mlflow_server):
    with pytest.raises(NotFound, match="There is no run 0000"):
        recorded_image(settings.mlflow, "0" * 32)
