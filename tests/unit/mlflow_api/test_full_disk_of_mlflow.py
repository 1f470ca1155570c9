"""The SDK's door names the disk that is full: MLflow's, or that of temporary files here."""

import errno
from types import SimpleNamespace

import pytest
import requests
from mlflow.exceptions import MlflowException

from streamflow import settings as settings_module
from streamflow.errors import DiskFull
from streamflow.mlflow_api import sdk

MLFLOW = settings_module.load(mlflow={"tracking_uri": "http://127.0.0.1:9"}).mlflow


def answered(status):
    return requests.HTTPError("no", response=SimpleNamespace(status_code=status))


def test_507_is_the_disk_of_artifacts():
    with pytest.raises(DiskFull, match=r"The disk of MLflow's artifacts"), sdk.client(MLFLOW):
        raise answered(507)


@pytest.mark.parametrize("error", [answered(500), OSError(errno.EACCES, "no")])
def test_other_errors_pass_through(error):
    with pytest.raises(type(error)), sdk.client(MLFLOW):
        raise error


def test_a_model_that_cannot_be_written_here_names_the_folder():
    """MLflow says then that the model is of the wrong kind."""
    with pytest.raises(DiskFull, match=r"The disk of /tmp/x is full"), sdk.client(MLFLOW):
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "/tmp/x/model.skops")
        except OSError as error:
            raise MlflowException("The sklearn model could not be serialized") from error
