"""Mistakes in values are refused with a message that names the value and what to do."""

import json
import re
import shutil
import zoneinfo

import pytest
from render import CHART, EXISTING, JOBS, RefusedError, render_text

SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

MISTAKES = {
    "more connections than the database has": (
        ["predict.autoscaling.maxReplicas=60"],
        ["postgresql.maxConnections", "predict.autoscaling.maxReplicas", "80 %"],
    ),
    "no secret, and no cluster to look one up in": (
        ["database.existingSecret="],
        ["database.existingSecret", "secrets.generate=always"],
    ),
    "no generated secret and no existing one": (
        ["database.existingSecret=", "secrets.generate=never"],
        ["secrets.generate", "database.existingSecret"],
    ),
    "no accounts of MLflow": (
        ["database.existingSecret=passwords"],
        ["mlflow.auth.existingSecret", "mlflow.auth.enabled=false"],
    ),
    "no generated accounts of MLflow": (
        ["database.existingSecret=passwords", "secrets.generate=never"],
        ["mlflow.auth.existingSecret", "admin-password", "promoter-password"],
    ),
    "no key of the list of erasures": (
        ["database.existingSecret=passwords", "mlflow.auth.existingSecret=accounts"],
        ["erasure.existingSecret", "a new key"],
    ),
    "no generated key of the list of erasures": (
        [
            "database.existingSecret=passwords",
            "mlflow.auth.existingSecret=accounts",
            "secrets.generate=never",
        ],
        ["erasure.existingSecret", "erasure-key"],
    ),
    "a password of nobody": (
        ["mlflow.external.url=https://mlflow.example.com", "mlflow.external.existingSecret=login"],
        ["mlflow.external.username"],
    ),
    "two databases": (["externalDatabase.host=db"], ["externalDatabase.host", "postgresql.enabled"]),
    "no database": (["postgresql.enabled=false"], ["externalDatabase.host"]),
    "an external database without an administrator": (
        ["postgresql.enabled=false", "externalDatabase.host=db"],
        ["externalDatabase.existingSecret", "database.createRoles=false"],
    ),
    "a hook that may create no database": (
        [
            *("postgresql.enabled=false", "externalDatabase.host=db", "database.createRoles=false"),
            "upgrade.hook.enabled=true",
        ],
        ["upgrade.hook.enabled=false", "database.createRoles", "streamflow upgrade"],
    ),
    "a hook whose backup is lost with its pod": (
        ["upgrade.hook.enabled=true", "backups.persistence.enabled=false"],
        ["upgrade.hook.enabled", "backups.persistence.enabled=true", "backups.url"],
    ),
    "the bundled server without roles": (
        ["database.createRoles=false"],
        ["database.createRoles", "postgresql.enabled"],
    ),
    "a certificate that is checked against nothing": (
        [
            "postgresql.enabled=false",
            "externalDatabase.host=db",
            "externalDatabase.existingSecret=root",
            "externalDatabase.sslmode=verify-full",
        ],
        ["externalDatabase.sslmode=verify-full", "externalDatabase.caSecret"],
    ),
    "TLS without a certificate": (
        ["postgresql.tls.enabled=true"],
        ["postgresql.tls.existingSecret", "postgresql.tls.issuerRef"],
    ),
    "two certificates": (
        [
            "postgresql.tls.enabled=true",
            "postgresql.tls.existingSecret=tls",
            "postgresql.tls.issuerRef.name=ours",
        ],
        ["postgresql.tls.existingSecret", "postgresql.tls.issuerRef", "exclude"],
    ),
    "a prediction log that is shorter than its owner allows": (
        ["settings.predict.logRetentionDays=6"],
        ["settings.predict.logRetentionDays=6", "settings.predict.logLeastDays=7"],
    ),
    "results of jobs that are forgotten before their owner allows": (
        ["settings.jobs.historyDays=6"],
        ["settings.jobs.historyDays=6", "settings.jobs.historyLeastDays=7"],
    ),
    "two limits for disruption": (
        ["predict.pdb.minAvailable=1", "predict.pdb.maxUnavailable=1"],
        ["predict.pdb.minAvailable", "predict.pdb.maxUnavailable"],
    ),
    "a budget that blocks every drain": (
        ["predict.pdb.minAvailable=2", "predict.pdb.maxUnavailable=null"],
        ["predict.pdb.minAvailable", "predict.pdb.maxUnavailable=1"],
    ),
    "a budget of all pods": (
        ["predict.pdb.minAvailable=100%", "predict.pdb.maxUnavailable=null"],
        ["predict.pdb.minAvailable=100%", "predict.pdb.maxUnavailable=1"],
    ),
    "a budget that rounds up to all pods": (
        ["predict.pdb.minAvailable=51%", "predict.pdb.maxUnavailable=null"],
        ["predict.pdb.minAvailable=51% of 2 pods"],
    ),
    "a budget that allows no eviction": (
        ["predict.pdb.maxUnavailable=0"],
        ["predict.pdb.maxUnavailable=0", "predict.pdb.enabled=false"],
    ),
    "a budget that allows no eviction, in per cent": (
        ["predict.pdb.maxUnavailable=0%"],
        ["predict.pdb.maxUnavailable=0%"],
    ),
    "a budget without a limit": (
        ["predict.pdb.maxUnavailable=null"],
        ["predict.pdb.minAvailable", "predict.pdb.maxUnavailable=1"],
    ),
    "a budget that is not a number": (["predict.pdb.maxUnavailable=few"], ["/predict/pdb/maxUnavailable"]),
    "a maximum of pods below the minimum": (
        ["predict.autoscaling.minReplicas=9"],
        ["predict.autoscaling.minReplicas", "predict.autoscaling.maxReplicas"],
    ),
    "an API without keys": (
        ["registrar.api.enabled=true"],
        ["registrar.api.enabled", "registrar.api.apiKeys.existingSecret"],
    ),
    "two MLflow pods on one disk": (
        ["mlflow.replicaCount=2"],
        ["mlflow.replicaCount", "mlflow.artifactsUrl"],
    ),
    "an ingress without a host": (["predict.ingress.enabled=true"], ["predict.ingress.hosts"]),
    "a route without a gateway": (["predict.httpRoute.enabled=true"], ["predict.httpRoute.parentRefs"]),
    "pods killed while they drain": (
        ["settings.predict.drainSeconds=60"],
        ["predict.terminationGracePeriodSeconds", "settings.predict.drainSeconds"],
    ),
    "a job that does not exist": (["jobs.trian.suspend=true"], ["jobs.trian", "train"]),
    "a conductor without jobs": (
        ["prefect.enabled=true"]
        + [f"jobs.{job}.enabled=false" for job in ("ingest", "materialize", "train", "score", "monitor")],
        ["prefect.enabled=false", "disabled"],
    ),
    "a schedule beside that of Prefect": (
        ["prefect.enabled=true", "jobs.train.suspend=false"],
        ["jobs.train.suspend=false", "prefect.cronJobs=scheduled"],
    ),
    "a Prefect that nothing uses": (
        ["prefect.apiUrl=https://prefect.example.com/api"],
        ["prefect.apiUrl", "prefect.enabled=true"],
    ),
    "one database for Prefect and MLflow": (
        ["prefect.enabled=true", "database.prefectName=mlflow"],
        ["database.prefectName=mlflow"],
    ),
    "no login of Prefect": (
        ["prefect.enabled=true", "prefect.auth.existingSecret="],
        ["prefect.auth.existingSecret", "prefect.auth.enabled=false"],
    ),
    "no generated login of Prefect": (
        ["prefect.enabled=true", "prefect.auth.existingSecret=", "secrets.generate=never"],
        ["prefect.auth.existingSecret", "auth-string"],
    ),
    "drops in two places": (
        ["drops.url=s3://bucket/drops", "drops.persistence.existingClaim=drops"],
        ["drops.url", "drops.persistence.existingClaim"],
    ),
    "an image without a version": (
        ["images.predict.tag=latest"],
        ["images.predict.tag", "images.predict.digest"],
    ),
    "one port for Feast's server and its metrics": (
        ["feast.service.port=8000"],
        ["feast.service.port=8000", "metrics"],
    ),
    "a node port of a ClusterIP Service": (
        ["mlflow.service.nodePort=30500"],
        ["mlflow.service.nodePort=30500", "mlflow.service.type=NodePort"],
    ),
    "ranges of a load balancer without one": (
        ["predict.service.loadBalancerSourceRanges[0]=10.0.0.0/8"],
        ["predict.service.loadBalancerSourceRanges", "predict.service.type=ClusterIP"],
    ),
    # Refused by the schema:
    "a malformed schedule": (
        ["jobs.train.schedule=every month"],
        ["/jobs/train/schedule", "every month"],
    ),
    "a schedule of four fields and two spaces": (["jobs.train.schedule=0  3 * *"], ["/jobs/train/schedule"]),
    "an invalid time zone": (["jobDefaults.timeZone=Etc//UTC"], ["/jobDefaults/timeZone", "Etc//UTC"]),
    "an invalid time zone of one job": (["jobs.train.timeZone=Europe/"], ["/jobs/train/timeZone", "Europe/"]),
    "an invalid size": (["backups.persistence.size=8GB"], ["/backups/persistence/size"]),
    "a host without a name": (
        ["predict.ingress.enabled=true", "predict.ingress.hosts[0].name=a"],
        ["/predict/ingress/hosts/0", "host"],
    ),
    "an environment variable that is not a map": (["pods.extraEnv[0]=A=B"], ["/pods/extraEnv/0", "object"]),
    "an invalid access mode": (
        ["drops.persistence.accessModes[0]=RWX"],
        ["/drops/persistence/accessModes/0", "ReadWriteMany"],
    ),
    "an address of Prefect that is not that of its API": (
        ["prefect.enabled=true", "prefect.apiUrl=https://prefect.example.com"],
        ["/prefect/apiUrl"],
    ),
    "a schedule of Prefect that is none": (
        ["prefect.enabled=true", "prefect.schedule=@never"],
        ["/prefect/schedule"],
    ),
    "a knob that does not exist": (["predict.replicas=3"], ["/predict", "replicas"]),
    "a wrong type": (
        ["predict.autoscaling.maxReplicas=many"],
        ["/predict/autoscaling/maxReplicas", "integer"],
    ),
    "a value outside its enum": (["settings.log.level=loud"], ["/settings/log/level", "debug"]),
    "a share above one": (["settings.ingest.maxBadShare=5"], ["/settings/ingest/maxBadShare", "1"]),
    "shards of a job that has none": (
        ["jobs.train.shards=2"],
        ["jobs.train.shards", "only one of the job score"],
    ),
    "too many shards": (["jobs.score.shards=101"], ["/jobs/score/shards", "100"]),
    "a misspelt job key": (["jobs.train.cron=0 3 * * *"], ["/jobs/train", "cron"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_with_a_message_that_names_the_knob(mistake):
    sets, words = MISTAKES[mistake]
    given = sets if any(item.startswith("database.existingSecret") for item in sets) else [*EXISTING, *sets]
    with pytest.raises(RefusedError) as refused:
        render_text(*given)
    assert [word for word in words if word not in str(refused.value)] == []


def test_all_mistakes_are_reported_at_once():
    with pytest.raises(RefusedError) as refused:
        render_text(
            *EXISTING, "mlflow.replicaCount=2", "jobs.trian.suspend=true", "images.platform.tag=latest"
        )
    assert str(refused.value).count("\n  - ") == 3


def test_a_chart_whose_jobs_were_left_out_is_refused(tmp_path):
    """A copy without them would install no CronJob, and say nothing."""
    chart = shutil.copytree(CHART, tmp_path / "streamflow", ignore=shutil.ignore_patterns("jobs", "ci"))
    shutil.copytree(CHART / "templates" / "jobs", chart / "templates" / "jobs")
    with pytest.raises(RefusedError) as refused:
        render_text(*EXISTING, "jobs.train.retries=0", chart=chart)
    assert "jobs/*.yaml" in str(refused.value)
    assert "make chart-docs" in str(refused.value)
    assert str(refused.value).count("\n  - ") == 1


def matching(pattern, texts):
    return {text for text in texts if re.search(pattern, text)}


GOOD_SCHEDULES = {
    "@daily", "@every 1h30m", "*/15 * * * *", "0 3 2 * *", "0  3 2 * *", " 0 3 2 * * ", "0 0 1,15 * 1-5",
    "30 1 * jan-mar mon", "30 1 * JAN Mon-FRI", "5 4 * * sun", "0 08 * * 0-6/2", "09 7-9 * * *", "0 3 ? * *",
}  # fmt: skip
BAD_SCHEDULES = {
    "",
    "@never",
    "@every",
    "@every two hours",
    "* * * *",
    "* * * * * *",
    "0 3 2 * * # monthly",
    "0;3 2 * * *",
}


def test_the_schema_accepts_schedules_of_kubernetes_and_refuses_malformed_ones():
    """The schema checks form; the API server checks ranges (tests/cluster/test_cluster_mistakes.py)."""
    pattern = SCHEMA["definitions"]["job"]["properties"]["schedule"]["pattern"]
    schedules = GOOD_SCHEDULES | {job["schedule"] for job in JOBS.values()}
    assert matching(pattern, schedules | BAD_SCHEDULES) == schedules


def test_the_schema_accepts_every_name_of_the_time_zone_database():
    pattern = SCHEMA["properties"]["jobDefaults"]["properties"]["timeZone"]["pattern"]
    assert pattern == SCHEMA["definitions"]["job"]["properties"]["timeZone"]["pattern"]
    names = zoneinfo.available_timezones()
    assert {"CET", "GMT", "UTC", "Europe/Berlin", "Etc/GMT+5", "America/Argentina/Buenos_Aires"} <= names
    assert matching(pattern, names | {"", "Europe/", "/Etc/UTC", "Etc//UTC", "Etc/UTC "}) == names
