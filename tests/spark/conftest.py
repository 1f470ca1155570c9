"""Fixtures of tests that run Spark, which .venv-spark alone has (`make test-spark`)."""

import importlib.util

import pytest

HAS_SPARK = importlib.util.find_spec("pyspark") is not None
collect_ignore_glob = [] if HAS_SPARK else ["test_*.py"]


@pytest.fixture(scope="session")
def spark_session():
    """Spark's session, shared by all tests; it ends with the process."""
    from pyspark.sql import SparkSession
    from spark_scores import PROPERTIES

    return SparkSession.builder.master("local[2]").config(map=PROPERTIES).getOrCreate()
