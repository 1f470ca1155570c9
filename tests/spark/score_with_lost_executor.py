"""Score with two executors, each a process of Java, of which one is killed by a task that it runs.

Arguments: home folder of the stack, an empty folder, known-at. Prints the id of the scoring.
"""

import os
import sys
from datetime import datetime
from pathlib import Path

import pyspark
from pyspark.sql import SparkSession
from spark_scores import PROPERTIES, dying, register, with_spark

from streamflow import settings as settings_module
from streamflow.spark import scoring

os.environ["SPARK_HOME"] = str(Path(pyspark.__file__).parent)
home, folder, known_at = Path(sys.argv[1]), Path(sys.argv[2]), datetime.fromisoformat(sys.argv[3])
settings = settings_module.load(home=home)
properties = PROPERTIES | {"spark.executor.memory": "512m", "spark.pyspark.python": sys.executable}
with SparkSession.builder.master("local-cluster[2,1,1024]").config(map=properties).getOrCreate() as spark:
    register(spark, settings, folder)
    (folder / "killed").mkdir()
    scoring._Task = dying(folder / "killed", times=1, executor=True)
    print(with_spark(spark, settings, known_at).scoring_id)
