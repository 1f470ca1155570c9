"""Start Spark: one session a process, in UTC, with quiet logs and without a web page."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from streamflow.errors import DependencyDown, UsageError
from streamflow.settings.spark import SparkSettings

_OLDEST_JAVA = 17
_INSTALL = (
    "Install a Java runtime of version 17 or later (Debian: openjdk-21-jre-headless) and set JAVA_HOME if it is"
    " not on the PATH."
)


def started(settings: SparkSettings) -> SparkSession:
    """The session of this process, started if it does not run yet, and made the active one.

    Raises:
        UsageError: There is no Java runtime, or it is too old.
        DependencyDown: Spark does not start.
    """
    running = SparkSession.getActiveSession()
    if running is None:
        _check_java()
    if settings.master.startswith("local"):
        # Spark's Python workers run the `python3` of the PATH otherwise; it reads no property for this.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder
    for name, value in properties(settings).items():
        builder = builder.config(name, value)
    try:
        return builder.getOrCreate()
    except (PySparkException, OSError) as error:
        raise _not_started(settings, error) from error
    except Exception as error:
        # Java's exceptions, such as of a master that does not answer, are py4j's, which only Spark imports.
        if type(error).__module__.partition(".")[0] != "py4j":
            raise
        raise _not_started(settings, error) from error


def properties(settings: SparkSettings) -> dict[str, str]:
    """Spark's properties for these settings; `settings.conf` comes last. Pure."""
    made = {
        "spark.master": settings.master,
        "spark.app.name": "streamflow",
        "spark.driver.memory": settings.driver_memory,
        "spark.log.level": "ERROR",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Literals and casts of times are read in this zone; ours have no other.
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.caseSensitive": "true",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        # A value that does not fit is an error, never null.
        "spark.sql.ansi.enabled": "true",
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
    }
    if settings.master.startswith("local"):
        made |= {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
        }
    return made | settings.conf


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    if java is None or not Path(java).is_file():
        where = f"JAVA_HOME={home} has no bin/java." if home else "There is no 'java' on the PATH."
        raise UsageError(f"Spark needs Java. {where}", hint=_INSTALL)
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r'version "(\d+)', answer.stderr)
    if found and int(found.group(1)) < _OLDEST_JAVA:
        raise UsageError(
            f"Spark needs Java {_OLDEST_JAVA} or later, and {java} is version {found.group(1)}.",
            hint=_INSTALL,
        )


def _not_started(settings: SparkSettings, error: Exception) -> DependencyDown:
    return DependencyDown(
        f"Spark does not start with the master '{settings.master}'.",
        details=(str(error).strip().splitlines()[0],),
        hint="Check STREAMFLOW_SPARK__MASTER, __DRIVER_MEMORY and __CONF; Java's messages stand above.",
    )
