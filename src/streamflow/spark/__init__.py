"""Spark: training sets, materializations and scores over the lake, with `engine: spark`. Only it imports Spark."""

from importlib.util import find_spec

from streamflow.errors import UsageError

if find_spec("pyspark") is None:
    raise UsageError(
        "engine=spark needs Spark's Python package, which is not installed here.",
        hint="Install streamflow[spark] ('make spark' in a checkout), or set STREAMFLOW_ENGINE=postgresql.",
    )
