"""A real Prometheus in the cluster discovers all components by their annotations, and loads all alerts."""

import json
import urllib.parse

import pytest
import yaml
from kubernetes_cli import CHART, Release, ask, run, wait_for

ALERTS = [
    yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((CHART / "alerts").glob("*.yaml"))
]
# The usual scrape configuration of a Prometheus without the operator.
CONFIGURATION = {
    "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
    "rule_files": ["/etc/prometheus/rules.yaml"],
    "scrape_configs": [
        {
            "job_name": "pods",
            "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": ["streamflow"]}}],
            "relabel_configs": [
                {
                    "source_labels": ["__meta_kubernetes_pod_annotation_prometheus_io_scrape"],
                    "action": "keep",
                    "regex": "true",
                },
                {
                    "source_labels": ["__meta_kubernetes_pod_annotation_prometheus_io_path"],
                    "target_label": "__metrics_path__",
                },
                {
                    "source_labels": [
                        "__meta_kubernetes_pod_ip",
                        "__meta_kubernetes_pod_annotation_prometheus_io_port",
                    ],
                    "separator": ":",
                    "target_label": "__address__",
                },
                {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
                {
                    "source_labels": ["__meta_kubernetes_pod_label_app_kubernetes_io_component"],
                    "target_label": "component",
                },
            ],
        }
    ],
}


def meta(name, namespace="monitoring", **more):
    return {"name": name, "namespace": namespace, **more}


def objects():
    files = {
        "prometheus.yml": json.dumps(CONFIGURATION),
        "rules.yaml": json.dumps({"groups": [{"name": "streamflow", "rules": ALERTS}]}),
    }
    account = {"kind": "ServiceAccount", "name": "prometheus", "namespace": "monitoring"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "read-pods"}
    command = ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/data"]
    container = {
        "name": "prometheus",
        "image": "prom/prometheus:v3.16.0",
        "args": command,
        "ports": [{"containerPort": 9090}],
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": 9090}, "periodSeconds": 2},
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "files", "mountPath": "/etc/prometheus"},
            {"name": "data", "mountPath": "/data"},
        ],
    }
    user = {"runAsNonRoot": True, "runAsUser": 65534, "fsGroup": 65534}
    pod = {
        "serviceAccountName": "prometheus",
        "securityContext": {**user, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "files", "configMap": {"name": "prometheus"}}, {"name": "data", "emptyDir": {}}],
    }
    labels = {"app": "prometheus"}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta("prometheus")},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("prometheus"), "data": files},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": meta("read-pods", "streamflow"),
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": meta("read-pods", "streamflow"),
            "roleRef": role,
            "subjects": [account],
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta("prometheus"),
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta("prometheus"),
            "spec": {"selector": labels, "ports": [{"port": 9090}]},
        },
    ]


@pytest.fixture(scope="module")
def prometheus(demo):
    """A function that sends requests to Prometheus' HTTP API."""
    # These jobs must have run, or their metrics have no value.
    demo.job("monitor")
    demo.job("parity")
    monitoring = Release("monitoring")
    monitoring.create_namespace()
    # Without --namespace, because the objects name theirs.
    everything = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects()})
    run("kubectl", "apply", "--filename=-", stdin=everything)
    monitoring.kubectl("rollout", "status", "deployment/prometheus", "--timeout=300s")
    with monitoring.forwarded("prometheus", 9090) as url:

        def api(path, **arguments):
            status, answer = ask(f"{url}/api/v1/{path}?{urllib.parse.urlencode(arguments)}")
            assert status == 200, answer
            return answer["data"]

        yield api
    monitoring.delete_namespace()


def test_every_component_is_found_by_its_annotations_and_scraped(prometheus):
    def scraped():
        targets = prometheus("targets")["activeTargets"]
        held = {(item["labels"]["component"], item["health"]) for item in targets}
        scraping = ("predict", "mlflow", "feast", "registrar", "exporter")
        return held == {(name, "up") for name in scraping} and targets

    targets = wait_for(scraped, "every target is up", timeout=120)
    assert len([item for item in targets if item["labels"]["component"] == "predict"]) >= 2


def test_every_alert_loads_and_is_evaluated_without_an_error(prometheus):
    def evaluated():
        rules = [rule for group in prometheus("rules")["groups"] for rule in group["rules"]]
        return all(rule["health"] != "unknown" for rule in rules) and rules

    rules = wait_for(evaluated, "every rule is evaluated", timeout=120)
    assert {rule["name"] for rule in rules} == {alert["alert"] for alert in ALERTS}
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []


@pytest.mark.parametrize(
    "expression",
    [
        'streamflow_job_last_success_timestamp_seconds{job_name=~"ingest|materialize|train|monitor|parity"}',
        'streamflow_job_last_duration_seconds{job_name="train"} > 0',
        "streamflow_ingest_rows_total{} > 0",
        "streamflow_newest_drop_as_of_timestamp_seconds",
        "streamflow_features_newest_as_of_timestamp_seconds",
        "streamflow_model_age_seconds > 0",
        "streamflow_database_up == 1",
        'streamflow_model_registry_up{component="registrar"} == 1',
        "time() - streamflow_registrar_look_timestamp_seconds < 300",
        'time() - streamflow_ledger_read_timestamp_seconds{component="predict"} < 60',
        "streamflow_parity_differences == 0",
        'http_requests_total{component="predict"}',
        'http_request_duration_seconds_count{component="predict"}',
        'up{component="mlflow"} == 1',
        'up{component="feast"} == 1',
    ],
)
def test_what_operators_look_at_has_a_value(prometheus, expression):
    def query():
        return prometheus("query", query=expression)["result"]

    assert wait_for(query, expression, timeout=120)


def test_the_model_that_is_served_is_a_metric(prometheus):
    found = wait_for(
        lambda: prometheus("query", query='{__name__=~"streamflow_model_.*",version!=""}')["result"],
        "a version",
    )
    assert {item["metric"]["version"] for item in found} == {"1"}
