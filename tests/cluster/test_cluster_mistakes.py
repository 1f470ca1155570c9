"""Ten mistakes in values, tried on the cluster: refused before anything is made, in words that name the knob."""

import pytest
from kubernetes_cli import CHART, run

MISTAKES = [
    ("predict.autoscaling.maxReplicas=60", "postgresql.maxConnections"),
    ("secrets.generate=never", "database.existingSecret"),
    ("jobs.train.schedule=every month", "jobs.train.schedule"),
    ("jobDefaults.timeZone=Mars", "jobDefaults.timeZone"),
    ("externalDatabase.host=db", "postgresql.enabled"),
    ("postgresql.enabled=false", "externalDatabase.host"),
    ("predict.pdb.minAvailable=1", "predict.pdb.maxUnavailable"),
    ("mlflow.replicaCount=2", "mlflow.artifactsUrl"),
    ("jobs.trian.suspend=true", "jobs.trian"),
    ("predict.replicas=3", "replicas"),
    ("images.platform.tag=latest", "images.platform.tag"),
    ("settings.ingest.maxBadShare=5", "/settings/ingest/maxBadShare"),
]


@pytest.mark.parametrize(("mistake", "knob"), MISTAKES)
def test_a_mistake_is_refused_and_nothing_is_installed(cluster, mistake, knob):
    arguments = ["mistaken", CHART, "--namespace", "default", "--set", mistake]
    done = run("helm", "install", *arguments, check=False)
    assert done.returncode != 0
    assert knob in done.stderr
    assert run("helm", "list", "--all", "--namespace", "default", "--short").split() == []
