"""A recipe is loaded once its job has recorded that it began: a job whose memory ends meanwhile is then seen."""

import subprocess
import sys

import pytest

from streamflow.errors import NotFound
from streamflow.jobs import catalog

BEFORE_THE_START = """
import sys
import streamflow.cli.jobs
from streamflow.jobs import catalog
catalog.recipe("train")
assert not {"feast", "mlflow", "sklearn"} & set(sys.modules)
"""


def test_feast_and_mlflow_are_not_loaded_before_the_start_is_recorded():
    done = subprocess.run(
        [sys.executable, "-c", BEFORE_THE_START], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_unknown_job_is_refused_before_anything_is_recorded():
    with pytest.raises(NotFound, match="no job 'trian'"):
        catalog.recipe("trian")
