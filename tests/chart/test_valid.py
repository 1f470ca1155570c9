"""Every object is valid against Kubernetes' own schemas; a misspelt key is an error."""

import pytest
from render import CONFIGURATIONS, configuration

# kubernetes-validate contains the schemas of built-in kinds only.
OTHERS = {"Certificate", "ServiceMonitor", "PrometheusRule", "HTTPRoute"}


@pytest.mark.parametrize("version", ["1.30", "1.37"])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_object_is_valid(name, version):
    validate = pytest.importorskip("kubernetes_validate").validate
    for item in configuration(name):
        if item["kind"] not in OTHERS:
            validate(item, version, strict=True)


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
