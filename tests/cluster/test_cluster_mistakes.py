"""Mistakes in values are refused before anything is created, with a message that names the value."""

import pytest
import yaml
from kubernetes_cli import CHART, run

MISTAKES = [
    ("predict.autoscaling.maxReplicas=60", "postgresql.maxConnections"),
    ("secrets.generate=never", "database.existingSecret"),
    ("jobs.train.schedule=every month", "/jobs/train/schedule"),
    ("jobDefaults.timeZone=Etc//UTC", "/jobDefaults/timeZone"),
    ("externalDatabase.host=db", "postgresql.enabled"),
    ("postgresql.enabled=false", "externalDatabase.host"),
    ("predict.pdb.minAvailable=1", "predict.pdb.maxUnavailable"),
    ("mlflow.replicaCount=2", "mlflow.artifactsUrl"),
    ("jobs.trian.suspend=true", "jobs.trian"),
    ("predict.replicas=3", "replicas"),
    ("images.platform.tag=latest", "images.platform.tag"),
    ("settings.ingest.maxBadShare=5", "/settings/ingest/maxBadShare"),
]


@pytest.mark.fault("F27")
@pytest.mark.parametrize(("mistake", "knob"), MISTAKES)
def test_a_mistake_is_refused_and_nothing_is_installed(cluster, mistake, knob):
    arguments = ["mistaken", CHART, "--namespace", "default", "--set", mistake]
    done = run("helm", "install", *arguments, check=False)
    assert done.returncode != 0
    assert knob in done.stderr
    assert (
        run(
            "helm", "list", "--deployed", "--failed", "--pending", "--namespace", "default", "--short"
        ).split()
        == []
    )


@pytest.mark.parametrize(
    ("mistake", "field"),
    [
        ("jobs.train.schedule=61 * * * *", "spec.schedule"),
        ("jobs.train.schedule=0 3 * * 7", "spec.schedule"),
        ("jobs.train.schedule=0 3 * * 5-2", "spec.schedule"),
        ("jobs.train.timeZone=Mars", "spec.timeZone"),
    ],
)
def test_the_api_server_refuses_a_schedule_that_the_schema_cannot_judge(cluster, mistake, field):
    arguments = [
        "mistaken",
        CHART,
        "--namespace",
        "default",
        "--set",
        "database.existingSecret=passwords,mlflow.auth.existingSecret=accounts,"
        "registrar.signing.existingSecret=signing-key,erasure.existingSecret=erasure-key",
    ]
    rendered = run("helm", "template", *arguments, "--set", mistake)
    crons = [item for item in yaml.safe_load_all(rendered) if item and item["kind"] == "CronJob"]
    listed = yaml.safe_dump_all(crons)
    done = run("kubectl", "apply", "--dry-run=server", "--filename=-", stdin=listed, check=False)
    assert done.returncode != 0
    assert field in done.stderr
