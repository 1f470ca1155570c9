"""An installation consists of exactly these objects."""

import base64
import json
import re

import pytest
from render import configuration, pick, pod_specs, render

JOBS = (
    *("ingest", "materialize", "train", "score", "parity", "monitor"),
    *("audit", "backup", "restore", "erase", "retention", "promote"),
)
COMPONENTS = ("postgresql", "mlflow", "feast", "predict", "registrar", "exporter", "migrate", "test")


def named(objects, prefix):
    names = [f"{o['kind']} {o['metadata']['name'].removeprefix(prefix)}" for o in objects]
    return sorted(re.sub(r"^Job demo-[0-9a-f]{8}$", "Job demo", name) for name in names)


def every(kind, names):
    return {f"{kind} {name}" for name in names}


DEFAULT = (
    every("CronJob", JOBS)
    | every("ServiceAccount", (*JOBS, *COMPONENTS))
    | every("NetworkPolicy", (*JOBS, *COMPONENTS, "default-deny"))
    | every("Deployment", ("mlflow", "feast", "predict", "registrar", "exporter"))
    | every("Service", ("postgresql", "mlflow", "feast", "predict", "registrar", "exporter"))
    | every("PersistentVolumeClaim", ("postgresql", "mlflow", "drops", "backups"))
    | {
        "ConfigMap settings",
        "ConfigMap registrar-head",
        "Role registrar-head",
        "RoleBinding registrar-head",
        "StatefulSet postgresql",
        "Job migrate-1",
        "HorizontalPodAutoscaler predict",
        "PodDisruptionBudget predict",
        "Pod test-predict-answers",
    }
)
DEMO = {"Job demo", "ServiceAccount demo", "NetworkPolicy demo"}
BUNDLED = {
    "StatefulSet postgresql",
    "Service postgresql",
    "PersistentVolumeClaim postgresql",
    "ServiceAccount postgresql",
    "NetworkPolicy postgresql",
}
CONDUCTOR = {
    *("Deployment conductor", "Service conductor", "ServiceAccount conductor", "NetworkPolicy conductor"),
    *("Role conductor", "RoleBinding conductor"),
}
UPGRADE = {
    *("Job upgrade", "ServiceAccount upgrade", "ConfigMap upgrade-settings"),
    *("NetworkPolicy upgrade", "NetworkPolicy upgrade-targets"),
}
EXECUTORS = {
    f"{kind} executor" for kind in ("ConfigMap", "NetworkPolicy", "Role", "RoleBinding", "ServiceAccount")
} | {"NetworkPolicy executor-drivers"}
POLICY = {"ValidatingAdmissionPolicy conductor.churn", "ValidatingAdmissionPolicyBinding conductor.churn"}
PREFECT = {f"{kind} prefect" for kind in ("Deployment", "Service", "ServiceAccount", "NetworkPolicy")}
EVERY_KNOB = (
    (DEFAULT | DEMO | CONDUCTOR | POLICY | PREFECT | UPGRADE | EXECUTORS)
    - {f"{kind} parity" for kind in ("CronJob", "ServiceAccount", "NetworkPolicy")}
    - {"PersistentVolumeClaim mlflow", "PersistentVolumeClaim drops", "ServiceAccount predict"}
    | every("ServiceMonitor", ("mlflow", "feast", "predict", "registrar", "conductor", "exporter"))
    | {"PrometheusRule alerts", "ConfigMap dashboard", "Ingress predict", "HTTPRoute predict"}
    | {"Certificate postgresql", "ConfigMap postgresql"}
    | {"ConfigMap streamflow-extra"}
)


@pytest.mark.parametrize(
    ("name", "prefix", "expected"),
    [
        ("default", "streamflow-", DEFAULT),
        ("small", "streamflow-", DEFAULT | DEMO),
        ("external-postgres", "streamflow-", DEFAULT - BUNDLED),
        ("prefect", "streamflow-", DEFAULT | DEMO | CONDUCTOR | POLICY | PREFECT),
        ("prefect-elsewhere", "streamflow-", DEFAULT | CONDUCTOR),
        ("every-knob", "everything-", EVERY_KNOB),
    ],
)
def test_the_exact_set_of_objects(name, prefix, expected):
    assert named(configuration(name), prefix) == sorted(expected)


def test_without_existing_secrets_the_chart_creates_them_with_a_password_per_role():
    from streamflow.mlflow_server.accounts import ROLES
    from streamflow.schema.roles import LOGINS

    secrets = [
        o
        for o in render(
            *(f"{name}.existingSecret=" for name in ("database", "erasure", "mlflow.auth")),
            "secrets.generate=always",
        )
        if o["kind"] == "Secret"
    ]
    passwords = [o for o in secrets if o["metadata"]["name"] != "streamflow-registrar"]
    assert {o["metadata"]["name"]: set(o["data"]) for o in passwords} == {
        "streamflow-database": {f"{role}-password" for role in ("admin", *LOGINS)},
        "streamflow-mlflow": {f"{role}-password" for role in ("admin", *ROLES)},
        "streamflow-erasure": {"erasure-key"},
    }
    for secret in passwords:
        assert len(set(secret["data"].values())) == len(secret["data"])
        assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


@pytest.mark.parametrize(
    "sets",
    [
        ["predict.serviceAccount.name=foo"],
        ["pods.serviceAccount.name=foo", "pods.serviceAccount.annotations.a=b"],
        ["predict.serviceAccount.name=foo", "jobs.train.serviceAccount.name=foo", "demo.enabled=true"],
    ],
)
def test_every_service_account_of_a_pod_is_created_once_and_no_other(sets):
    objects = render(*sets)
    made = [o["metadata"]["name"] for o in objects if o["kind"] == "ServiceAccount"]
    assert "foo" in made
    assert sorted(made) == sorted({t["spec"]["serviceAccountName"] for t in pod_specs(objects).values()})


def test_a_shared_service_account_has_the_annotations_of_all_its_components():
    objects = render(
        "predict.serviceAccount.name=foo",
        "predict.serviceAccount.annotations.a=b",
        "feast.serviceAccount.name=foo",
        "feast.serviceAccount.annotations.c=d",
    )
    assert pick(objects, "ServiceAccount", "foo")["metadata"]["annotations"] == {"a": "b", "c": "d"}


def test_a_pod_gets_a_token_only_if_configured():
    objects = pod_specs(render("jobs.train.serviceAccount.automount=true"))
    given = {where for where, t in objects.items() if t["spec"]["automountServiceAccountToken"]}
    assert given == {"CronJob streamflow-train"}


def demo(*sets, **options):
    jobs = [o for o in render("demo.enabled=true", *sets, **options) if o["kind"] == "Job"]
    [job] = [o for o in jobs if o["metadata"]["labels"]["app.kubernetes.io/component"] == "demo"]
    return job


def test_an_upgrade_leaves_the_demo_alone_or_starts_another_but_never_changes_its_job():
    """A Job's pod template is immutable, and Helm deletes a running Job that is no longer rendered."""
    first = demo()
    assert demo(upgrade=True) == first
    assert demo("settings.predict.maxQueue=5", "predict.autoscaling.maxReplicas=3", upgrade=True) == first
    for change in ("demo.users=800", "images.platform.tag=0.2.0", "demo.nodeSelector.disk=ssd"):
        other = demo(change, upgrade=True)
        assert other["spec"] != first["spec"]
        assert other["metadata"]["name"] != first["metadata"]["name"]


def test_an_upgrade_can_enable_and_disable_the_demo():
    names = named(render("demo.enabled=true", upgrade=True), "streamflow-")
    assert set(names) >= DEMO
    assert set(named(render(upgrade=True), "streamflow-")).isdisjoint(DEMO)


def notes(*sets, **options):
    """The notes that a user reads after an installation."""
    text = '{{ include "streamflow/templates/NOTES.txt" . | b64enc }}'
    extra = {"kind": "ConfigMap", "metadata": {"name": "notes"}, "data": {"text": text}}
    objects = render(*sets, given=json.dumps({"extraObjects": [extra]}), **options)
    return base64.b64decode(pick(objects, "ConfigMap", "notes")["data"]["text"]).decode()


@pytest.mark.parametrize("upgrade", [False, True])
def test_the_notes_wait_for_the_running_demo(upgrade):
    name = demo(upgrade=upgrade)["metadata"]["name"]
    assert f"job/{name} " in notes("demo.enabled=true", upgrade=upgrade)
    assert "job/" not in notes(upgrade=upgrade).split("then wait for the schedules")[0]


def test_volumes_are_retained_by_default():
    def kept(*sets):
        return {
            o["metadata"]["name"]
            for o in render(*sets)
            if o["kind"] == "PersistentVolumeClaim"
            and (o["metadata"].get("annotations") or {}).get("helm.sh/resource-policy") == "keep"
        }

    claims = {f"streamflow-{name}" for name in ("postgresql", "mlflow", "drops", "backups")}
    assert kept() == claims
    assert kept("postgresql.persistence.retain=false") == claims - {"streamflow-postgresql"}


LONG = "a-release-name-that-is-as-long-as-helm-allows-it-be"


def test_names_fit_a_long_release_name():
    objects = render(f"fullnameOverride={LONG}")
    assert max(len(o["metadata"]["name"]) for o in objects) <= 63
    # Kubernetes appends 11 characters to a CronJob's name for its Jobs.
    assert max(len(o["metadata"]["name"]) for o in objects if o["kind"] == "CronJob") <= 52


def test_long_release_names_that_differ_at_the_end_only_give_different_names():
    names = [{o["metadata"]["name"] for o in render(f"fullnameOverride={LONG}{end}")} for end in ("-a", "-b")]
    assert names[0].isdisjoint(names[1])
    # 40 characters need no hash.
    assert pick(render(f"fullnameOverride={LONG[:40]}"), "Deployment", f"{LONG[:40]}-predict")


def test_a_first_install_mounts_every_claim_in_a_pod():
    """`helm install --wait` waits until claims are bound, and many storage classes bind only for a pod."""

    def claimed(*sets, **options):
        objects = render(*sets, **options)
        pods = [o for o in objects if o["kind"] in ("Deployment", "StatefulSet", "Job")]
        volumes = [v for o in pods for v in o["spec"]["template"]["spec"]["volumes"]]
        claims = {v["persistentVolumeClaim"]["claimName"] for v in volumes if "persistentVolumeClaim" in v}
        return {o["metadata"]["name"] for o in objects if o["kind"] == "PersistentVolumeClaim"} - claims

    assert claimed() == set()
    assert claimed("drops.url=s3://drops/streamflow") == set()
    assert claimed("backups.persistence.enabled=false") == set()
    # Later only jobs mount them, so that a ReadWriteOnce volume does not block an upgrade.
    assert claimed(upgrade=True) == {"streamflow-drops", "streamflow-backups"}
