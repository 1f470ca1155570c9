"""MLflow's server answers 507 when a disk is full, and 500 for any other error of the system."""

import errno

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from streamflow.mlflow_server.full_disk import answer_full_disk


@pytest.mark.parametrize(
    ("number", "status"), [(errno.ENOSPC, 507), (errno.EDQUOT, 507), (errno.EACCES, 500), (errno.EIO, 500)]
)
def test_only_a_full_disk_is_insufficient_storage(number, status):
    app = answer_full_disk(FastAPI())

    @app.put("/file")
    def put() -> None:
        raise OSError(number, "no")

    answer = TestClient(app, raise_server_exceptions=False).put("/file")
    assert answer.status_code == status
