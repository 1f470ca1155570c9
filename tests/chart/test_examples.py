"""Every example renders together with what its first lines ask for, and contains what it is an example of."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time

import yaml
from render import CHART, ROOT, parsed, pick, pod_specs, render, render_text

METRICS = ROOT / "src" / "streamflow" / "predict" / "observe" / "metrics.py"
NAMED = "ci/existing-secrets.yaml"
# Values files to render, by example; for a manifest, none.
EXAMPLES = {
    "argo-cd.yaml": (),
    "cloudnative-pg-cluster.yaml": (),
    "cloudnative-pg.yaml": ("examples/cloudnative-pg.yaml",),
    "drops-pod.yaml": (),
    "external-secrets.yaml": ("examples/external-secrets.yaml",),
    "flux.yaml": (),
    "keda.yaml": (NAMED, "examples/keda.yaml"),
    "openshift.yaml": (NAMED, "examples/openshift.yaml"),
    "production.yaml": ("examples/cloudnative-pg.yaml", "examples/production.yaml"),
}


def example(name):
    return render(values=EXAMPLES[name])


def manifests(name):
    return list(yaml.safe_load_all((CHART / "examples" / name).read_text(encoding="utf-8")))


def manifest(name, kind):
    [found] = [item for item in manifests(name) if item["kind"] == kind]
    return found["spec"]


def test_every_example_is_tested():
    assert {path.name for path in (CHART / "examples").iterdir()} == set(EXAMPLES)


def test_the_pod_for_drops_ends_at_once_when_it_is_deleted():
    """Process 1 of a pod hears of SIGTERM only if it handles it; otherwise a delete takes 30 seconds."""
    [pod] = manifests("drops-pod.yaml")
    [container] = pod["spec"]["containers"]
    with subprocess.Popen(container["command"], start_new_session=True) as process:
        time.sleep(0.5)
        process.terminate()
        try:
            assert process.wait(5) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_the_pod_for_drops_has_the_image_of_the_jobs_in_the_commands_of_the_page():
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    block = page.split("\n## Bring drops\n")[1].split("```bash\n")[1].split("```")[0]
    [jsonpath] = re.findall(r"jsonpath='\{(.*?)\}'", block)
    image = pick(render("global.imageRegistry=registry.example.com"), "CronJob", "streamflow-ingest")
    for key in re.findall(r"\w+", jsonpath):
        image = image[int(key) if key.isdigit() else key]
    assert image.startswith("registry.example.com/streamflow/platform:")
    line = next(line for line in block.splitlines() if line.startswith("sed "))
    filled = subprocess.run(
        ["bash", "-c", line.split(" | ")[0]], cwd=ROOT, env={**os.environ, "image": image},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    [container] = yaml.safe_load(filled)["spec"]["containers"]
    assert container["image"] == image


def test_cloudnative_pgs_server_is_checked_against_the_operators_authority():
    objects = example("cloudnative-pg.yaml")
    data = pick(objects, "ConfigMap", "streamflow-settings")["data"]
    assert data["STREAMFLOW_DATABASE__SSLMODE"] == "verify-full"
    volumes = pick(objects, "Deployment", "streamflow-predict")["spec"]["template"]["spec"]["volumes"]
    assert "streamflow-db-ca" in {v["secret"]["secretName"] for v in volumes if "secret" in v}


def test_keda_scales_the_deployment_of_predict_alone_and_within_the_budget_of_connections():
    objects = example("keda.yaml")
    deployment = pick(objects, "Deployment", "streamflow-predict")
    assert "replicas" not in deployment["spec"]
    assert not [o for o in objects if o["kind"] == "HorizontalPodAutoscaler"]
    scaled = pick(objects, "ScaledObject")
    assert scaled["metadata"]["namespace"] == deployment["metadata"]["namespace"]
    spec = scaled["spec"]
    assert spec["scaleTargetRef"] == {"name": deployment["metadata"]["name"]}
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 8)
    [trigger] = spec["triggers"]
    assert trigger["metadata"]["query"] == (
        'sum(streamflow_queue_requests{namespace="churn",pod=~"streamflow-predict-.*"})'
    )


def test_cloudnative_pgs_server_is_the_one_that_the_values_use():
    name = "cloudnative-pg-cluster.yaml"
    values = yaml.safe_load((CHART / "examples" / "cloudnative-pg.yaml").read_text(encoding="utf-8"))
    [cluster] = [item for item in manifests(name) if item["kind"] == "Cluster"]
    own, external = cluster["metadata"]["name"], values["externalDatabase"]
    assert external["host"] == f"{own}-rw"
    assert (external["existingSecret"], external["caSecret"]) == (f"{own}-superuser", f"{own}-ca")
    parameters = cluster["spec"]["postgresql"]["parameters"]
    assert int(parameters["max_connections"]) == external["maxConnections"]
    bundled = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["postgresql"]["parameters"]
    logged = {key: value for key, value in bundled.items() if key.startswith("log_")}
    assert len(logged) == 3
    assert logged.items() <= parameters.items()


def test_cloudnative_pgs_server_archives_its_wal_where_the_daily_backups_go():
    name = "cloudnative-pg-cluster.yaml"
    [store] = [item["metadata"]["name"] for item in manifests(name) if item["kind"] == "ObjectStore"]
    [plugin] = manifest(name, "Cluster")["plugins"]
    assert (plugin["isWALArchiver"], plugin["parameters"]) == (True, {"barmanObjectName": store})
    backup = manifest(name, "ScheduledBackup")
    assert (backup["method"], backup["pluginConfiguration"]) == ("plugin", {"name": plugin["name"]})


def test_the_page_scales_by_waiting_requests_without_keda_too():
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    given = page.split("\n## Scale\n")[1].split("```yaml\n")[1].split("```")[0]
    [metric] = pick(render(given=given), "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["pods"]["metric"] == {"name": "streamflow_queue_requests"}
    assert 'Gauge("streamflow_queue_requests"' in METRICS.read_text(encoding="utf-8")


def test_production_shows_predictions_alone_and_puts_one_pod_on_a_node():
    objects = example("production.yaml")
    [rule] = pick(objects, "Ingress")["spec"]["rules"]
    assert [path["path"] for path in rule["http"]["paths"]] == ["/predict", "/v2"]
    template = pod_specs(objects)["Deployment streamflow-predict"]
    assert "api-keys" in {volume["name"] for volume in template["spec"]["volumes"]}
    affinity = template["spec"]["affinity"]["podAntiAffinity"]
    [term] = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    labels = template["metadata"]["labels"].items()
    assert term["labelSelector"]["matchLabels"].items() <= labels
    [zone] = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    assert zone["podAffinityTerm"]["labelSelector"]["matchLabels"].items() <= labels


def test_openshift_chooses_users_and_groups_and_its_dns_is_reached():
    objects = example("openshift.yaml")
    for where, template in pod_specs(objects).items():
        named = {"runAsUser", "runAsGroup", "fsGroup"} & set(template["spec"]["securityContext"])
        assert (where, named) == (where, set())
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True
    for item in objects:
        if item["kind"] == "NetworkPolicy" and item["metadata"]["name"] != "streamflow-default-deny":
            opened = [port for rule in item["spec"].get("egress", []) for port in rule.get("ports", [])]
            assert {"port": 5353, "protocol": "UDP"} in opened, item["metadata"]["name"]


def test_external_secrets_makes_every_secret_that_a_pod_mounts():
    objects = example("external-secrets.yaml")
    made = {item["metadata"]["name"] for item in objects if item["kind"] == "ExternalSecret"}
    mounted = {
        volume["secret"]["secretName"]
        for template in pod_specs(objects).values()
        for volume in template["spec"]["volumes"]
        if "secret" in volume and not volume["secret"].get("optional")
    }
    assert mounted == made
    assert not [item for item in objects if item["kind"] == "Secret"]


def argo_cd():
    """Values of the Application, as JSON."""
    source = manifest("argo-cd.yaml", "Application")["source"]
    assert (ROOT / source["path"]).resolve() == CHART
    return json.dumps(source["helm"]["valuesObject"])


def test_argo_cd_renders_without_a_cluster_and_always_the_same():
    given = argo_cd()
    assert render_text.__wrapped__(given=given) == render_text(given=given)


def test_argo_cd_keeps_the_migration_job_longer_than_a_day_and_replaces_it():
    """If Kubernetes deleted it, each day would bring a difference from Git, and another run."""
    job = pick(parsed(render_text(given=argo_cd())), "Job", "streamflow-migrate-1")
    assert job["spec"]["ttlSecondsAfterFinished"] > 365 * 24 * 3600
    assert job["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] == "Force=true,Replace=true"


def test_flux_installs_the_chart_of_the_repository_with_values_that_it_takes():
    spec = manifest("flux.yaml", "HelmRelease")
    assert (ROOT / spec["chart"]["spec"]["chart"]).resolve() == CHART
    assert manifest("flux.yaml", "GitRepository")["url"].endswith("streamflow.git")
    assert render(given=json.dumps(spec["values"]))
