"""Spark is there, or the summary says that its tests were left out."""

import importlib.util

import pytest


def test_spark_is_there_with_its_locked_version():
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("the other tests of tests/spark need Spark: 'make spark' installs it")
    import pyspark

    assert pyspark.__version__.startswith("4.3.")
