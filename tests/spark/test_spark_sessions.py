"""Spark's session: its properties, and what is said where it cannot start."""

import os
import subprocess
import sys

import pytest

from streamflow import settings as settings_module
from streamflow.errors import UsageError
from streamflow.repo import feast_config
from streamflow.settings import SparkSettings
from streamflow.spark import session, snapshots


@pytest.fixture
def nothing_runs(monkeypatch):
    monkeypatch.setattr(session.SparkSession, "getActiveSession", lambda: None)
    monkeypatch.delenv("JAVA_HOME", raising=False)


@pytest.mark.usefixtures("nothing_runs")
def test_without_java_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="no 'java' on the PATH") as raised:
        session.started(SparkSettings())
    assert "openjdk-21-jre-headless" in str(raised.value)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(UsageError, match="has no bin/java"):
        session.started(SparkSettings())


@pytest.mark.usefixtures("nothing_runs")
def test_a_java_that_is_too_old_is_refused(monkeypatch, tmp_path):
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(UsageError, match=r"17 or later, and .* is version 11"):
        session.started(SparkSettings())


def test_properties_of_a_cluster_bind_nothing_to_this_machine_and_conf_comes_last():
    made = session.properties(
        SparkSettings(master="k8s://https://here:6443", conf={"spark.ui.enabled": "true"})
    )
    assert made["spark.ui.enabled"] == "true"
    assert made["spark.sql.session.timeZone"] == "UTC"
    assert "spark.driver.host" not in made
    assert session.properties(SparkSettings())["spark.driver.bindAddress"] == "127.0.0.1"


def test_without_the_package_the_error_names_what_to_install():
    code = (
        "import importlib.util; importlib.util.find_spec = lambda name: None\n"
        "from streamflow.errors import UsageError\n"
        "try:\n    import streamflow.spark\nexcept UsageError as error:\n    print(error)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "streamflow[spark]" in answer.stdout


def test_the_same_feature_store_yaml_names_the_lakes_store_and_engine(feature_repo):
    database = settings_module.load().database
    config = feast_config.read(feature_repo, database, engine="spark")
    assert config.offline_store.type == "streamflow.spark.offline_store.LakeOfflineStore"
    assert config.batch_engine.type == "streamflow.spark.engine.LakeEngine"
    unchanged = feast_config.read(feature_repo, database)
    assert unchanged.batch_engine.type == "streamflow.features.engine.SnapshotEngine"


@pytest.mark.parametrize(
    ("rows", "parts"),
    [(0, 8), (4_000_000, 8), (4_000_001, 9), (10_000_000, 20), (1_000_000_000, 2000), (10**11, 4000)],
)
def test_a_shuffle_has_a_partition_for_half_a_million_rows(rows, parts):
    assert snapshots.partitions(rows) == parts
