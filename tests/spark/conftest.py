"""Fixtures of tests that run Spark; they are left out without .venv-spark (`make spark`)."""

import importlib.util
from pathlib import Path

import pytest

from streamflow.settings import LakeSettings, SparkSettings

HAS_SPARK = importlib.util.find_spec("pyspark") is not None
_SAYS_SO = "test_spark_is_installed.py"
collect_ignore = (
    [] if HAS_SPARK else [p.name for p in Path(__file__).parent.glob("test_*.py") if p.name != _SAYS_SO]
)


@pytest.fixture(scope="session")
def spark_settings() -> SparkSettings:
    """Settings of the one session of the run; a start takes seconds."""
    conf = {
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.files.minPartitionNum": "1",
        # Queries over a few rows cost what it takes to compile them.
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    }
    return SparkSettings(driver_memory="1g", conf=conf)


@pytest.fixture(scope="session")
def spark_session(spark_settings):
    """Spark's session, shared by all tests; it ends with the process."""
    from streamflow.spark import session

    return session.started(spark_settings)


@pytest.fixture
def lake(tmp_path) -> LakeSettings:
    """A lake without drops."""
    return LakeSettings(url=str(tmp_path / "lake"))
