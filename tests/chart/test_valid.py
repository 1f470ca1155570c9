"""Every object is valid against Kubernetes' own schemas; a misspelt key is an error."""

import subprocess

import kubernetes_schemas
import pytest
import yaml
from render import CONFIGURATIONS, configuration, found, parsed, render_text

VERSIONS = ("1.30", "1.37")


def invalid(texts, version, folder):
    """What kubeconform says against manifests; without it, a slower check that overlooks a key that is there twice."""
    objects = [item for text in texts.values() for item in parsed(text)]
    if not found("kubeconform"):
        validate = pytest.importorskip("kubernetes_validate").validate
        for item in objects:
            if item["kind"] not in kubernetes_schemas.OTHERS:
                validate(item, version, strict=True)
        return ""
    pytest.importorskip("kubernetes_validate")
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    location = kubernetes_schemas.write(folder, version, objects)
    skipped = ",".join(sorted(kubernetes_schemas.OTHERS))
    command = [found("kubeconform"), "-strict", "-skip", skipped, "-schema-location", location]
    manifests = sorted(map(str, folder.glob("*.yaml")))
    done = subprocess.run([*command, *manifests], capture_output=True, text=True, check=False)
    assert bool(done.returncode) == bool(done.stdout + done.stderr)
    return done.stdout + done.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(version, tmp_path):
    texts = {name: render_text(**options) for name, options in CONFIGURATIONS.items()}
    assert invalid(texts, version, tmp_path) == ""


WRONG = {
    "a misspelt key": "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {prots: []}}",
    "a key twice": "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: ClusterIP, type: NodePort}}",
    "a wrong type, deep down": yaml.dump(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "a"},
            "spec": {"containers": [{"name": "a", "ports": [{"containerPort": "http"}]}]},
        }
    ),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_an_invalid_object_is_noticed(mistake, tmp_path):
    if not found("kubeconform"):
        pytest.skip("kubeconform is not on PATH.")
    assert invalid({"wrong": WRONG[mistake]}, VERSIONS[-1], tmp_path)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_no_object_is_rendered_twice(name):
    keys = [
        (o["kind"], o["metadata"].get("namespace", ""), o["metadata"]["name"]) for o in configuration(name)
    ]
    assert sorted(keys) == sorted(set(keys))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_object_carries_the_recommended_labels(name):
    wanted = {"name", "instance", "component", "version", "managed-by", "part-of"}
    for item in configuration(name):
        if item["metadata"]["name"] == "streamflow-extra":
            continue
        labels = item["metadata"]["labels"]
        assert {f"app.kubernetes.io/{key}" for key in wanted} <= set(labels), item["metadata"]["name"]
        assert "helm.sh/chart" in labels


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_services_budgets_and_scalers_select_their_pods(name):
    objects = configuration(name)
    pods = [o["spec"]["template"] for o in objects if o["kind"] in ("Deployment", "StatefulSet")]
    for item in objects:
        if item["kind"] in ("Service", "PodDisruptionBudget"):
            selector = item["spec"]["selector"]
            selector = selector.get("matchLabels", selector)
            found = [pod for pod in pods if selector.items() <= pod["metadata"]["labels"].items()]
            assert len(found) == 1, item["metadata"]["name"]
            ports = {port["name"] for c in found[0]["spec"]["containers"] for port in c.get("ports", [])}
            assert {port["targetPort"] for port in item["spec"].get("ports", [])} <= ports
        if item["kind"] == "HorizontalPodAutoscaler":
            target = item["spec"]["scaleTargetRef"]["name"]
            assert target in {o["metadata"]["name"] for o in objects if o["kind"] == "Deployment"}
