"""What builds the training sets of trainings: PostgreSQL, or Spark over the lake."""

from __future__ import annotations

from functools import partial

from streamflow import challenger
from streamflow.audit.reproduce import rerun
from streamflow.settings import Settings


def builder(settings: Settings) -> challenger.Build | None:
    """Choose what builds training sets; None is the default, PostgreSQL.

    Raises:
        UsageError: Spark is to build them, and its packages are not installed.
    """
    if settings.engine == "postgresql":
        return None
    from streamflow.spark.training_set import training_set

    return partial(training_set, settings.database, settings.lake, settings.spark)


def rebuilder(settings: Settings) -> rerun.Rebuild | None:
    """Choose what builds the training set of a recorded run again; None is the default, PostgreSQL.

    Raises:
        UsageError: Spark is to build it, and its packages are not installed.
    """
    if settings.engine == "postgresql":
        return None
    from streamflow.spark.training_set import again

    return partial(again, settings.database, settings.lake, settings.spark)
